"""Recognise what each person in a video does, from when to when.

People are found, followed, and reduced to body landmarks; a temporal network that was trained on motion capture and
procedural animation seen through virtual cameras labels every fifteenth of a second, and abstains where it is unsure.
"""
