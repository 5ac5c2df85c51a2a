"""Colours: one per person in pictures, one per label in the report."""

from __future__ import annotations

from collections.abc import Iterable

Colour = tuple[int, int, int]

# Bright enough to be seen on dark and on light pictures; neighbours in the list differ in hue and in lightness, so that
# people who appear one after the other are told apart, also with the common kinds of colour blindness.
PERSON_COLOURS: tuple[Colour, ...] = (
    (64, 156, 255),
    (255, 159, 28),
    (46, 204, 143),
    (236, 112, 199),
    (245, 224, 66),
    (124, 108, 240),
    (255, 92, 77),
    (72, 214, 224),
    (170, 217, 62),
    (200, 150, 255),
    (255, 178, 150),
    (33, 150, 120),
)

# Quieter than the colours of people: they fill areas of a page. Used in order of how long a label lasts. It begins
# with hues that the first people do not have, so that a label is not taken for a person.
LABEL_COLOURS: tuple[Colour, ...] = (
    (72, 160, 110),
    (128, 100, 190),
    (206, 88, 96),
    (66, 160, 178),
    (222, 190, 70),
    (214, 124, 176),
    (66, 110, 188),
    (237, 150, 60),
    (150, 110, 84),
    (140, 176, 70),
    (96, 116, 140),
    (240, 166, 150),
    (40, 110, 110),
    (176, 140, 220),
    (168, 60, 130),
    (120, 190, 220),
    (110, 120, 40),
    (250, 200, 140),
    (60, 70, 150),
    (170, 210, 170),
    (190, 70, 40),
    (130, 130, 130),
)


def person_colour(track_id: int) -> Colour:
    """The colour of a person: the same wherever that person is drawn."""
    return PERSON_COLOURS[(track_id - 1) % len(PERSON_COLOURS)]


def label_colours(labels: Iterable[str]) -> dict[str, Colour]:
    """A colour for each label, in the order given; colours repeat only after all were used."""
    distinct = dict.fromkeys(labels)
    return {label: LABEL_COLOURS[index % len(LABEL_COLOURS)] for index, label in enumerate(distinct)}


def ink_on(colour: Colour) -> Colour:
    """Near-black or white, whichever is read better on `colour`.

    Source: WCAG 2.2, relative luminance and contrast ratio.
    """
    luminance = relative_luminance(colour)
    dark = (16, 18, 24)
    on_white = 1.05 / (luminance + 0.05)
    on_dark = (luminance + 0.05) / (relative_luminance(dark) + 0.05)
    return (255, 255, 255) if on_white > on_dark else dark


def relative_luminance(colour: Colour) -> float:
    """Luminance of an sRGB colour, 0 for black and 1 for white (WCAG 2.2)."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in (c / 255 for c in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def to_hex(colour: Colour) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
