"""Recognise what each person in a video does, from when to when.

People are found, followed, and reduced to body landmarks; a temporal network that was trained on motion capture and
procedural animation seen through virtual cameras labels every fifteenth of a second, and abstains where it is unsure.
"""

from tubelet.runs.card import Card

CARD = Card(
    name="recognition",
    title="who does what, from when to when, from body landmarks",
    problem="Given a video, find each person and say what that person does over time, or that it is not known.",
    source="own",
    licence="Apache-2.0",
    scope="What one person's body does, of the actions that the model names, seen by a camera at rest. Not objects, "
    "places, groups or identities.",
)
