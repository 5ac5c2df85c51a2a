"""Views of many clips through a network in batches: the same as one by one, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import predicted
import pytest

from tubelet.datasets.labelled import LabelledClip
from tubelet.datasets.loader import ClipViews
from tubelet.datasets.workers import ItemFailure, Outcome
from tubelet.evaluation.predict import predict_clips
from tubelet.evaluation.predictions import read_predictions
from tubelet.evaluation.writing import PredictionsWriter

ROOT = Path("/data")


def clips(number: int) -> list[LabelledClip]:
    return [
        LabelledClip(id=f"{index:02d}", path=ROOT / f"{index:02d}.mp4", labels=(index % 6,), group=f"g{index // 3}")
        for index in range(number)
    ]


def outcomes(
    number: int, *, num_views: int = 2, side: int = 4, failing: tuple[int, ...] = ()
) -> Iterator[Outcome[LabelledClip, ClipViews]]:
    """As the loader does it: one array that is filled anew for every clip."""
    shared = np.zeros((num_views, 3, side, side, 3), dtype=np.uint8)
    for index, clip in enumerate(clips(number)):
        if index in failing:
            yield Outcome(clip, None, ItemFailure(cause="truncated", reason="the file ends early"))
            continue
        shared[:] = np.random.default_rng(index).integers(256, size=shared.shape)
        yield Outcome(clip, ClipViews(shared, 1.5), None)


def network(views: np.ndarray) -> np.ndarray:
    """Each view by itself, as a network in evaluation mode is."""
    weights = np.random.default_rng(0).normal(size=(views[0].size, 6))
    return np.stack([view.astype(np.float64).ravel() @ weights / 1000 for view in views])


def run(path: Path, number: int, views_per_batch: int, **changes: object) -> list[int]:
    sizes: list[int] = []

    def predict(views: np.ndarray) -> np.ndarray:
        sizes.append(len(views))
        return network(views)

    num_views = int(changes.get("num_views", 2))  # type: ignore[call-overload]
    with PredictionsWriter(path, predicted.header(num_expected=number, num_clips=num_views)) as writer:
        predict_clips(
            outcomes(number, **changes),  # type: ignore[arg-type]
            predict,
            writer,
            root=ROOT,
            views_per_batch=views_per_batch,
            show_progress=False,
        )
    return sizes


@pytest.mark.parametrize("num_views", [1, 2, 5])
def test_batches_mix_clips_and_say_what_single_views_say(num_views: int, tmp_path: Path) -> None:
    one_by_one = run(tmp_path / "one.jsonl", 7, 1, num_views=num_views)
    assert one_by_one == [1] * (7 * num_views)
    for size in (2, 3, 4, 64):
        path = tmp_path / f"{size}.jsonl"
        sizes = run(path, 7, size, num_views=num_views)
        total = 7 * num_views
        assert sizes == [size] * (total // size) + ([total % size] if total % size else [])
        assert path.read_text() == (tmp_path / "one.jsonl").read_text()


def test_failures_are_lines_of_their_own_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"

    def predict(views: np.ndarray) -> np.ndarray:
        logits = network(views)
        logits[0, 0] = np.nan
        return logits

    with PredictionsWriter(path, predicted.header(num_expected=5)) as writer:
        counts = predict_clips(
            outcomes(5, failing=(1, 3)), predict, writer, root=ROOT, num_clips=5, views_per_batch=6, show_progress=False
        )
    assert (counts.num_scored, counts.num_failed, counts.num_views) == (2, 3, 6)
    assert counts.total_s >= counts.wait_s >= 0 and counts.predict_s > 0
    reasons = {failure.item: failure.reason for failure in read_predictions(path).failures}
    assert reasons["01"] == "truncated: the file ends early" and "not finite" in reasons["00"]


def test_what_the_file_knows_of_a_clip(tmp_path: Path) -> None:
    run(tmp_path / "p.jsonl", 1, 4)
    line = json.loads((tmp_path / "p.jsonl").read_text().splitlines()[1])
    assert {name: line[name] for name in ("id", "path", "group", "labels", "duration_s")} == {
        "id": "00", "path": "00.mp4", "group": "g0", "labels": [0], "duration_s": 1.5,
    }  # fmt: skip
    outside = LabelledClip(id="x", path=Path("/elsewhere/x.mp4"), labels=(0,), group="g")
    with PredictionsWriter(tmp_path / "q.jsonl", predicted.header(num_expected=1)) as writer:
        failed = Outcome(outside, None, ItemFailure(cause="missing", reason="no such file"))
        predict_clips([failed], network, writer, root=ROOT, show_progress=False)
    assert json.loads((tmp_path / "q.jsonl").read_text().splitlines()[1])["path"] == "x.mp4"


def test_pictures_can_be_changed_on_the_way(tmp_path: Path) -> None:
    seen = []
    with PredictionsWriter(tmp_path / "p.jsonl", predicted.header(num_expected=2)) as writer:

        def darker(frames: np.ndarray, clip: LabelledClip) -> np.ndarray:
            seen.append(clip.id)
            return frames // 2

        def predict(views: np.ndarray) -> np.ndarray:
            assert views.max() <= 127
            return network(views)

        predict_clips(outcomes(2), predict, writer, root=ROOT, change=darker, show_progress=False)
    assert seen == ["00", "01"]


def test_clips_of_another_size_go_into_a_batch_of_their_own(tmp_path: Path) -> None:
    shapes = []

    def predict(views: np.ndarray) -> np.ndarray:
        shapes.append(views.shape[:3])
        return np.zeros((len(views), 6))

    mixed = [next(iter(outcomes(1, side=side))) for side in (4, 4, 6, 4)]
    for number, outcome in enumerate(mixed):
        object.__setattr__(outcome, "task", clips(4)[number])
    with PredictionsWriter(tmp_path / "p.jsonl", predicted.header(num_expected=4)) as writer:
        predict_clips(mixed, predict, writer, root=ROOT, views_per_batch=16, show_progress=False)
    assert shapes == [(4, 3, 4), (2, 3, 6), (2, 3, 4)]
    assert len(read_predictions(tmp_path / "p.jsonl").clips) == 4


def test_memory_does_not_grow_with_the_clips(tmp_path: Path) -> None:
    def peak(number: int) -> int:
        with PredictionsWriter(tmp_path / f"{number}.jsonl", predicted.header(num_expected=number)) as writer:
            tracemalloc.start()
            predict_clips(
                outcomes(number, side=32),
                lambda views: np.zeros((len(views), 6)),
                writer,
                root=ROOT,
                views_per_batch=8,
                show_progress=False,
            )
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    few, many = peak(20), peak(200)
    assert many < few + 150_000  # views of 180 more clips are 3.3 MB


def test_wrong_shapes_are_refused(tmp_path: Path, unchecked_shapes: None) -> None:
    with PredictionsWriter(tmp_path / "p.jsonl", predicted.header(num_expected=1)) as writer:
        with pytest.raises(ValueError, match=r"shape \(2, 5\) for 2 views; needed: \(2, 6\)"):
            predict_clips(outcomes(1), lambda views: np.zeros((len(views), 5)), writer, root=ROOT, show_progress=False)
        with pytest.raises(ValueError, match="views_per_batch is 0; allowed: 1 or more"):
            predict_clips(outcomes(1), network, writer, root=ROOT, views_per_batch=0)
