"""report.html: originals, masks and results side by side, and what is left to see."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from tubelet.methods.anonymization.apply import Applied
from tubelet.runs import Metric
from tubelet.runs.pages import fill_page

_JPEG_QUALITY = 85


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One video on the page.

    Attributes:
        applied: What was done.
        left: What was measured on the result; empty where nothing was.
        why_not: Why nothing could be measured.
    """

    applied: Applied
    left: Mapping[str, Metric]
    why_not: str = "--no-measure"


def render_page(
    videos: Sequence[Shown], failed: Sequence[tuple[str, str]], settings: Mapping[str, Any], warning: str
) -> str:
    """The whole page; it needs no other file and loads nothing.

    Args:
        videos: What was hidden.
        failed: Sources that could not be, with the reason.
        settings: Of the command.
        warning: What this does not protect against.
    """
    values = {"videos": videos, "failed": failed, "settings": settings, "warning": warning}
    return fill_page(
        "tubelet.methods.anonymization",
        "report",
        values,
        filters={"picture": _picture, "words": lambda text: text.replace("_", " ")},
    )


def _picture(image: UInt8[np.ndarray, "height width 3"]) -> str:
    """As a data address."""
    good, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not good:
        raise ValueError(f"a picture of shape {image.shape} cannot be coded")
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
