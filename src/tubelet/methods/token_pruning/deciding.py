"""Which groups of a video stay, window by window: by a trained run, or by the pictures alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.pruning import GROUP_METHODS, GroupPruning, PruningConfig
from tubelet.methods.token_pruning.switched import require_method, with_method
from tubelet.models.token_reduction import Tokens
from tubelet.models.vit import VideoViT
from tubelet.video import Frame
from tubelet.video.transform import IMAGENET_MEAN, IMAGENET_STD

_SIZE_PX, _PATCH_PX, _POOL = 224, 16, 2
_WINDOW = 32
_WITHOUT_MODEL = tuple(method for method in GROUP_METHODS if method not in ("stts", "attention"))
SmallFrames = UInt8[np.ndarray, "time size size 3"]


@dataclass(frozen=True, kw_only=True)
class Decider:
    """Decides about windows of frames.

    Attributes:
        method: What scores.
        about: What that rests on, in words.
        size_px: Side that frames are squeezed to.
        grid: Rows and columns of patches.
        pool: Side of a group in patches.
        window: Frames that share a budget.
        decide: From normalised frames, the share that goes and the window's number to the groups that stay.
    """

    method: str
    about: str
    size_px: int
    grid: tuple[int, int]
    pool: int
    window: int
    decide: Callable[[Float[Tensor, "time 3 size size"], float, int], Bool[Tensor, "time groups"]]

    @property
    def group_grid(self) -> tuple[int, int]:
        """Rows and columns of groups."""
        return -(-self.grid[0] // self.pool), -(-self.grid[1] // self.pool)


def by_pictures(method: str, *, window: int | None, seed: int) -> Decider:
    """Squares of 32 px of a frame squeezed to 224 px, as the pixels say: no network looks at them.

    Args:
        method: What scores.
        window: Frames that share a budget; 32 if None.
        seed: Of random choices.

    Raises:
        ConfigError: There is no such method, or it needs a network.
    """
    require_method(method)
    if method not in _WITHOUT_MODEL:
        raise ConfigError(
            f"method {method!r} needs a network; name a run with --model, or give one of {', '.join(_WITHOUT_MODEL)}"
        )
    config = PruningConfig(method=method, remove=0.0, after_block=0, pool=_POOL, seed=seed)
    side = _SIZE_PX // _PATCH_PX

    def decide(frames: Tensor, remove: float, draw: int) -> Tensor:
        num_frames = len(frames)
        patches = frames.unfold(2, _PATCH_PX, _PATCH_PX).unfold(3, _PATCH_PX, _PATCH_PX)
        values = patches.permute(0, 2, 3, 1, 4, 5).reshape(num_frames, side * side, -1)
        ids = torch.arange(num_frames * side * side).reshape(num_frames, -1)
        tokens = Tokens(values=values, ids=ids, clips=torch.zeros_like(ids))
        lengths = torch.tensor([num_frames])
        reduction = GroupPruning(config, (num_frames, side, side), lengths, remove=remove, draw=draw)
        # What a transformer's blocks would ask of it, without the blocks.
        reduction.start(tokens)
        reduction.after_block(0, tokens)
        reduction.after_block(1, tokens)
        return _keep_of(tokens, num_frames, len(reduction.groups))

    return Decider(
        method=method,
        about=f"{method} on the pixels of {_PATCH_PX * _POOL} px squares of frames squeezed to {_SIZE_PX} px; no "
        "network has looked at them",
        size_px=_SIZE_PX,
        grid=(side, side),
        pool=_POOL,
        window=window or _WINDOW,
        decide=decide,
    )


def by_run(trained: PrunedVideoLanguage, name: str, method: str | None, *, window: int | None) -> Decider:
    """As a trained run decides, on frames squeezed to its size.

    Args:
        trained: The run's model.
        name: Of the run.
        method: What scores; the run's own if None.
        window: Frames that share a budget; as many as the model was built for if None.

    Raises:
        ConfigError: There is no such method, or it removes no groups.
    """
    method = trained.config.method if method is None else method
    module = with_method(trained, method)
    if method not in GROUP_METHODS:
        raise ConfigError(
            f"method {method!r} keeps or removes no parts of frames, so there is nothing to show; give --method with "
            f"one of {', '.join(GROUP_METHODS)}"
        )
    vit: VideoViT = module.model.vit
    size_px = vit.size_px
    if not isinstance(size_px, int):
        raise ConfigError(f"the model of {name} looks at frames of {size_px}; only those with square frames are shown")

    def decide(frames: Tensor, remove: float, draw: int) -> Tensor:
        lengths = torch.tensor([len(frames)])
        reduction = module.options(frames, lengths, remove=remove, draw=draw).get("reduction")
        encoded = vit.encode(frames.transpose(0, 1)[None], reduction=reduction)
        rows, columns = vit.grid[1:]
        num_groups = -(-rows // module.model.pool) * -(-columns // module.model.pool)
        return _keep_of(encoded.tokens, len(frames), num_groups)

    scores = "the run's own scorer" if method == "stts" else method
    return Decider(
        method=method,
        about=f"{scores} in the network of {name}, on frames squeezed to {size_px} px",
        size_px=size_px,
        grid=(vit.grid[1], vit.grid[2]),
        pool=module.model.pool,
        window=window or vit.num_frames,
        decide=decide,
    )


@torch.no_grad()
def kept_groups(
    frames: Iterable[Frame], decider: Decider, remove: float, *, on_frame: Callable[[], object]
) -> Iterator[tuple[float, Bool[np.ndarray, "rows columns"]]]:
    """Time of every frame and which of its groups stay. Memory is that of two windows of small frames.

    Args:
        frames: In order.
        decider: Decides.
        remove: Share of the groups of each window that goes.
        on_frame: Called for each frame that was read.

    Raises:
        ConfigError: The share cannot go, as the first frame of a window stays whole.
    """
    mean, std = (np.array(values, np.float32) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    for number, window in enumerate(_windows(frames, decider, on_frame)):
        pixels = (np.stack([small for _, small in window]) - mean) / std
        try:
            keep = decider.decide(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), remove, number)
        except ValueError as error:
            raise ConfigError(
                f"the window that begins at {window[0][0]:.3f} s: {error}; give a larger --budget or another --window"
            ) from error
        for (time_s, _), groups in zip(window, keep.numpy().reshape(-1, *decider.group_grid), strict=True):
            yield time_s, groups


def _windows(
    frames: Iterable[Frame], decider: Decider, on_frame: Callable[[], object]
) -> Iterator[list[tuple[float, UInt8[np.ndarray, "size size 3"]]]]:
    """Runs of frames; what is left at the end, too short to be a window, belongs to the last one."""
    before: list[tuple[float, np.ndarray]] = []
    now: list[tuple[float, np.ndarray]] = []
    size = (decider.size_px, decider.size_px)
    for frame in frames:
        now.append((frame.time_s, cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)))
        on_frame()
        if len(now) == decider.window:
            if before:
                yield before
            before, now = now, []
    if before or now:
        yield before + now


def _keep_of(tokens: Tokens, num_frames: int, num_groups: int) -> Tensor:
    """Which groups stay; all where nothing was removed."""
    keep: Tensor | None = tokens.notes.get("keep")
    return torch.ones(num_frames, num_groups, dtype=torch.bool) if keep is None else keep
