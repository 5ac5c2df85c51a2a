"""Classify whole clips: training on labelled videos of one's own, evaluation, and the trained model as a file."""
