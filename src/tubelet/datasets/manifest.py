"""A manifest: one CSV or JSONL file that lists clips.

Columns of the CSV, or names in each JSON object: `path` and `label`; and if wanted `start_s` and `end_s` (or `start`
and `end`, seconds too), `split` (train, val or test), and `group` (what clips share that are not independent: the
person, the source video). `labels` in place of `label` makes the set multi-label: names joined by `|` in CSV, a list
in JSON, and none is allowed. Labels are all names or all numbers that count from 0; `classes.txt` beside the manifest,
one name a line, fixes the order of the classes. There may be more columns.

Paths are relative to the manifest, with `/`. They may lead out of its folder (`../videos/a.mp4`) or be absolute; the
id of a clip is the way to it from the manifest. A path that leads nowhere is an error unless missing files are
allowed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tubelet.datasets.annotation_files import Place, csv_rows, line_of, read_lines, split_named
from tubelet.datasets.class_labels import WrittenLabels, read_classes, resolve_labels
from tubelet.datasets.clip_ids import path_id, span_id
from tubelet.datasets.grouping import GROUP_RULE, groups_of
from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.video_files import check_name, left_out
from tubelet.errors import DatasetError

OPTIONAL_COLUMNS = ("start_s", "end_s", "split", "group")
_NOT_THERE = (None, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    place: Place
    file: str
    path: Path
    labels: tuple[object, ...]
    start_s: float
    end_s: float | None
    split: Split | None
    group: str | None


def read_manifest(path: Path, *, allow_missing: bool = False) -> ClipSet:
    """Read a manifest.

    Args:
        path: A `.csv` or `.jsonl` file.
        allow_missing: Leave out clips whose file is not there, and say so in `split_rule`, instead of refusing.

    Raises:
        DatasetError: The file cannot be read or a line has a value that is not allowed; the message says which and
            what is allowed. A clip is listed twice, or in two splits. Files are missing.
    """
    root = path.parent
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise DatasetError(f"{path}: is no manifest; allowed: a .csv or a .jsonl file")
    rows = list(_csv_values(path) if path.suffix.lower() == ".csv" else _json_values(path))
    if not rows:
        raise DatasetError(f"{path}: lists no clips; write one line for each")
    is_multi_label = "labels" in rows[0][1]
    entries = [_entry(place, values, root, is_multi_label=is_multi_label) for place, values in rows]
    _check_once(entries)
    named = root / "classes.txt"
    classes, labels = resolve_labels(
        [WrittenLabels(labels=entry.labels, place=entry.place) for entry in entries],
        read_classes(named) if named.is_file() else None,
    )
    missing_rule = left_out(
        [entry.file for entry in entries if not os.path.isfile(entry.path)],
        len(entries),
        path,
        allow_missing=allow_missing,
    )
    ids = [path_id(entry.path, root) for entry in entries]
    clips = tuple(
        LabelledClip(
            id=span_id(each, entry.start_s, entry.end_s),
            path=entry.path,
            labels=its_labels,
            start_s=entry.start_s,
            end_s=entry.end_s,
            group=entry.group or group,
            split=entry.split,
        )
        for each, entry, its_labels, group in zip(ids, entries, labels, groups_of(ids), strict=True)
        if not missing_rule or os.path.isfile(entry.path)
    )
    given = any(entry.split for entry in entries)
    return ClipSet(
        name=f"{path.name} (a manifest)",
        root=root,
        classes=classes,
        clips=clips,
        is_multi_label=is_multi_label,
        split_rule=("by the manifest" if given else "no split was given") + missing_rule,
        group_rule=f"the column group of the manifest where it is filled; else {GROUP_RULE}",
    )


def _csv_values(path: Path) -> Iterator[tuple[Place, dict[str, object]]]:
    for row in csv_rows(path, ("path",), optional=("label", *OPTIONAL_COLUMNS)):
        if "label" not in row.values and "labels" not in row.values:
            raise DatasetError(
                f"{path}, line 1: the header lacks label; allowed: path,label (and {', '.join(OPTIONAL_COLUMNS)})"
            )
        values: dict[str, object] = {name: value.strip() for name, value in row.values.items()}
        if "labels" in values:
            values["labels"] = [name.strip() for name in row.values["labels"].split("|") if name.strip()]
        yield row.place, values


def _json_values(path: Path) -> Iterator[tuple[Place, dict[str, object]]]:
    for line, text in read_lines(path):
        place = line_of(path, line)
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise place.error(f"is not JSON ({error}); write one JSON object a line") from error
        if not isinstance(values, dict) or "path" not in values or not {"label", "labels"} & set(values):
            raise place.error('is no object with "path" and "label"; allowed: {"path": "a.mp4", "label": "walk"}')
        yield place, values


def _entry(place: Place, values: dict[str, object], root: Path, *, is_multi_label: bool) -> _Entry:
    file = values["path"]
    if not isinstance(file, str) or not file or "\0" in file:
        raise place.error(f"path is {file!r}; allowed: the path of a video")
    check_name(file, place.path)
    if is_multi_label != ("labels" in values):
        raise place.error("has label where other lines have labels, or the other way round; use one of the two")
    labels = values["labels"] if is_multi_label else [values["label"]]
    if not isinstance(labels, list):
        raise place.error(f"labels is {labels!r}; allowed: a list of names, which may be empty")
    start_s, end_s = (_seconds(place, values, name) for name in ("start", "end"))
    start_s = 0.0 if start_s is None else start_s
    if start_s < 0:
        raise place.error(f"start_s is {start_s:g}; allowed: 0 (the beginning of the file) or more")
    if end_s is not None and end_s <= start_s:
        raise place.error(f"end_s is {end_s:g}; allowed: a number above start_s ({start_s:g}), or nothing for the end")
    split = group = None
    if values.get("split") not in _NOT_THERE:
        split = split_named(str(values["split"]))
        if split is None:
            raise place.error(f"split is {values['split']!r}; allowed: train, val, test, or nothing")
    if values.get("group") not in _NOT_THERE:
        group = str(values["group"])
    path = Path(os.path.normpath(root / file))
    return _Entry(
        place=place, file=file, path=path, labels=tuple(labels), start_s=start_s, end_s=end_s, split=split, group=group
    )


def _seconds(place: Place, values: dict[str, object], name: str) -> float | None:
    given = [column for column in (f"{name}_s", name) if values.get(column) not in _NOT_THERE]
    if len(given) > 1:
        raise place.error(f"{name}_s and {name} are both given; use one of them")
    return place.number(values[given[0]], given[0]) if given else None


def _check_once(entries: list[_Entry]) -> None:
    seen: dict[tuple[Path, float, float | None], _Entry] = {}
    for entry in entries:
        key = (entry.path, entry.start_s, entry.end_s)
        before = seen.setdefault(key, entry)
        if before is entry:
            continue
        what = f"{entry.file} is listed in {before.place.where} already"
        if before.split != entry.split:
            raise entry.place.error(f"{what}, there in {before.split} and here in {entry.split}; keep one of them")
        if before.labels != entry.labels:
            raise entry.place.error(f"{what} with another label; for several labels use a column labels, joined by |")
        raise entry.place.error(f"{what}; list each clip once")
