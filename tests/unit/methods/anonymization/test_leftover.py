"""What is left to see, over small videos with stand-ins for the pretrained parts and made-up recognitions."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tubelet.errors import ConfigError
from tubelet.methods.anonymization import leftover
from tubelet.methods.anonymization.agreement import Recognised, Track
from tubelet.methods.anonymization.leftover import Sightings, frames_from, measure_leftover, sightings
from tubelet.people.boxes import Boxes
from tubelet.video import VideoReader, VideoWriter

WIDTH, HEIGHT, FPS = 160, 96, 4.0
COLOURS = {1: (220, 40, 40), 2: (40, 200, 60)}
LENGTH_S = 18.0


class LightFaces:
    """Finds white squares, wherever it is told to look."""

    def detect(self, image: np.ndarray, *, people_px: np.ndarray = (), tile_px: int | None = None) -> Boxes:
        rows, columns = np.nonzero((image > 200).all(axis=2))
        found = [
            [part.min(), rows.min(), part.max() + 1, rows.max() + 1]
            for part in (columns[columns < WIDTH // 2], columns[columns >= WIDTH // 2])
            if len(part)
        ]
        return Boxes(np.array(found, np.float32).reshape(-1, 4), np.ones(len(found), np.float32))


class MeanColour:
    """Says of people what colour they are."""

    def features(self, image: np.ndarray, boxes_px: np.ndarray) -> np.ndarray:
        means = [image[int(y0) : int(y1), int(x0) : int(x1)].mean(axis=(0, 1)) + 1e-3 for x0, y0, x1, y1 in boxes_px]
        return np.stack([mean / np.linalg.norm(mean) for mean in means]).astype(np.float32)


def box_of(track_id: int, time_s: float) -> list[float]:
    x0 = {1: 10, 2: 100}[track_id] + 10 * (time_s % 2)
    return [x0, 20, x0 + 30, 90]


def picture(time_s: float) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for track_id, colour in COLOURS.items():
        x0, y0, x1, y1 = (int(value) for value in box_of(track_id, time_s))
        image[y0:y1, x0:x1] = colour
        image[y0 + 2 : y0 + 12, x0 + 10 : x0 + 20] = 255
    return image


def write(path: Path, length_s: float = LENGTH_S, *, shown: float = 1.0, size: tuple[int, int] | None = None) -> Path:
    width, height = size or (WIDTH, HEIGHT)
    with VideoWriter(path, width=width, height=height, fps=FPS, quality=10) as writer:
        for number in range(int(length_s * FPS)):
            image = np.resize(picture(number / FPS), (height, width, 3))
            writer.write((image * shown).astype(np.uint8), number / FPS)
    return path


def recognised(length_s: float = LENGTH_S, *, sees: bool = True) -> Recognised:
    times_s = np.arange(0, length_s, 1 / FPS)
    tracks = [
        Track(
            track_id=track_id,
            start_s=0.0,
            end_s=length_s,
            times_s=times_s,
            boxes_px=np.array([box_of(track_id, time_s) for time_s in times_s]),
            segments=((0.0, length_s, {1: "walk", 2: "wave"}[track_id]),),
        )
        for track_id in COLOURS
    ]
    return Recognised(duration_s=length_s, tracks=tuple(tracks) if sees else ())


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recogniser sees people unless a video is called "hidden"."""

    def recognise(videos: Sequence[Path], *, detector: str, fast: bool) -> list[Recognised]:
        lengths = []
        for path in videos:
            with VideoReader(path) as reader:
                lengths.append(reader.info.duration_s)
        return [recognised(s, sees=path.stem != "hidden") for path, s in zip(videos, lengths, strict=True)]

    monkeypatch.setattr(leftover, "recognise", recognise)
    monkeypatch.setattr(leftover, "FaceDetector", lambda **_: LightFaces())
    monkeypatch.setattr(leftover, "LikenessModel", lambda **_: MeanColour())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("original") / "original.mp4")


@pytest.mark.usefixtures("stand_ins")
def test_in_a_copy_everything_is_left(original: Path, tmp_path: Path) -> None:
    found = measure_leftover(original, Path(shutil.copy(original, tmp_path / "copy.mp4")))
    assert list(found) == [
        "recogniser_agreement",
        "faces_still_found",
        "people_told_again_before",
        "people_told_again_after",
        "people_told_again_by_chance",
    ]
    assert (found["recogniser_agreement"].value, found["recogniser_agreement"].n) == (1.0, 360)
    assert (found["faces_still_found"].value, found["faces_still_found"].n) == (1.0, 72)
    assert found["faces_still_found"].low < 0.5  # only two people
    for name in ("before", "after", "by_chance"):  # 72 pictures, but of two people
        assert (found[f"people_told_again_{name}"].value, found[f"people_told_again_{name}"].n) == (None, 2)


@pytest.mark.usefixtures("stand_ins")
def test_in_a_black_video_nothing_is_left(original: Path, tmp_path: Path) -> None:
    found = measure_leftover(original, write(tmp_path / "hidden.mp4", shown=0.0))
    assert (found["recogniser_agreement"].value, found["recogniser_agreement"].n) == (0.0, 360)
    assert (found["faces_still_found"].value, found["faces_still_found"].n) == (0.0, 72)


@pytest.mark.parametrize(("num_people", "is_measured"), [(29, False), (30, True)])
@pytest.mark.usefixtures("stand_ins")
def test_likeness_is_measured_from_thirty_people_on(
    original: Path, tmp_path: Path, num_people: int, is_measured: bool
) -> None:
    """Whoever calls knows more people than the two of the picture: each stands on a strip of their own."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    edges = np.linspace(0, WIDTH, num_people + 1).astype(int)
    for number in range(num_people):
        angle = np.pi / 2 * number / num_people
        image[:, edges[number] : edges[number + 1]] = (20, 200 * np.cos(angle), 200 * np.sin(angle))
    paths = {}
    for name, shown in (("before", 1.0), ("hidden", 0.0)):
        paths[name] = tmp_path / f"{name}.mp4"
        with VideoWriter(paths[name], width=WIDTH, height=HEIGHT, fps=FPS, quality=1) as writer:
            for number in range(16):
                writer.write((image * shown).astype(np.uint8), number / FPS)
    boxes = np.array([[edges[number], 0, edges[number + 1], HEIGHT] for number in range(num_people)], np.float64)
    people = Sightings(times_s=np.arange(4.0), boxes_px=[boxes] * 4, track_ids=[np.arange(num_people)] * 4)
    found = measure_leftover(paths["before"], paths["hidden"], people=people)
    before, after, chance = (found[f"people_told_again_{name}"] for name in ("before", "after", "by_chance"))
    assert before.n == after.n == chance.n == num_people
    if not is_measured:
        assert before.value is after.value is chance.value is None
        return
    assert before.value > 0.9
    assert chance.value == pytest.approx(1 / num_people)
    assert after.low <= chance.value <= after.high


@pytest.mark.usefixtures("stand_ins")
def test_too_little_to_see_is_not_measured(tmp_path: Path) -> None:
    short = write(tmp_path / "short.mp4", 1.0)
    found = measure_leftover(short, Path(shutil.copy(short, tmp_path / "copy.mp4")))
    assert {name: (metric.value, metric.n) for name, metric in found.items()} == {
        "recogniser_agreement": (None, 20),
        "faces_still_found": (None, 4),
        "people_told_again_before": (None, 0),
        "people_told_again_after": (None, 0),
        "people_told_again_by_chance": (None, 0),
    }
    assert str(found["faces_still_found"]) == "not measured"


@pytest.mark.usefixtures("stand_ins")
def test_a_video_without_anybody(tmp_path: Path) -> None:
    hidden = write(tmp_path / "hidden.mp4", 2.0, shown=0.0)
    found = measure_leftover(hidden, write(tmp_path / "also.mp4", 2.0, shown=0.0))
    assert {(metric.value, metric.n) for metric in found.values()} == {(None, 0)}


@pytest.mark.usefixtures("stand_ins")
def test_people_whom_the_caller_knows_are_looked_at(original: Path, tmp_path: Path) -> None:
    people = Sightings(
        times_s=np.array([1.0, 2.0, 17.9, 40.0]),  # nothing is there at 40 s
        boxes_px=[np.array([box_of(1, 1.0), [-50.0, 0, -10, 20]]), np.zeros((0, 4)), *[np.array([box_of(2, 0.0)])] * 2],
        track_ids=[np.array([1, 9]), np.zeros(0, np.int64), np.array([2]), np.array([2])],
    )
    found = measure_leftover(original, Path(shutil.copy(original, tmp_path / "copy.mp4")), people=people)
    assert found["faces_still_found"].n == 4  # both faces at 1 s and at 2 s; no frame begins at 17.9 s or later


def test_a_file_is_not_held_against_itself(original: Path) -> None:
    with pytest.raises(ConfigError, match=r"original\.mp4 was named twice; give the original and the hidden video"):
        measure_leftover(original, original)


def test_a_video_of_another_size_is_refused(original: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.mp4", 1.0, size=(128, 96))
    with pytest.raises(ConfigError, match=r"original\.mp4 is 160 x 96 and .*other\.mp4 is 128 x 96; give the hidden"):
        measure_leftover(original, other)


@pytest.mark.usefixtures("stand_ins")
def test_a_video_that_ends_early_is_refused(original: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"at 9\.00 s only one of .*original\.mp4 and .*short\.mp4 has a frame"):
        measure_leftover(original, write(tmp_path / "short.mp4", 9.0))


def test_people_are_taken_from_the_tracks() -> None:
    people = sightings(recognised(2.0), 2.0)
    np.testing.assert_allclose(people.times_s, [0, 0.5, 1, 1.5])
    assert [ids.tolist() for ids in people.track_ids] == [[1, 2]] * 4
    np.testing.assert_allclose(people.boxes_px[1], [box_of(1, 0.5), box_of(2, 0.5)])
    assert [len(boxes) for boxes in sightings(recognised(1.0, sees=False), 2.0).boxes_px] == [0, 0]
    with pytest.raises(ValueError, match="samples_per_s is 0; it must be positive"):
        sightings(recognised(), 0)


@pytest.mark.parametrize(
    ("times_s", "boxes", "ids", "said"),
    [
        ([0.0, 1.0], [np.zeros((0, 4))], [np.zeros(0, int)], "there are 2 times, 1 sets of boxes and 1 of track ids"),
        ([1.0, 1.0], [np.zeros((0, 4))] * 2, [np.zeros(0, int)] * 2, "times_s do not increase; give each moment once"),
        (
            [1.5],
            [np.zeros((2, 4))],
            [np.zeros(1, int)],
            r"at 1.5 s boxes are \(2, 4\) for 1 track ids; wanted \(n, 4\)",
        ),
    ],
)
def test_sightings_that_do_not_fit_together_are_refused(
    times_s: list[float], boxes: list[np.ndarray], ids: list[np.ndarray], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Sightings(times_s=np.array(times_s), boxes_px=boxes, track_ids=ids)


def test_each_moment_is_the_first_frame_from_there_on(original: Path) -> None:
    with VideoReader(original) as reader:
        found = list(frames_from(reader, [0.0, 0.3, 0.4, 0.75, 17.7, 17.8]))
    # Frames lie 0.25 s apart: one frame serves 0.3 and 0.4 s, and nothing begins at 17.8 s or later.
    assert [(moment.place, moment.time_s) for moment in found] == [
        (0, 0.0), (2, 0.5), (3, 0.75), (4, pytest.approx(17.75)),
    ]  # fmt: skip
    assert np.abs(found[1].image.astype(int) - picture(0.5)).mean() < 3
