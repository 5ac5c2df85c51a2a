"""Which clips stem from one video or one performance, as far as file names tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

GROUP_RULE = (
    "files whose names end in the mark of a part (_c01, _clip3, _part2, _seg4, _000010_000020) share the group of the "
    "name before it, in whatever class, unless that is the name of the class; with _g01_c02 the group is _g01 within "
    "its class; every other file is a group of its own"
)

_UCF = re.compile(r"(?P<source>.+_g\d+)_c\d+", re.IGNORECASE)
_SECONDS = re.compile(r"(?P<source>.+)_\d{6}_\d{6}")
_PART = re.compile(r"(?P<source>.*[^\W_].*?)[_-](?:c|clip|part|pt|seg|segment|chunk|shot|scene)[_-]?\d+", re.IGNORECASE)


def source_of(stem: str, class_name: str = "") -> str | None:
    """The name that a file shares with other parts of its source.

    Args:
        stem: The file name without its ending.
        class_name: The folder that the file lies in.

    Returns:
        None where the name has no mark of a part, or nothing else before the mark than the name of the class, which
        does not tell a source.
    """
    ucf = _UCF.fullmatch(stem)
    if ucf:
        return f"{class_name}/{ucf['source']}" if class_name else ucf["source"]
    found = _SECONDS.fullmatch(stem) or _PART.fullmatch(stem)
    if found is None or _letters(found["source"]) == _letters(class_name):
        return None
    return found["source"]


def groups_of(ids: Sequence[str]) -> list[str]:
    """Groups of files of a folder per class, by `GROUP_RULE`.

    A file that is called just what parts of a source have before their marks is taken for the source itself.

    Args:
        ids: Paths `CLASS/FILE` with whatever is before them.
    """
    paths = [PurePath(each) for each in ids]
    sources = [source_of(path.stem, path.parent.name) for path in paths]
    known = {source for source in sources if source is not None}
    return [
        source or (path.stem if path.stem in known else each)
        for each, path, source in zip(ids, paths, sources, strict=True)
    ]


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()
