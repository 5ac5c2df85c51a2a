"""What a frozen network made of clips, kept on disk, so that a second training over it does not compute it again.

An entry belongs to the bytes of a file, a part of it, and everything else that the features depend on. Whatever of
these changes makes another key, so an old entry is never taken for a new one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from tubelet.datasets.array_store import ArrayStore
from tubelet.datasets.labelled import LabelledClip
from tubelet.errors import DatasetError, VideoReadError
from tubelet.weights.archives import file_sha256


class FileHashes:
    """SHA-256 of files, each computed once for a path, size and time of change, and remembered in a file.

    Args:
        path: The file to remember them in, one JSON line for each; several processes may add to it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._known: dict[str, tuple[int, int, str]] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._remember(line)

    def _remember(self, line: str) -> None:
        try:
            name, size, changed_ns, digest = json.loads(line)
        except (ValueError, TypeError):
            return  # the last line of a process that was killed; its file is hashed again
        self._known[name] = (size, changed_ns, digest)

    def of(self, path: str | os.PathLike[str]) -> str:
        """The hash of a file, hexadecimal.

        Raises:
            VideoReadError: The file cannot be read.
        """
        try:
            facts = os.stat(path)
            name = os.path.abspath(path)
            size, changed_ns, digest = self._known.get(name, (-1, -1, ""))
            if (size, changed_ns) != (facts.st_size, facts.st_mtime_ns):
                digest = file_sha256(path)
                self._known[name] = (facts.st_size, facts.st_mtime_ns, digest)
                line = json.dumps([name, facts.st_size, facts.st_mtime_ns, digest])
                # One write to the end of the file: lines of several processes do not mix.
                with open(self._path, "ab", buffering=0) as file:
                    file.write(f"{line}\n".encode())
        except FileNotFoundError as error:
            raise VideoReadError(path, "missing", "there is no such file; check the path") from error
        except PermissionError as error:
            raise VideoReadError(path, "permission", f"it may not be read ({error.strerror})") from error
        return digest


class FeatureCache:
    """Features of clips on disk, safe to share between processes.

    Args:
        folder: Made where it is missing; caches of different facts may share it.
        facts: All that the features depend on besides the file and the span: the sampling, the SHA-256 of the weights,
            the version of the code.
        dtype: What is kept; "float16" takes half the space and keeps three digits.

    Raises:
        DatasetError: The folder cannot be made.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        facts: Mapping[str, str],
        *,
        dtype: Literal["float16", "float32"] = "float32",
    ) -> None:
        self.facts = dict(sorted(facts.items()))
        self.dtype = dtype
        self._store = ArrayStore(folder)
        self._hashes = FileHashes(Path(folder) / "file_hashes.jsonl")

    @property
    def num_found(self) -> int:
        """Clips whose features were there."""
        return self._store.counts.found

    @property
    def num_missing(self) -> int:
        """Clips whose features were not there, or damaged."""
        return self._store.counts.missing

    @property
    def num_damaged(self) -> int:
        """Entries that were not as they had been written, and were not used."""
        return self._store.counts.damaged

    def key(self, clip: LabelledClip) -> str:
        """The key of a clip, hexadecimal; the same for the same bytes wherever the file lies.

        Raises:
            VideoReadError: The file cannot be read.
        """
        facts = [self._hashes.of(clip.path), clip.start_s, clip.end_s, self.facts, self.dtype]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def get(self, clip: LabelledClip) -> Float[np.ndarray, "*shape"] | None:
        """The features of a clip, or None where they are not there or damaged."""
        return self._store.get(self.key(clip))

    def put(self, clip: LabelledClip, features: Float[np.ndarray, "*shape"]) -> None:
        """Keep the features of a clip.

        Raises:
            DatasetError: They hold a value that is not finite, or cannot be written.
        """
        # An overflow is found below, and told of in words.
        with np.errstate(over="ignore"):
            kept = features.astype(self.dtype)
        if not np.isfinite(kept).all():
            hint = "keep float32, or look at the network" if np.isfinite(features).all() else "look at the network"
            raise DatasetError(f"{clip.id}: its features are not finite as {self.dtype}; {hint}")
        self._store.put(self.key(clip), kept)

    def get_or_make(
        self, clip: LabelledClip, make: Callable[[], Float[np.ndarray, "*shape"]]
    ) -> Float[np.ndarray, "*shape"]:
        """The features of a clip, made and kept where they are not there; in both cases as they are kept."""
        features = self.get(clip)
        if features is None:
            features = make().astype(self.dtype)
            self.put(clip, features)
        return features
