"""tubelet: who does what, from when to when, in a video."""

__version__ = "0.1.0"
