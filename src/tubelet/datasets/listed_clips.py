"""Clips that annotation files list, put together with the video files that they are in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tubelet.datasets.annotation_files import Place
from tubelet.datasets.clip_ids import path_id
from tubelet.datasets.labelled import ClipSet, LabelledClip, Split
from tubelet.datasets.video_files import VideoIndex, left_out


class ListedClips:
    """Collects what annotation files list, each file of the dataset once.

    Args:
        root: Folder with the videos at any depth.

    Attributes:
        missing: Names of those whose file is not there.

    Raises:
        DatasetError: There is no such folder, or no video in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._index = VideoIndex(root)
        self._clips: list[LabelledClip] = []
        self._places: dict[str, Place] = {}
        self.missing: list[str] = []

    def add(
        self,
        name: str,
        place: Place,
        *,
        stems: Sequence[str],
        labels: tuple[int, ...],
        group: str,
        split: Split | None,
        near: Sequence[str] = (),
    ) -> None:
        """Take a clip in.

        Args:
            name: What the annotations call it.
            place: Where they do.
            stems: Names that its file may have, without the ending, the usual one first.
            labels: Indices into the classes.
            group: What it shares with others.
            split: Which part of the data it belongs to.
            near: Names of folders that tell files of one name apart.

        Raises:
            DatasetError: It was taken in already, or its name fits several files.
        """
        path = self.find(name, place, stems=stems, near=near)
        if path is not None:
            self._clips.append(
                LabelledClip(id=path_id(path, self._root), path=path, labels=labels, group=group, split=split)
            )

    def find(self, name: str, place: Place, *, stems: Sequence[str], near: Sequence[str] = ()) -> Path | None:
        """The file of a clip, None where it is missing.

        Raises:
            DatasetError: As `add`.
        """
        before = self._places.setdefault(name, place)
        if before is not place:
            raise place.error(f"{name} is in {before.path.name}, {before.where} already; keep one of the two")
        for stem in stems:
            path = self._index.find(stem, near=near)
            if path is not None:
                return path
        self.missing.append(name)
        return None

    def left_out(self, *, allow_missing: bool) -> str:
        """As `video_files.left_out`, for these."""
        return left_out(self.missing, len(self._places), self._root, allow_missing=allow_missing)

    def clip_set(
        self, name: str, classes: Sequence[str], *, split_rule: str, group_rule: str, allow_missing: bool
    ) -> ClipSet:
        """The clips as a set; what is missing is said in its `split_rule`.

        Raises:
            DatasetError: Files are missing and that was not allowed, or all are.
        """
        return ClipSet(
            name=name,
            root=self._root,
            classes=tuple(classes),
            clips=tuple(self._clips),
            split_rule=split_rule + self.left_out(allow_missing=allow_missing),
            group_rule=group_rule,
        )
