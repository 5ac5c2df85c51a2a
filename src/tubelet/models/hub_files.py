"""Finding a published model: a folder on this machine, or a repository of a model hub that its client brings."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from tubelet.errors import MissingExtraError, WeightsError
from tubelet.weights import is_offline

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# No Python and no pickles: neither is ever run.
_PATTERNS = ("*.json", "*.safetensors", "merges.txt", "vocab.txt")
_PREPROCESSING = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")


def model_folder(source: str | os.PathLike[str], *, revision: str | None = None) -> Path:
    """The folder with a published model's files.

    Args:
        source: A folder, or a hub id such as `owner/name`.
        revision: Branch, tag or commit on the hub.

    Returns:
        The folder itself, or the one in the cache of the hub's client that the repository was brought into. With
        `TUBELET_OFFLINE` set nothing is fetched and only what is in that cache is found.

    Raises:
        WeightsError: There is no such folder; the hub cannot be reached, is not allowed, or has no such repository; the
            weights are only there as a pickle.
        MissingExtraError: A hub id was given and the hub's client is not installed.
    """
    folder = Path(source).expanduser()
    name = os.fspath(source)
    if not folder.exists():
        if not _HUB_ID.fullmatch(name):
            raise WeightsError(f"{name}: there is no such folder, and it is no hub id (owner/name)")
        folder = _brought(name, revision)
    elif not folder.is_dir():
        raise WeightsError(f"{name}: is a file; give the folder that holds config.json and model.safetensors")
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{name}: has no config.json; give a model as transformers' save_pretrained writes it")
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth"))
        there = f"only {', '.join(pickles)}, which may run code when read" if pickles else "no weights"
        raise WeightsError(
            f"{name}: has {there}; only .safetensors are read. Take a revision or repository that has "
            "model.safetensors, or convert it with save_pretrained(..., safe_serialization=True) where you trust it"
        )
    return folder


def _brought(hub_id: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise missing_hub_extra(hub_id) from error
    offline = is_offline()
    try:
        return Path(
            snapshot_download(
                hub_id, revision=revision, allow_patterns=list(_PATTERNS), local_files_only=offline, max_workers=2
            )
        )
    except (OSError, ValueError) as error:
        why = (
            "is not in the local cache and TUBELET_OFFLINE is set"
            if offline
            else f"cannot be brought ({(str(error).splitlines() or [type(error).__name__])[0]})"
        )
        raise WeightsError(
            f"{hub_id}: there is no folder of this name, and the hub repository {why}; on a connected machine run "
            f"`hf download {hub_id}`, copy the folder it prints, and give that folder here"
        ) from error


def missing_hub_extra(what: str) -> MissingExtraError:
    """The error that says what to install for published models."""
    return MissingExtraError(f"{what}: models of others need transformers; run `pip install tubelet[hub]`")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        WeightsError: It cannot be read or is no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read as JSON ({error}); copy or download it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds no JSON object; copy or download it again")
    return content


def preprocessing_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file that says how pictures become input, and what it says.

    Raises:
        WeightsError: There is none.
    """
    for name in _PREPROCESSING:
        path = folder / name
        if path.is_file():
            content = read_json(path)
            for part in ("video_processor", "image_processor"):
                if isinstance(content.get(part), dict):
                    return path, content[part]
            if "image_mean" in content or "size" in content:
                return path, content
    raise WeightsError(
        f"{folder}: has none of {', '.join(_PREPROCESSING)} that says how pictures are prepared; the model would see "
        "other pictures than it was trained on. Copy the file from the repository that the weights are from"
    )
