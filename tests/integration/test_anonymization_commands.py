"""`tubelet anonymization` and the training of anonymisers, from the command line to the files."""

from __future__ import annotations

import json
import signal
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from tests.support.media import make_video, reference_frames, reference_times_s, run_ffmpeg

from tubelet.cli.main import main
from tubelet.methods.anonymization import leftover
from tubelet.methods.anonymization.agreement import Recognised
from tubelet.methods.anonymization.footage import grown
from tubelet.methods.anonymization.model import Anonymizer, DualTokenViT, VitShape
from tubelet.methods.anonymization.pruning import PruningConfig
from tubelet.people import detector as people_detector
from tubelet.people import faces as people_faces
from tubelet.people import landmarks as people_landmarks
from tubelet.people.boxes import Boxes
from tubelet.people.landmarks import Pose
from tubelet.runs.progress import Task
from tubelet.video import probe, read_frames

SHAPE = VitShape(
    num_frames=4, size_px=32, tubelet=(2, 8, 8), channels=12, depth=2, num_heads=2, dropout=0.0,
    attention_dropout=0.0, drop_path=0.0,
)  # fmt: skip
SMALL = [
    *("--set", "num_warm_steps=3", "--set", "num_steps=4", "--set", "batch_size=4", "--set", "attack.num_steps=3"),
    *("--set", "data.num_train=24", "--set", "data.num_val=12", "--set", "data.num_test=40"),
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "anonymizer.safetensors"
    Anonymizer(DualTokenViT(3, 2, SHAPE), PruningConfig(blocks=(1,), keep=0.5), {"step_s": 1 / 12.5}).save(path)
    return path


def apply(*arguments: object) -> int:
    return main(["anonymization", "apply", *map(str, arguments)])


def test_a_video_is_hidden_frame_for_frame(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_video(tmp_path / "street.mp4", width=192, height=128, num_frames=45, has_audio=True)
    out = tmp_path / "hidden"
    assert apply(source, "--out", out, "--model", model, "--people", "none", "--keep", "0.4", "--no-measure") == 0
    result = out / "street.anonymized.mp4"
    before, after = (list(read_frames(path)) for path in (source, result))
    assert len(after) == 45
    np.testing.assert_allclose([each.time_s for each in after], [each.time_s for each in before], atol=1e-3)
    np.testing.assert_allclose(reference_times_s(result), reference_times_s(source), atol=1e-3)
    assert reference_frames(result, 192, 128).shape == (45, 128, 192, 3)
    document = json.loads((out / "street.masks.json").read_text())
    assert document["schema"] == "tubelet.anonymization_masks/1"
    assert document["tubelets_kept"] == pytest.approx(7 / 16)  # of 16 places, whole ones for a whole window
    for frame in after:
        span = next(span for span in document["spans"] if span["start_s"] <= frame.time_s + 1e-6 < span["end_s"] + 1e-6)
        kept = np.array([[cell == "1" for cell in row] for row in span["kept"]])
        hidden = ~kept.repeat(32, axis=0).repeat(48, axis=1)
        inner = np.zeros_like(hidden)
        for row in range(4):
            for column in range(4):
                inner[row * 32 + 8 : row * 32 + 24, column * 48 + 8 : column * 48 + 40] = not kept[row, column]
        assert frame.image[inner].mean() <= 3
        assert frame.image[inner].max() <= 16
    with av.open(str(result)) as container:
        assert not container.streams.audio
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 12
    assert "not for publishing" in page
    assert "empirical" in capsys.readouterr().out


PRUNE = ("--people", "none", "--no-measure")


def test_sound_comes_along_where_it_is_asked_for(model: Path, tmp_path: Path) -> None:
    source = make_video(tmp_path / "talk.mp4", num_frames=20, has_audio=True)
    out = tmp_path / "hidden"
    options = ("--model", model, "--people", "none", "--no-measure", "--keep-audio")
    assert apply(source, "--out", out, *options) == 0
    with av.open(str(out / "talk.anonymized.mp4")) as container:
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 20
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "talk.anonymized.mp4", "talk.masks.json"]
    assert json.loads((out / "talk.masks.json").read_text())["sound"] == "copied"


def test_sound_is_shifted_as_the_pictures_are(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "late.mkv"
    clip = make_video(tmp_path / "talk.mp4", num_frames=30, has_audio=True)
    run_ffmpeg(["-i", clip, "-c", "copy", "-output_ts_offset", "7", source])
    assert apply(source, "--out", tmp_path / "out", "--model", model, *PRUNE, "--keep-audio") == 0
    begins_s = []
    for path in (source, tmp_path / "out" / "late.anonymized.mp4"):
        with av.open(str(path)) as container:
            seen = next(container.decode(video=0))
        with av.open(str(path)) as container:
            heard = next(container.decode(audio=0))
        begins_s.append(heard.time - seen.time)
    assert begins_s[1] == pytest.approx(begins_s[0], abs=2e-3)


def test_a_source_without_sound_is_told(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = make_video(tmp_path / "silent.mp4", num_frames=3), tmp_path / "out"
    assert apply(source, "--out", out, "--model", model, *PRUNE, "--keep-audio") == 0
    assert "the source has no sound to keep" in capsys.readouterr().out
    assert json.loads((out / "silent.masks.json").read_text())["sound"] == "none in the source"
    assert "none in the source" in (out / "report.html").read_text()
    assert apply(source, "--out", out, "--model", model, *PRUNE, "--overwrite") == 0
    assert "has no sound" not in capsys.readouterr().out
    assert json.loads((out / "silent.masks.json").read_text())["sound"] == "left out"


TAGS = {
    "title": "Garden of the Lindgrens",
    "comment": "filmed by Anna",
    "creation_time": "2021-06-07T08:09:10.000000Z",
    "location": "+48.2082+016.3738/",
    "artist": "Anna Lindgren",
}


@pytest.mark.parametrize("name", ["tagged.mp4", "tagged.mov", "tagged.mkv"])
@pytest.mark.parametrize("more", [(), ("--keep-audio",)])
def test_nothing_that_the_file_says_of_itself_comes_along(
    model: Path, tmp_path: Path, name: str, more: tuple[str, ...]
) -> None:
    clip = make_video(tmp_path / "clip.mp4", num_frames=10, has_audio=True)
    source, out = tmp_path / name, tmp_path / "out"
    tags = [word for key, value in TAGS.items() for word in ("-metadata", f"{key}={value}")]
    for stream in "va":
        tags += [f"-metadata:s:{stream}:0", f"title={stream}-track of Anna", f"-metadata:s:{stream}:0", "language=swe"]
        tags += [f"-metadata:s:{stream}:0", f"handler_name={stream}-handler of Anna"]
        tags += [f"-metadata:s:{stream}:0", f"creation_time={TAGS['creation_time']}"]
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=200\ntitle=Anna waves\n")
    movflags = [] if name.endswith("mkv") else ["-movflags", "use_metadata_tags"]
    run_ffmpeg(["-i", clip, "-i", chapters, "-map", "0", "-map_chapters", "1", "-c", "copy", *movflags, *tags, source])
    with av.open(str(source)) as container:  # the source does say all this
        said = {key.lower(): value for key, value in container.metadata.items()}
        assert {key: said[key] for key in TAGS} == TAGS
        assert any("Anna" in value for value in container.streams.video[0].metadata.values())
        assert container.chapters()
    assert source.read_bytes().count(b"Anna") >= 4

    assert apply(source, "--out", out, "--model", model, *PRUNE, *more) == 0
    with av.open(str(out / "tagged.anonymized.mp4")) as container:
        assert len(container.streams.audio) == len(more)
        assert not container.chapters()
        assert set(container.metadata) == {"major_brand", "minor_version", "compatible_brands", "encoder"}
        assert container.metadata["encoder"].startswith("Lavf")
        for stream in container.streams:
            assert not set(stream.metadata) - {"language", "handler_name", "vendor_id", "encoder"}
            assert stream.metadata["handler_name"] in ("VideoHandler", "SoundHandler")
            assert stream.metadata["language"] == "und"
    for path in out.iterdir():
        written = path.read_bytes()
        for value in (b"Anna", b"Lindgren", b"2021-06-07", b"+48.2082"):
            assert value not in written, (path.name, value)


@pytest.mark.parametrize("turn_deg", [0, 90])
def test_pixels_keep_their_shape(model: Path, tmp_path: Path, turn_deg: int) -> None:
    square, source = make_video(tmp_path / "square.mp4", num_frames=3, turn_deg=turn_deg), tmp_path / "wide.mp4"
    run_ffmpeg(["-i", square, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=4/3", "-aspect", "2", source])
    assert apply(source, "--out", tmp_path / "out", "--model", model, *PRUNE) == 0
    with av.open(str(tmp_path / "out" / "wide.anonymized.mp4")) as container:
        aspect = container.streams.video[0].sample_aspect_ratio
    assert aspect == (Fraction(4, 3) if turn_deg == 0 else Fraction(3, 4))


@pytest.mark.parametrize(("turn_deg", "is_mirrored"), [(90, False), (-90, False), (180, False), (0, True)])
def test_a_turned_video_is_hidden_as_it_is_displayed(
    model: Path, tmp_path: Path, turn_deg: int, is_mirrored: bool
) -> None:
    source = make_video(
        tmp_path / "turned.mp4", width=128, height=64, num_frames=6, turn_deg=turn_deg, is_mirrored=is_mirrored
    )
    width, height = (64, 128) if turn_deg in (90, -90) else (128, 64)
    assert apply(source, "--out", tmp_path / "out", "--model", model, *PRUNE) == 0
    result = tmp_path / "out" / "turned.anonymized.mp4"
    info = probe(result)
    assert (info.width, info.height, info.rotation_deg) == (width, height, 0)
    # Both as the ffmpeg program displays them.
    before, after = reference_frames(source, width, height), reference_frames(result, width, height)
    assert len(before) == len(after) == 6
    spans = json.loads((tmp_path / "out" / "turned.masks.json").read_text())["spans"]
    kept = np.array([[cell == "1" for cell in row] for row in spans[0]["kept"]])
    assert 0 < kept.sum() < kept.size
    rows, columns = height // 4, width // 4
    for row, column in np.ndindex(4, 4):
        place = np.s_[:, row * rows + 4 : (row + 1) * rows - 4, column * columns + 4 : (column + 1) * columns - 4]
        if kept[row, column]:
            assert np.abs(before[place].astype(int) - after[place]).mean() < 12
        else:
            assert after[place].max() <= 24


def test_odd_sizes_become_even_and_nothing_is_shown_at_the_edge(model: Path, tmp_path: Path) -> None:
    source = make_video(tmp_path / "odd.mp4", width=97, height=63, num_frames=6, pixel_format="yuv444p")
    assert apply(source, "--out", tmp_path / "out", "--model", model, *PRUNE) == 0
    result = tmp_path / "out" / "odd.anonymized.mp4"
    assert (probe(source).width, probe(source).height) == (97, 63)
    assert (probe(result).width, probe(result).height) == (98, 64)
    spans = json.loads((tmp_path / "out" / "odd.masks.json").read_text())["spans"]
    kept = np.array([[cell == "1" for cell in row] for row in spans[0]["kept"]])
    frames = [frame.image for frame in read_frames(result)]
    assert len(frames) == 6
    hidden = grown(~kept, (63, 97))
    hidden = np.pad(hidden, ((0, 1), (0, 1)), mode="edge")
    inner = cv2.erode(hidden.astype(np.uint8), np.ones((9, 9)), borderValue=1).astype(bool)
    assert inner[-1].any() or inner[:, -1].any()
    for image in frames:
        assert image[inner].max() <= 24


def test_uneven_times_stay_as_they_are(model: Path, tmp_path: Path) -> None:
    ticks = (0, 33, 66, 140, 141, 300, 333, 1200, 1233, 1266, 2000, 2040)
    source = make_video(
        tmp_path / "phone.mkv", times=ticks, time_base=Fraction(1, 1000), num_frames=len(ticks), b_frames=0
    )
    assert probe(source).is_variable_frame_rate
    assert apply(source, "--out", tmp_path / "out", "--model", model, *PRUNE) == 0
    result = tmp_path / "out" / "phone.anonymized.mp4"
    np.testing.assert_allclose(reference_times_s(result), reference_times_s(source), atol=1e-4)
    np.testing.assert_allclose(reference_times_s(result), np.array(ticks) / 1000, atol=1e-4)
    # Each is still the picture of its moment.
    for before, after in zip(read_frames(source), read_frames(result), strict=True):
        is_seen = after.image.max(axis=2) > 30
        assert np.abs(before.image[is_seen].astype(int) - after.image[is_seen]).mean() < 12


@pytest.mark.parametrize("more", [(), ("--keep-audio",)])
def test_ctrl_c_leaves_what_is_done_and_nothing_else(
    model: Path, tmp_path: Path, more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for name in ("1_done", "2_begun", "3_not_begun"):
        make_video(folder / f"{name}.mp4", num_frames=30, has_audio=True)
    advance, num_frames = Task.advance, 0

    def press(task: Task, amount: float = 1) -> None:
        nonlocal num_frames
        num_frames += 1
        advance(task, amount)
        if num_frames == 45:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Task, "advance", press)
    assert apply(folder, "--out", out, "--model", model, *PRUNE, *more) == 130
    assert num_frames == 45
    names = sorted(path.name for path in out.iterdir())
    assert names == ["1_done.anonymized.mp4", "1_done.masks.json", "report.html"]
    assert len(list(read_frames(out / "1_done.anonymized.mp4"))) == 30
    page = (out / "report.html").read_text()
    assert "1_done" in page
    assert "2_begun" not in page


def test_a_video_that_breaks_off_is_recorded_and_leaves_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for name in ("a_good", "b_broken", "d_good"):
        make_video(folder / f"{name}.mp4", num_frames=40, container_options={"movflags": "+faststart"})
    whole = (folder / "b_broken.mp4").read_bytes()
    (folder / "b_broken.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "c_no_video.mp4").write_bytes(b"nothing")
    assert apply(folder, "--out", out, "--model", model, *PRUNE) == 1
    names = {path.name for path in out.iterdir()}
    assert names == {f"{stem}.{end}" for stem in ("a_good", "d_good") for end in ("anonymized.mp4", "masks.json")} | {
        "report.html"
    }
    errors, page = capsys.readouterr().err, (out / "report.html").read_text()
    not_hidden = page[page.index("Not hidden") :]
    for name, reason in (("b_broken.mp4", "get the whole file"), ("c_no_video.mp4", "no known video format")):
        assert name in errors
        assert reason in errors
        assert name in not_hidden
        assert reason in not_hidden
    assert "good" not in not_hidden


def test_a_source_that_fails_does_not_stop_the_others(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    make_video(folder / "good.mp4", num_frames=5)
    (folder / "bad.mp4").write_bytes(b"nothing")
    out = tmp_path / "hidden"
    assert apply(folder, "--out", out, "--model", model, "--people", "none", "--no-measure") == 1
    assert (out / "good.anonymized.mp4").exists()
    assert not (out / "bad.anonymized.mp4").exists()
    assert "bad.mp4" in capsys.readouterr().err
    assert "Not hidden" in (out / "report.html").read_text()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


class _Loaded:
    """Stands for every network, and counts how often each was loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: dict[str, int] = {}
        for module, name in (
            (people_detector, "load_detector"),
            (people_landmarks, "LandmarkModel"),
            (people_faces, "FaceDetector"),
            (leftover, "FaceDetector"),
            (leftover, "LikenessModel"),
        ):
            monkeypatch.setattr(module, name, partial(self._load, name))
        monkeypatch.setattr(leftover, "recognise", lambda videos, **_: [Recognised(duration_s=0.1, tracks=())] * 2)

    def _load(self, name: str, *_: object, **__: object) -> _Loaded:
        self.counts[name] = self.counts.get(name, 0) + 1
        return self

    def detect(self, image: np.ndarray, **_: object) -> Boxes:
        height, width = image.shape[:2]
        return Boxes(np.array([[0, 0, width / 2, height / 2]], np.float32), np.ones(1, np.float32))

    def estimate_many(self, *_: object) -> list[Pose]:
        return []


@pytest.mark.parametrize("hide", ["face", "body"])
def test_networks_are_loaded_once_for_all_videos(hide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = _Loaded(monkeypatch)
    (tmp_path / "clips").mkdir()
    for number in range(3):
        make_video(tmp_path / "clips" / f"{number}.mp4", num_frames=4)
    out = tmp_path / "out"
    assert apply(tmp_path / "clips", "--out", out, "--people", hide) == 0
    assert loaded.counts == dict.fromkeys(("load_detector", "LandmarkModel", "FaceDetector", "LikenessModel"), 1)
    assert (out / "report.html").read_text().count("not measurable (n = 0 people)") == 9
    for number in range(3):  # and nobody of one video is remembered in the next
        looks = json.loads((out / f"{number}.masks.json").read_text())["people"]
        assert [look["time_s"] for look in looks] == [0.0, 0.12]
        assert [len(look["faces_px"]) for look in looks] == [int(hide == "face")] * 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keep", "0"], "--keep is 0; allowed: above 0, to 1"),
        (["--keep", "0.5", "--keep-rate", "0.9"], "give one of them"),
        (["--people", "none"], "nothing is hidden"),
        (["--keep", "0.5", "--model", "none"], "no tubelets are pruned"),
        (["--keep", "0.5", "--people", "body"], "prunes round people and shows a part of them; give --people face"),
        (["--keep", "0.5", "--people", "none"], "--people is none, and --model people prunes round people"),
    ],
)
def test_settings_that_do_not_go_together(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply(tmp_path / "a.mp4", "--out", tmp_path / "out", *options) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_the_name_of_the_network_that_ships_is_no_trap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people").mkdir()
    assert apply("a.mp4", "--out", "out", "--keep", "0.5") == 2
    assert "name that one as ./people" in capsys.readouterr().err


def test_results_are_not_replaced_unasked(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_video(tmp_path / "a.mp4", num_frames=3)
    options = (source, "--out", tmp_path / "out", "--model", model, "--people", "none", "--no-measure")
    assert apply(*options) == 0
    assert apply(*options) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert apply(*options, "--overwrite", "--keep", "1") == 0
    assert "removes no tubelet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("num_frames", "repeated", "is_short"), [(1, 3, True), (3, 2, True), (8, 0, False), (9, 3, False)]
)
def test_frames_that_stand_in_for_missing_ones_are_told(
    model: Path, tmp_path: Path, num_frames: int, repeated: int, is_short: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 25 frames a second the model sees every second one, and four of these at once."""
    source, out = make_video(tmp_path / "a.mp4", num_frames=num_frames), tmp_path / "out"
    assert apply(source, "--out", out, "--model", model, *PRUNE) == 0
    document, page = json.loads((out / "a.masks.json").read_text()), (out / "report.html").read_text()
    assert [document[name] for name in ("window_frames", "num_repeated", "is_shorter_than_window")] == [
        4, repeated, is_short,
    ]  # fmt: skip
    words = f"of the 4 frames that the model sees, {repeated} repeat the last one"
    assert (words in page) == is_short
    assert ("shorter than one window of the model" in capsys.readouterr().out) == is_short
    assert (f"{repeated} of its 4 frames repeat the video's last one" in page) == (repeated > 0 and not is_short)


def test_that_nothing_was_removed_is_told(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = make_video(tmp_path / "a.mp4", num_frames=8), tmp_path / "out"
    assert apply(source, "--out", out, "--model", model, *PRUNE, "--keep", "1") == 0
    document, page = json.loads((out / "a.masks.json").read_text()), (out / "report.html").read_text()
    assert document["has_removed_nothing"] is True
    assert document["tubelets_kept"] == document["pixels_kept"] == document["union_visibility"] == 1
    assert "Nothing was removed." in page
    assert "no tubelet was removed" in page
    assert "nothing was removed, the result shows all that the original does" in capsys.readouterr().err
    assert apply(source, "--out", out, "--model", model, *PRUNE, "--overwrite") == 0
    assert json.loads((out / "a.masks.json").read_text())["has_removed_nothing"] is False
    assert "Nothing was removed." not in (out / "report.html").read_text()
    assert "nothing was removed" not in capsys.readouterr().err


def test_union_visibility_is_over_the_whole_video(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four windows show a quarter of the places each, another one every time: all are seen in the end."""
    calls = []

    def kept(_: Anonymizer, video: torch.Tensor, **__: object) -> torch.Tensor:
        mask = torch.zeros(len(video), 2, 4, 4, dtype=torch.bool)
        mask[:, :, len(calls)] = True
        calls.append(len(video))
        return mask

    monkeypatch.setattr(Anonymizer, "kept", kept)
    source, out = make_video(tmp_path / "a.mp4", num_frames=32), tmp_path / "out"
    assert apply(source, "--out", out, "--model", model, *PRUNE) == 0
    assert len(calls) == 4
    document, page = json.loads((out / "a.masks.json").read_text()), (out / "report.html").read_text()
    assert document["tubelets_kept"] == 0.25
    assert document["union_visibility"] == 1.0
    assert document["union_visibility_per_window"] == 0.25
    assert "100.0 % of the places are visible at least once in the whole video" in page
    assert "25.0 % at least once in a window of 4 frames of the model" in page


def test_files_of_one_name_get_results_of_their_own(model: Path, tmp_path: Path) -> None:
    names = ["a/x.mp4", "b/x.mp4", "x_2.mp4"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        make_video(tmp_path / name, num_frames=2)
    out = tmp_path / "hidden"
    options = ("--model", model, "--people", "none", "--no-measure")
    assert apply(*(tmp_path / name for name in names), "--out", out, *options) == 0
    assert len(list(out.glob("*.anonymized.mp4"))) == len(list(out.glob("*.masks.json"))) == 3


@pytest.mark.parametrize("recipe", ["glyphs", "glyphs_published"])
def test_training_attack_and_report(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["train", f"anonymization:{recipe}", "--out", str(run), *SMALL]) == 0
    first = Anonymizer.load(run)
    assert first.facts["actions"] == ["left", "right", "up", "down"]
    assert main(["anonymization", "report", str(run)]) == 2
    assert "was not attacked yet" in capsys.readouterr().err
    assert main(["anonymization", "attack", str(run)]) == 0
    shown = capsys.readouterr().out
    for name in ("top1", "private_cmap", "label_floor", "action_floor", "excess_leakage", "kept", "flicker"):
        assert name in shown
    for name in ("union_visibility", "secret_kept", "raw_private_cmap", "no formal privacy"):
        assert name in shown
    assert main(["anonymization", "report", str(run)]) == 0
    assert "excess_leakage" in capsys.readouterr().out
    report = json.loads((run / "evaluation" / "report.json").read_text())
    assert report["num_scored"] == 40
    assert report["metrics"]["kept"]["value"] == 0.5
    assert main(["anonymization", "attack", str(run)]) == 2


def test_published_sets_need_a_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "anonymization:vp_hmdb51", "--out", str(tmp_path / "run")]) == 2
    assert "data.path is empty" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
