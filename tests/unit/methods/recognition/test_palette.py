import pytest

from tubelet.methods.recognition.palette import (
    LABEL_COLOURS,
    PERSON_COLOURS,
    ink_on,
    label_colours,
    person_colour,
    relative_luminance,
    to_hex,
)


@pytest.mark.parametrize("colour", [*PERSON_COLOURS, *LABEL_COLOURS])
def test_text_on_every_colour_can_be_read(colour):
    lighter, darker = sorted((relative_luminance(colour), relative_luminance(ink_on(colour))), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, level AA


def test_luminance_is_that_of_the_standard():
    assert relative_luminance((255, 255, 255)) == pytest.approx(1.0)
    assert relative_luminance((0, 0, 0)) == 0.0
    assert relative_luminance((255, 0, 0)) == pytest.approx(0.2126)


def test_a_person_keeps_one_colour_and_neighbours_differ():
    assert person_colour(1) == person_colour(1 + len(PERSON_COLOURS))
    assert len({person_colour(i) for i in range(1, 1 + len(PERSON_COLOURS))}) == len(PERSON_COLOURS)


def test_labels_get_different_colours_as_long_as_there_are_some():
    colours = label_colours([f"label {i}" for i in range(len(LABEL_COLOURS))])
    assert len(set(colours.values())) == len(LABEL_COLOURS)
    assert label_colours(["a", "b", "a"]).keys() == {"a", "b"}


def test_hex():
    assert to_hex((1, 171, 255)) == "#01abff"
