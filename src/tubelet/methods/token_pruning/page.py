"""What the commands of this method leave behind: a folder that was free, and pages that open without a network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup

from tubelet.errors import ConfigError, OutputExistsError
from tubelet.runs.pages import fill_page

_JPEG_QUALITY = 85


def require_empty(folder: Path, *, overwrite: bool) -> None:
    """See that results have a place, before the work; makes nothing.

    Raises:
        OutputExistsError: Something lies in the folder, and nothing may be replaced.
        ConfigError: It is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out is {folder}, which is a file; name a folder")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise OutputExistsError(f"{folder} is not empty; give another --out, or --overwrite to write into it")


def page_of(name: str, values: Mapping[str, object]) -> str:
    """A page of this method.

    Args:
        name: Of its template.
        values: What the template speaks of.
    """
    filters: dict[str, Callable[..., object]] = {"picture": _picture, "words": _words, "svg": _svg, "percent": _percent}
    return fill_page("tubelet.methods.token_pruning", name, values, filters=filters)


def _svg(text: str) -> str:
    return Markup(text)  # noqa: S704 - drawn by chart.py, which escapes what comes from outside


def _words(text: str) -> str:
    return text.replace("_", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _picture(image: UInt8[np.ndarray, "height width 3"]) -> str:
    """As a data address."""
    good, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not good:
        raise ValueError(f"a picture of shape {image.shape} cannot be coded")
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
