"""Annotation files as text, lines, JSON and CSV, with errors that say in which file and line what is wrong."""

from __future__ import annotations

import csv
import difflib
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.datasets.labelled import Split
from tubelet.errors import DatasetError

_SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def split_named(name: str) -> Split | None:
    """The split that a word of a file or a folder stands for, whatever its case; None if it stands for none.

    Datasets write `train` and `training`, `val`, `valid`, `validate` and `validation`, `test` and `testing`.
    """
    return _SPLIT_NAMES.get(name.strip().lower())


@dataclass(frozen=True, slots=True)
class Place:
    """A place in an annotation file.

    Attributes:
        path: The file.
        where: In it, such as `line 3`.
    """

    path: Path
    where: str

    def __str__(self) -> str:
        return f"{self.path}, {self.where}"

    def error(self, said: str) -> DatasetError:
        """What to raise about what stands there."""
        return DatasetError(f"{self}: {said}")

    def number(self, value: object, name: str) -> float:
        """A finite number out of text or JSON.

        Raises:
            DatasetError: It is none.
        """
        try:
            number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self.error(f"{name} is {value!r}; allowed: a finite number with . for decimals")
        return number


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an annotation file.

    Attributes:
        place: Where it stands.
        values: By column.
    """

    place: Place
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """A value that must not be empty.

        Raises:
            DatasetError: It is.
        """
        value = self.values[column].strip()
        if not value:
            raise self.place.error(f"{column} is empty; allowed: any text")
        return value

    def number(self, column: str) -> float:
        """A finite number.

        Raises:
            DatasetError: It is none.
        """
        return self.place.number(self.values[column].strip(), column)


def line_of(path: Path, line: int) -> Place:
    """The place of a line, counted from 1."""
    return Place(path, f"line {line}")


def read_text(path: Path) -> str:
    """A file as text, without the byte order mark that some programs put first.

    Raises:
        DatasetError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}; give a file of annotations") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not UTF-8 text ({error.reason}); save it as text in UTF-8") from error


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers, without white space around them.

    Raises:
        DatasetError: The file cannot be read, or has no such line.
    """
    # Only \n ends a line: names may hold the other characters at which `splitlines` cuts.
    lines = [(number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise DatasetError(f"{path}: is empty; give a file of annotations")
    return lines


def read_json(path: Path) -> object:
    """What a JSON file holds.

    Raises:
        DatasetError: It cannot be read, is not JSON, or an object in it has one name twice.
    """

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        built = dict(pairs)
        if len(built) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in built if names.count(name) > 1)
            raise DatasetError(f"{path}: {twice!r} is there twice in one object; each name must be there once")
        return built

    try:
        return json.loads(read_text(path), object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise line_of(path, error.lineno).error(f"is not JSON: {error.msg}; repair it or take another copy") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
        raise DatasetError(f"{path}: is no JSON of annotations ({error}); take another copy") from error


def read_items(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The objects of a JSON file that is a list of them.

    Raises:
        DatasetError: As `read_json`, or it is something else.
    """
    items = read_json(path)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise DatasetError(f"{path}: is no list of objects; take the {path.name} of the dataset")
    for number, item in enumerate(items):
        yield Place(path, f"item {number}"), item


def csv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and values of a CSV file, blank lines left out.

    Raises:
        DatasetError: The file cannot be read, or is not CSV in UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}; give a CSV file") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{path}: is not CSV: {error}; save it as CSV with commas") from error


def csv_rows(path: Path, columns: Sequence[str], *, optional: Collection[str] = ()) -> Iterator[Row]:
    """Lines of a CSV file by the names of its header.

    Args:
        path: The file.
        columns: Names that the header must have, in any order, among others.
        optional: Names that it may have, for the hint about a misspelt one.

    Raises:
        DatasetError: As `csv_cells`; the header lacks a column or has one twice; a line has more or fewer values.
    """
    cells_of = csv_cells(path)
    line, cells = next(cells_of, (1, []))
    header = [name.strip() for name in cells]
    _check_header(path, line, header, columns, optional)
    for line, cells in cells_of:
        if len(cells) != len(header):
            raise line_of(path, line).error(f"{len(cells)} values; allowed: {len(header)}, as in the header")
        yield Row(line_of(path, line), dict(zip(header, cells, strict=True)))


def csv_header(path: Path) -> tuple[str, ...]:
    """The names in the first line of a CSV file, none where it cannot be read as one."""
    try:
        return tuple(name.strip() for name in next(csv_cells(path), (1, []))[1])
    except DatasetError:
        return ()


def _check_header(
    path: Path, line: int, header: Sequence[str], columns: Sequence[str], optional: Collection[str]
) -> None:
    missing = [name for name in columns if name not in header]
    repeated = sorted({name for name in header if header.count(name) > 1})
    more = f"and {', '.join(optional)}" if optional else "and more"
    allowed = f"allowed: {','.join(columns)} ({more})"
    if not header:
        raise DatasetError(f"{path}: is empty; {allowed}")
    if repeated and not missing:
        raise line_of(path, line).error(f"column {', '.join(repeated)} is there twice; {allowed}")
    if not missing:
        return
    hint = ""
    if len(header) == 1 and ";" in header[0] and set(columns) <= set(header[0].split(";")):
        hint = " It has semicolons; save it with commas."
    elif not {name.lower() for name in header} & {*columns, *optional}:
        hint = f" Is there a header at all? The first line is {','.join(header)!r}; put the names above it."
    else:
        unknown = [name for name in header if name not in columns]
        near = {name: difflib.get_close_matches(name, unknown, n=1) for name in missing}
        renamed = [f"{close[0]!r} should be {name!r}" for name, close in near.items() if close]
        hint = f" Perhaps {' and '.join(renamed)}." if renamed else ""
    raise line_of(path, line).error(f"the header lacks {', '.join(missing)}; {allowed}.{hint}")


def find_annotations(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """The first of these files that is in the first of these folders.

    Args:
        names: File names or patterns, the preferred one first.
        folders: Where to look, without the folders below them.

    Raises:
        DatasetError: A pattern fits several files of one folder.
    """
    for folder in folders:
        for name in names:
            found = sorted(folder.glob(name))
            if len(found) > 1:
                shown = ", ".join(path.name for path in found[:5])
                raise DatasetError(f"{folder}: several files are called {name}: {shown}; give one with `annotations`")
            if found:
                return found[0]
    return None


def need_annotations(names: Sequence[str], folders: Sequence[Path], what: str) -> Path:
    """As `find_annotations`, where the file has to be there.

    Raises:
        DatasetError: It is not; `what` says what kind of file is missing.
    """
    found = find_annotations(names, folders)
    if found is None:
        looked = ", ".join(str(folder) for folder in folders)
        raise DatasetError(f"{what} is not there: looked for {' or '.join(names)} in {looked}; put it there")
    return found


def annotation_folders(root: Path, annotations: Path | None, *usual: str) -> list[Path]:
    """Folders to look for annotation files in: the given one, or the root and its usual folders.

    Raises:
        DatasetError: The root or the given folder is none.
    """
    for folder in (root, annotations):
        if folder is not None and not folder.is_dir():
            raise DatasetError(f"{folder}: there is no such folder; give the folder of the dataset")
    if annotations is not None:
        return [annotations]
    return [root, *(root / name for name in (*usual, "annotations", "labels") if (root / name).is_dir())]
