"""Motion capture from files inside the pybullet package, and the `Motion` that recorded and procedural actions share.

A file is JSON with `Loop` (`wrap` or `none`) and `Frames`; each frame has 44 numbers: its duration in seconds, the
root's position (3) and rotation (quaternion w, x, y, z), then rotations relative to the parent: chest, neck, right hip
(4 each), right knee (1), right ankle (4), right shoulder (4), right elbow (1), and the same five for the left side. A
single number is an angle in radians about z. Y is up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tubelet.datasets import humanoid
from tubelet.errors import DatasetError

NUM_COLUMNS = 44
_WIDTHS = (4, 4, 4, 4, 1, 4, 4, 1, 4, 1, 4, 4, 1)  # numbers per rotation, in the order of humanoid.ROTATIONS

LABEL_OF_CLIP: Mapping[str, str] = {
    "0walk_forward": "walk",
    "humanoid3d_backflip": "backflip",
    "humanoid3d_cartwheel": "cartwheel",
    "humanoid3d_crawl": "crawl",
    "humanoid3d_dance_a": "dance",
    "humanoid3d_dance_b": "dance",
    "humanoid3d_getup_facedown": "getup",
    "humanoid3d_getup_faceup": "getup",
    "humanoid3d_jump": "jump",
    "humanoid3d_kick": "kick",
    "humanoid3d_punch": "punch",
    "humanoid3d_roll": "roll",
    "humanoid3d_run": "run",
    "humanoid3d_spin": "spin",
    "humanoid3d_spinkick": "spinkick",
    "humanoid3d_walk": "walk",
    "turn_left0": "walk",
    "turn_left1": "walk",
    "turn_right0": "walk",
    "turn_right1": "walk",
}
"""The action each human clip shows. The package holds one more file, a quadruped's."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """One stretch of one person's movement.

    Attributes:
        name: Which motion this is.
        label: The action it shows.
        source_clip: The file or procedure it came from; splits are made by it.
        fps: Frames per second.
        loops: True where the last frame leads on to the first.
        root_m: Position of the pelvis.
        rotations: Unit quaternions in the order of `humanoid.ROTATIONS`.
    """

    name: str
    label: str
    source_clip: str
    fps: float
    loops: bool
    root_m: Float[np.ndarray, "time 3"]
    rotations: Float[np.ndarray, "time 13 4"]

    def __len__(self) -> int:
        return len(self.root_m)

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the last."""
        return (len(self) - 1) / self.fps

    @property
    def joints_m(self) -> Float[np.ndarray, "time 15 3"]:
        """Where the joints of HUMANOID_15 are, on the default body."""
        return humanoid.joint_positions(self.root_m, self.rotations)

    def at(
        self, times_s: Float[np.ndarray, "samples"]
    ) -> tuple[Float[np.ndarray, "samples 3"], Float[np.ndarray, "samples 13 4"]]:
        """Root positions and rotations at any times, held still before the first and after the last frame."""
        place = np.clip(times_s * self.fps, 0, len(self) - 1)
        low = np.minimum(place.astype(int), max(len(self) - 2, 0))
        high = np.minimum(low + 1, len(self) - 1)
        weight = place - low
        root = self.root_m[low] * (1 - weight[:, None]) + self.root_m[high] * weight[:, None]
        return root, humanoid.blend(self.rotations[low], self.rotations[high], weight[:, None])


def read_motion(path: str | Path, name: str | None = None) -> Motion:
    """Read one motion file.

    Args:
        path: A file in the format described above.
        name: What to call it; the file's stem where not given. It also decides the label.

    Raises:
        DatasetError: The file is not such a file, or shows an action that is not known.
    """
    path = Path(path)
    name = name or path.stem
    label = LABEL_OF_CLIP.get(name)
    if label is None:
        raise DatasetError(f"{path}: no action is known for a clip named {name!r}; known: {', '.join(LABEL_OF_CLIP)}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path}: not a motion file (JSON with Loop and Frames expected): {error}") from error
    if not isinstance(content, dict) or content.get("Loop") not in ("wrap", "none") or "Frames" not in content:
        raise DatasetError(f"{path}: not a motion file: needs the keys Loop (wrap or none) and Frames")
    rows = content["Frames"]
    if len(rows) < 2 or any(len(row) != NUM_COLUMNS for row in rows):
        widths = sorted({len(row) for row in rows})
        raise DatasetError(f"{path}: {len(rows)} frames of {widths} numbers; at least 2 frames of {NUM_COLUMNS} needed")
    table = np.asarray(rows, dtype=np.float64)
    if not np.isfinite(table).all() or table[0, 0] <= 0:
        raise DatasetError(
            f"{path}: a number is not finite, or the first frame lasts {table[0, 0]} s; must be positive"
        )
    return Motion(
        name=name,
        label=label,
        source_clip=name,
        fps=1 / float(table[0, 0]),
        loops=content["Loop"] == "wrap",
        root_m=table[:, 1:4],
        rotations=_rotations(table[:, 4:]),
    )


def _rotations(columns: Float[np.ndarray, "time 40"]) -> Float[np.ndarray, "time 13 4"]:
    """Unit quaternions for every joint, continuous in time."""
    parts = []
    start = 0
    for width in _WIDTHS:
        part = columns[:, start : start + width]
        parts.append(humanoid.about("z", part[:, 0]) if width == 1 else humanoid.normalise(part))
        start += width
    return humanoid.align_signs(np.stack(parts, axis=1))


def looped(motion: Motion, duration_s: float) -> Motion:
    """Repeat a motion until it lasts `duration_s`, each round going on where the last one ended.

    Source files repeat their first frame at the end of a round; it is left out. A round that ends with another heading
    turns the next.
    """
    if not motion.loops:
        raise ValueError(f"motion {motion.name} does not loop")
    period = len(motion) - 1
    frames = round(duration_s * motion.fps) + 1
    rounds = math.ceil(frames / period)
    step_m = motion.root_m[-1] - motion.root_m[0]
    turn = humanoid.heading_rad(motion.rotations[-1, 0]) - humanoid.heading_rad(motion.rotations[0, 0])
    roots, rotations = [], []
    place, heading = motion.root_m[0] * [1.0, 0.0, 1.0], 0.0
    for _ in range(rounds):
        about_y = humanoid.about("y", heading)
        spin = humanoid.matrices(about_y)
        roots.append((motion.root_m[:-1] - motion.root_m[0] * [1.0, 0.0, 1.0]) @ spin.T + place)
        turned = motion.rotations[:-1].copy()
        turned[:, 0] = humanoid.multiply(np.broadcast_to(about_y, turned[:, 0].shape), turned[:, 0])
        rotations.append(turned)
        place = place + spin @ (step_m * [1.0, 0.0, 1.0])
        heading += float(turn)
    return Motion(
        name=motion.name,
        label=motion.label,
        source_clip=motion.source_clip,
        fps=motion.fps,
        loops=False,
        root_m=np.concatenate(roots)[:frames],
        rotations=humanoid.align_signs(np.concatenate(rotations))[:frames],
    )
