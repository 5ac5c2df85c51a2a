"""Labels as people write them, names or numbers, and the classes that they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.datasets.annotation_files import Place, line_of, read_lines
from tubelet.datasets.labelled import class_indices

_WHOLE = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenLabels:
    """The labels of one clip as a file has them.

    Attributes:
        labels: Text or numbers.
        place: Where they stand.
    """

    labels: tuple[object, ...]
    place: Place


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names from a text file, one a line, in the order of their ids.

    Raises:
        DatasetError: The file cannot be read, is empty, or has a name twice.
    """
    lines: dict[str, int] = {}
    for line, name in read_lines(path):
        if name in lines:
            raise line_of(path, line).error(
                f"the class {name!r} is in line {lines[name]} already; each must be there once"
            )
        lines[name] = line
    return tuple(lines)


def resolve_labels(
    written: Sequence[WrittenLabels], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Classes and the indices of each clip's labels.

    Labels are all names, or all ids that count from 0. Names without a list of classes are sorted; ids without one are
    called by their number.

    Args:
        written: The labels of each clip.
        classes: The names, if there is a list of them.

    Raises:
        DatasetError: A label is neither a name nor an id, there are both, a name is no class, or ids count from 1, have
            gaps, or are beyond the classes.
    """
    first: dict[bool, tuple[str, WrittenLabels]] = {}
    names = set(classes or ())
    all_texts: list[list[str]] = []
    for each in written:
        texts = [_text(label, each) for label in each.labels]
        all_texts.append(texts)
        for text in texts:
            first.setdefault(_WHOLE.fullmatch(text) is not None and text not in names, (text, each))
    if len(first) == 2:
        number, where = first[True]
        raise where.place.error(
            f"the label is the number {number} but elsewhere the name {first[False][0]!r}; use one kind"
        )
    if True not in first:
        known = (
            tuple(classes) if classes is not None else tuple(sorted({text for texts in all_texts for text in texts}))
        )
        places = {name: index for index, name in enumerate(known)}
        return known, [_named(texts, places, each) for texts, each in zip(all_texts, written, strict=True)]
    ids = [tuple(sorted({int(text) for text in texts})) for texts in all_texts]
    return _check_ids(ids, written, classes), ids


def _named(texts: Sequence[str], places: Mapping[str, int], each: WrittenLabels) -> tuple[int, ...]:
    if not all(text in places for text in texts):
        return class_indices(texts, tuple(places), where=str(each.place))
    return tuple(sorted({places[text] for text in texts}))


def _text(label: object, each: WrittenLabels) -> str:
    text = str(label).strip() if isinstance(label, str | int) and not isinstance(label, bool) else ""
    if not text or (_NUMBER.fullmatch(text) and not _WHOLE.fullmatch(text)):
        raise each.place.error(f"the label is {label!r}; allowed: the name of a class, or its number counted from 0")
    return text


def _check_ids(
    ids: Sequence[tuple[int, ...]], written: Sequence[WrittenLabels], classes: Sequence[str] | None
) -> tuple[str, ...]:
    there = sorted({label for labels in ids for label in labels})
    from_one = there[0] == 1
    hint = " The ids seem to count from 1; write them counted from 0, or write names." if from_one else ""
    if classes is not None:
        for labels, each in zip(ids, written, strict=True):
            if labels and labels[-1] >= len(classes):
                raise each.place.error(
                    f"the label is {labels[-1]}; allowed: 0 to {len(classes) - 1}, as there are classes.{hint}"
                )
        return tuple(classes)
    gap = next((number for number, label in enumerate(there) if number != label), None)
    if gap is not None:
        each = next(each for labels, each in zip(ids, written, strict=True) if there[-1] in labels)
        do = hint or " Give the list of classes, or write names."
        raise each.place.error(f"the labels go up to {there[-1]}, but nothing has the label {gap}.{do}")
    return tuple(str(label) for label in there)
