"""Where people and their faces are in footage, hidden before, between and after the moments at which they are found."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tubelet.methods.anonymization.fills import LEAST_PRESENCE
from tubelet.methods.anonymization.followed import Follower, Found
from tubelet.people.boxes import Boxes
from tubelet.people.landmarks import Pose
from tubelet.people.tiles import choose_tile_px

HidePeople = Literal["none", "face", "body"]

DETECTION_HZ = 5.0
REACH_S = 0.5
"""A box hides so long before and after it is found: a detector that misses once shows nothing."""

_MARGIN = 0.12  # of the box's sides
_FACE_SHARE = 0.3  # of an upright box's height, where no landmarks say better
_FACE_POINTS = slice(0, 11)
_FACE_MARGIN = 0.3  # of a found face's sides: it reaches from the forehead to the chin, and the head is larger
_PROBE_EVERY = 14  # looks, about 3 s: then small people are looked for, however large those who are known


class Detector(Protocol):
    """What finds people (see `tubelet.people.detector`)."""

    def detect(self, image: UInt8[np.ndarray, "height width 3"], *, tile_px: int | None = None) -> Boxes:
        """People in an image."""
        ...


class Landmarks(Protocol):
    """What finds their joints (see `tubelet.people.landmarks`)."""

    def estimate_many(
        self, image: UInt8[np.ndarray, "height width 3"], boxes_px: list[Float[np.ndarray, " 4"]]
    ) -> list[Pose]:
        """One pose per box."""
        ...


class Faces(Protocol):
    """What finds their faces (see `tubelet.people.faces`)."""

    def detect(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        *,
        people_px: Sequence[Float[np.ndarray, " 4"]] | Float[np.ndarray, "people 4"] = (),
        tile_px: int | None = None,
    ) -> Boxes:
        """Faces in an image, looked for at people and everywhere else."""
        ...


class PeopleRegions:
    """Looks for people a few times a second and remembers them for a while.

    Where faces are to be hidden, they are found in three ways, and each alone is enough to hide one: by a face
    detector, by the landmarks of a body, and as the upper part of a person's box.

    Args:
        detector: Finds boxes.
        landmarks: Finds joints, for faces and figures.
        hide: "face" or "body".
        faces: Finds faces, also of people whom the detector misses; needed to hide faces.

    Attributes:
        needs_poses: Whether joints are needed to hide.
        history: What was found in every look.
        follower: Who of one look is who of the next.

    Raises:
        ValueError: Faces are to be hidden and nothing finds them.
    """

    def __init__(self, detector: Detector, landmarks: Landmarks, hide: HidePeople, faces: Faces | None = None) -> None:
        if hide == "face" and faces is None:
            raise ValueError('hide is "face" and no face detector was given; give one, or hide "body"')
        self._detector, self._landmarks, self._hide = detector, landmarks, hide
        self._faces = faces if hide == "face" else None
        self._found: deque[Found] = deque()
        self.needs_poses = hide == "face"
        self.history: list[Found] = []
        self.follower = Follower()

    def look(self, image: UInt8[np.ndarray, "height width 3"], time_s: float) -> Found:
        """Find the people of a picture and remember them."""
        # Small people are looked for in fine squares, as `tubelet recognize` does, every second time.
        height, width = image.shape[:2]
        known = self.nearest(time_s)
        heights = (known[:, 3] - known[:, 1]).tolist() if len(self.history) % _PROBE_EVERY else []
        tile_px = choose_tile_px(width, height, heights) if len(self.history) % 2 == 0 else None
        boxes_px = self._detector.detect(image, tile_px=tile_px).xyxy_px
        found = Found(time_s, boxes_px, self._faces_of(image, boxes_px, tile_px))
        self._found.append(found)
        self.history.append(found)
        self.follower.add(found)
        return found

    def forget(self, before_s: float) -> None:
        """Drop what is too old to hide anything from here on."""
        while self._found and self._found[0].time_s < before_s - REACH_S:
            self._found.popleft()
        self.follower.forget(before_s - 2 * REACH_S)

    def boxes_at(self, time_s: float) -> Float[np.ndarray, "boxes 4"]:
        """Boxes that hide at a moment: all that were found shortly before and after, and where those go who move."""
        near = [each.boxes_px for each in self._found if abs(each.time_s - time_s) <= REACH_S]
        return np.concatenate([*near, self.follower.moving(time_s, REACH_S)])

    def nearest(self, time_s: float) -> Float[np.ndarray, "people 4"]:
        """Boxes that were found nearest to a moment."""
        if not self._found:
            return np.zeros((0, 4), np.float32)
        return min(self._found, key=lambda each: abs(each.time_s - time_s)).boxes_px

    def poses(self, image: UInt8[np.ndarray, "height width 3"], time_s: float) -> list[Pose]:
        """Joints of the people, in boxes that were found nearest to the moment."""
        boxes = [_grown(box, 0.05) for box in self.nearest(time_s)]
        return self._landmarks.estimate_many(image, boxes) if boxes else []

    def faces(self, image: UInt8[np.ndarray, "height width 3"], time_s: float) -> Float[np.ndarray, "faces 4"]:
        """Faces that the face detector finds in a picture; none where bodies are hidden."""
        for look in self._found:
            if look.time_s == time_s:
                return look.faces_px
        return self._faces_of(image, self.nearest(time_s), None)

    def _faces_of(
        self, image: UInt8[np.ndarray, "height width 3"], boxes_px: Float[np.ndarray, "people 4"], tile_px: int | None
    ) -> Float[np.ndarray, "faces 4"]:
        if self._faces is None:
            return np.zeros((0, 4), np.float32)
        has_size = (boxes_px[:, 2:] > boxes_px[:, :2]).all(axis=1)
        return self._faces.detect(image, people_px=boxes_px[has_size], tile_px=tile_px).xyxy_px

    def bodies(
        self, size: tuple[int, int], time_s: float, *, without: Collection[int]
    ) -> Bool[np.ndarray, "height width"]:
        """Pixels of whole people who were found shortly before or after a moment.

        Args:
            size: Rows and columns of the picture.
            time_s: The moment.
            without: Numbers of the people who are hidden otherwise (see `Follower`).
        """
        mask = np.zeros(size, bool)
        for box in self.follower.near(time_s, REACH_S, without=without):
            _mark(mask, _grown(box, _MARGIN))
        return mask

    def hidden(
        self,
        size: tuple[int, int],
        time_s: float,
        poses: list[Pose],
        faces_px: Float[np.ndarray, "faces 4"],
    ) -> Bool[np.ndarray, "height width"]:
        """Pixels to hide at a moment.

        Args:
            size: Rows and columns of the picture.
            time_s: The moment.
            poses: Of the people there, as `poses` returned them; for faces.
            faces_px: The faces there, as `faces` returned them.
        """
        mask = np.zeros(size, bool)
        for box in self.boxes_at(time_s):
            if self._hide == "body":
                _mark(mask, _grown(box, _MARGIN))
            else:
                _mark(mask, _grown(_upper_part(box), _MARGIN))
        if self._hide == "face":
            for pose in poses:
                if pose.presence >= LEAST_PRESENCE:
                    _mark(mask, face_box(pose))
            remembered = [each.faces_px for each in self._found if abs(each.time_s - time_s) <= REACH_S]
            for face in np.concatenate([faces_px, *remembered]):
                _mark(mask, _grown(face, _FACE_MARGIN))
        return mask


def face_box(pose: Pose) -> Float[np.ndarray, " 4"]:
    """A box round the head: a square on the points of the face, as wide as head and shoulders make likely."""
    points = pose.landmarks[_FACE_POINTS, :2]
    middle = points.mean(0)
    shoulders = float(np.linalg.norm(pose.landmarks[11, :2] - pose.landmarks[12, :2]))
    spread = float(np.abs(points - middle).max())
    half = max(2.2 * spread, 0.45 * shoulders, 4.0)
    return np.array([middle[0] - half, middle[1] - 1.2 * half, middle[0] + half, middle[1] + half])


def _upper_part(box: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " 4"]:
    """Where a face is in a box, if its person stands or sits; all of a box that lies."""
    x0, y0, x1, y1 = box
    share = _FACE_SHARE if y1 - y0 > x1 - x0 else 1.0
    return np.array([x0, y0, x1, y0 + share * (y1 - y0)])


def _grown(box: Float[np.ndarray, " 4"], share: float) -> Float[np.ndarray, " 4"]:
    x0, y0, x1, y1 = box
    across, along = share * (x1 - x0), share * (y1 - y0)
    return np.array([x0 - across, y0 - along, x1 + across, y1 + along])


def _mark(mask: Bool[np.ndarray, "height width"], box: Float[np.ndarray, " 4"]) -> None:
    height, width = mask.shape
    x0, y0 = (max(0, int(np.floor(value))) for value in box[:2])
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x1 > x0 and y1 > y0:
        mask[y0:y1, x0:x1] = True
