"""Pictures of a body of 15 joints: capsules with clothes and skin, light, a shadow, and a made-up place behind it.

Not photographs and not meant to pass for any: a network that is trained on these alone knows drawn people. They exist
so that training and evaluation can be tried, tested and measured with nothing but a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tubelet.datasets.virtual_camera import Camera
from tubelet.skeletons import HUMANOID_15

Picture = UInt8[np.ndarray, "height width 3"]
Colour = tuple[float, float, float]

PLACES = ("room", "yard", "street", "hall", "studio", "corridor")
"""Kinds of background."""

_SHIFT = 4  # cv2 takes positions in sixteenths of a pixel
_SKIN = ((236, 188, 155), (205, 150, 115), (150, 100, 70), (95, 62, 45))
# Two joints of HUMANOID_15, thickness at each in metres, and what covers it.
_LIMBS = (
    ("right_hip", "right_knee", 0.085, 0.060, "legs"),
    ("right_knee", "right_ankle", 0.058, 0.042, "legs"),
    ("left_hip", "left_knee", 0.085, 0.060, "legs"),
    ("left_knee", "left_ankle", 0.058, 0.042, "legs"),
    ("right_shoulder", "right_elbow", 0.052, 0.042, "top"),
    ("right_elbow", "right_wrist", 0.040, 0.030, "sleeve"),
    ("left_shoulder", "left_elbow", 0.052, 0.042, "top"),
    ("left_elbow", "left_wrist", 0.040, 0.030, "sleeve"),
)


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """Colours of one person, RGB 0..255."""

    top: Colour
    sleeve: Colour
    legs: Colour
    shoes: Colour
    skin: Colour
    hair: Colour


@dataclass(frozen=True)
class _Piece:
    """A rounded cone in the picture: two circles and what lies between."""

    depth: float
    ends: Float[np.ndarray, "2 2"]
    radii: tuple[float, float]
    colour: Colour


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """Draw colours: a top and trousers that differ, long or short sleeves."""
    skin = tuple(float(v) for v in np.clip(np.array(_SKIN[rng.choice(len(_SKIN))]) * rng.normal(1, 0.06), 30, 250))
    top, legs = (tuple(float(v) for v in _muted(rng, 0.75)) for _ in range(2))
    shade = float(rng.uniform(20, 230))
    hair = tuple(float(v) for v in np.array([60, 42, 28]) * rng.uniform(0.4, 2.2))
    return Outfit(
        top=top,  # type: ignore[arg-type]
        sleeve=top if rng.random() < 0.5 else skin,  # type: ignore[arg-type]
        legs=legs,  # type: ignore[arg-type]
        shoes=(shade, shade, shade),
        skin=skin,  # type: ignore[arg-type]
        hair=hair,  # type: ignore[arg-type]
    )


def _muted(rng: np.random.Generator, purity: float = 0.35) -> Float[np.ndarray, "3"]:
    """A colour that is mostly grey, as walls, floors and most things are."""
    grey = rng.uniform(45, 225)
    return np.asarray(np.clip(grey + rng.normal(0, 60, 3) * purity, 12, 245))


def place_picture(rng: np.random.Generator, kind: str, *, width: int, height: int, horizon: float) -> Picture:
    """An empty place to stand in.

    Args:
        rng: Of everything in it.
        kind: One of `PLACES`.
        width: Of the picture in pixels.
        height: Of the picture in pixels.
        horizon: Where floor and wall meet, as a share of the height.

    Raises:
        ValueError: There is no such kind of place.
    """
    if kind not in PLACES:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(PLACES)}")
    wall, floor = _muted(rng), _muted(rng)
    if kind == "yard":
        wall, floor = np.array([150, 185, 225]) * rng.uniform(0.6, 1.1), np.array([95, 140, 70]) * rng.uniform(0.6, 1.3)
    elif kind == "studio":
        floor = wall * rng.uniform(0.75, 0.95)
    row = int(np.clip(horizon, 0.15, 0.9) * height)
    image = np.empty((height, width, 3), np.float32)
    image[:row] = wall * np.linspace(1.1, 0.9, row)[:, None, None]
    image[row:] = floor * np.linspace(0.75, 1.05, height - row)[:, None, None]
    image += _texture(rng, width, height, rng.uniform(4, 16))
    canvas = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
    for _ in range({"room": 7, "yard": 14, "street": 26, "hall": 6, "studio": 0, "corridor": 5}[kind]):
        _add_thing(rng, canvas, kind, row)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.4, 1.3))))


def _texture(rng: np.random.Generator, width: int, height: int, strength: float) -> Float[np.ndarray, "height width 3"]:
    """Soft unevenness at three scales."""
    total = np.zeros((height, width, 3), np.float32)
    for cells in (6, 24, 80):
        coarse = rng.normal(0, 1, (cells, cells, 1)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    return total * np.float32(strength / 2)


def _add_thing(rng: np.random.Generator, canvas: Picture, kind: str, row: int) -> None:
    """One window, tree, house front, stripe or door."""
    height, width = canvas.shape[:2]
    colour = tuple(float(v) for v in _muted(rng))
    x, w = rng.uniform(-0.1, 1.0) * width, rng.uniform(0.05, 0.22) * width
    if kind == "yard":
        base, size = row + rng.uniform(-0.02, 0.06) * height, rng.uniform(0.04, 0.14) * height
        green = tuple(float(v) for v in np.array([50, 100, 45]) * rng.uniform(0.5, 1.4))
        cv2.line(canvas, (int(x), int(base)), (int(x), int(base - 2 * size)), (80.0, 60.0, 40.0), 2, cv2.LINE_AA)
        cv2.circle(canvas, (int(x), int(base - 2.4 * size)), int(size), green, -1, cv2.LINE_AA)
    elif kind == "hall":
        y = row + (height - row) * rng.random()
        cv2.line(canvas, (0, int(y)), (width, int(y + rng.normal(0, 12))), colour, 2, cv2.LINE_AA)
    else:
        top = row * rng.uniform(0.05, 0.7)
        bottom = row if kind == "corridor" or rng.random() < 0.4 else min(top + w * rng.uniform(0.6, 1.8), row)
        cv2.rectangle(canvas, (int(x), int(top)), (int(x + w), int(bottom)), colour, -1)
        edge = tuple(value * 0.6 for value in colour)
        cv2.rectangle(canvas, (int(x), int(top)), (int(x + w), int(bottom)), edge, 1)


def draw_person(
    picture: Picture,
    joints_m: Float[np.ndarray, "15 3"],
    forward_m: Float[np.ndarray, "3"],
    camera: Camera,
    look: Outfit,
) -> None:
    """Draw one person into a picture, far parts first.

    Args:
        picture: Changed in place.
        joints_m: Joints of HUMANOID_15.
        forward_m: Unit vector of where the person faces.
        camera: Through which they are seen.
        look: Their colours.
    """
    at = dict(zip(HUMANOID_15.joints, joints_m, strict=True))
    _shadow(picture, joints_m, camera)
    head = at["neck"] + np.array([0.0, 0.13, 0.0]) * 0.35 + (at["nose"] - at["neck"]) * 0.55
    pieces = [_piece(camera, at[a], at[b], r, s, getattr(look, part)) for a, b, r, s, part in _LIMBS]
    hips, shoulders = at["pelvis"], at["neck"]
    for side in ("left", "right"):
        pieces.append(_piece(camera, at[f"{side}_shoulder"], at[f"{side}_hip"], 0.085, 0.095, look.top))
        pieces.append(_piece(camera, at[f"{side}_wrist"], at[f"{side}_wrist"], 0.042, 0.042, look.skin))
        toe = at[f"{side}_ankle"] + forward_m * 0.15 - np.array([0.0, 0.05, 0.0])
        pieces.append(_piece(camera, at[f"{side}_ankle"], toe, 0.045, 0.035, look.shoes))
    pieces.append(_piece(camera, hips, shoulders, 0.115, 0.095, look.top))
    pieces.append(_piece(camera, at["neck"], head, 0.05, 0.05, look.skin))
    pieces.append(_piece(camera, head - forward_m * 0.035 + [0.0, 0.03, 0.0], head, 0.112, 0.108, look.hair))
    pieces.append(_piece(camera, head + forward_m * 0.035, head + forward_m * 0.03, 0.098, 0.098, look.skin))
    for piece in sorted((piece for piece in pieces if piece is not None), key=lambda piece: -piece.depth):
        _draw_piece(picture, piece)
    _draw_face(picture, camera, head, forward_m)


def _piece(
    camera: Camera,
    start_m: Float[np.ndarray, "3"],
    end_m: Float[np.ndarray, "3"],
    start_radius_m: float,
    end_radius_m: float,
    colour: Colour,
) -> _Piece | None:
    """A part of the body as it is seen, None behind or beside the camera."""
    points, depth = camera.project(np.stack([start_m, end_m]))
    if depth.min() < 0.3:
        return None
    radii = (camera.focal_px * start_radius_m / depth[0], camera.focal_px * end_radius_m / depth[1])
    return _Piece(float(depth.mean()), points, radii, colour)


def _draw_piece(picture: Picture, piece: _Piece) -> None:
    """Dark edge, body colour, lit side: three rounded cones inside each other."""
    light = np.array([-0.25, -0.3])
    for share, brightness, offset in ((1.0, 0.62, 0.0), (0.84, 0.92, 0.4), (0.5, 1.12, 0.9)):
        colour = tuple(float(min(255.0, value * brightness)) for value in piece.colour)
        radii = np.array(piece.radii) * share
        ends = piece.ends + light * np.array(piece.radii)[:, None] * offset
        _fill_cone(picture, ends, radii, colour)


def _fill_cone(
    picture: Picture, ends: Float[np.ndarray, "2 2"], radii: Float[np.ndarray, "2"], colour: tuple[float, ...]
) -> None:
    scale = 1 << _SHIFT
    along = ends[1] - ends[0]
    length = float(np.hypot(*along))
    if length > 1e-3:
        side = np.array([-along[1], along[0]]) / length
        quad = np.stack(
            [ends[0] + side * radii[0], ends[1] + side * radii[1], ends[1] - side * radii[1], ends[0] - side * radii[0]]
        )
        cv2.fillConvexPoly(picture, np.round(quad * scale).astype(np.int32), colour, cv2.LINE_AA, _SHIFT)
    for end, radius in zip(ends, radii, strict=True):
        centre = (round(float(end[0]) * scale), round(float(end[1]) * scale))
        cv2.circle(picture, centre, max(1, round(float(radius) * scale)), colour, -1, cv2.LINE_AA, _SHIFT)


def _draw_face(
    picture: Picture, camera: Camera, head_m: Float[np.ndarray, "3"], forward_m: Float[np.ndarray, "3"]
) -> None:
    """Eyes and mouth where the face is turned to the camera."""
    towards = camera.position_m - head_m
    towards = towards / np.linalg.norm(towards)
    if forward_m @ towards < 0.25:
        return
    right = np.cross(forward_m, [0.0, 1.0, 0.0])
    spots = np.stack(
        [
            head_m + forward_m * 0.12 + right * x + np.array([0.0, y, 0.0])
            for x, y in ((-0.035, 0.02), (0.035, 0.02), (0, -0.045))
        ]
    )
    points, depth = camera.project(spots)
    scale = 1 << _SHIFT
    for point, z in zip(points, depth, strict=True):
        centre = (round(float(point[0]) * scale), round(float(point[1]) * scale))
        radius = max(1, round(camera.focal_px * 0.014 / float(z) * scale))
        cv2.circle(picture, centre, radius, (35.0, 25.0, 25.0), -1, cv2.LINE_AA, _SHIFT)


def _shadow(picture: Picture, joints_m: Float[np.ndarray, "15 3"], camera: Camera) -> None:
    """A soft dark patch on the ground below the body."""
    ground = joints_m.copy()
    ground[:, 1] = 0.0
    points, depth = camera.project(ground)
    if depth.min() < 0.3:
        return
    centre = points.mean(axis=0)
    half = np.maximum(
        np.ptp(points, axis=0) / 2, [camera.focal_px * 0.2 / depth.mean(), camera.focal_px * 0.06 / depth.mean()]
    )
    x0, y0 = np.maximum(np.floor(centre - 1.6 * half).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(centre + 1.6 * half).astype(int), [picture.shape[1], picture.shape[0]])
    if x1 <= x0 or y1 <= y0:
        return
    ys, xs = np.mgrid[y0:y1, x0:x1]
    distance = ((xs - centre[0]) / half[0]) ** 2 + ((ys - centre[1]) / half[1]) ** 2
    dark = 1 - 0.45 * np.exp(-distance)
    picture[y0:y1, x0:x1] = (picture[y0:y1, x0:x1] * dark[..., None]).astype(np.uint8)
