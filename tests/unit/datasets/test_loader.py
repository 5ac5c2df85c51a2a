"""Batches: the same for any number of workers and from any step on, and honest about what cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from media import make_video

from tubelet.datasets.labelled import ClipSet, LabelledClip
from tubelet.datasets.loader import ClipBatch, ClipLoader, FailureLimit, load_views
from tubelet.datasets.order import EpochOrder, Item, Share
from tubelet.datasets.sampling import Sampling
from tubelet.datasets.views import DecodedCache, read_random_view, read_views
from tubelet.errors import DatasetError
from tubelet.video.augment import ClipAugmentation

SAMPLING = Sampling(num_frames=3, size_px=24, step_s=0.08)
AUGMENTATION = ClipAugmentation(num_operations=2, erasing_probability=0.5)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    root = tmp_path_factory.mktemp("videos")
    made = [make_video(root / f"{number}.mp4", width=48, height=32, num_frames=15, seed=number) for number in range(5)]
    return clip_set(root, made)


def clip_set(root: Path, paths: Sequence[Path]) -> ClipSet:
    clips = tuple(
        LabelledClip(id=path.name, path=path, labels=(number % 2,), group=path.name)
        for number, path in enumerate(paths)
    )
    return ClipSet(name="numbers", root=root, classes=("even", "odd"), clips=clips)


def broken(clips: ClipSet, tmp_path: Path, numbers: Sequence[int]) -> ClipSet:
    """Some of the clips replaced by files that are no videos."""
    changed = list(clips.clips)
    for number in numbers:
        path = tmp_path / f"broken{number}.mp4"
        path.write_text("no video")
        changed[number] = replace(changed[number], path=path)
    return replace(clips, clips=tuple(changed), root=tmp_path)


def loader_of(clips: ClipSet, batch_size: int = 4, **settings: object) -> ClipLoader:
    order = EpochOrder(len(clips), batch_size=batch_size, seed=3)
    settings = {"num_workers": 0, "seed": 7, "augmentation": AUGMENTATION} | settings
    return ClipLoader(clips, order, SAMPLING, **settings)  # type: ignore[arg-type]


def assert_equal(batch: ClipBatch, other: ClipBatch) -> None:
    torch.testing.assert_close(batch.frames, other.frames, rtol=0, atol=0)
    torch.testing.assert_close(batch.labels, other.labels, rtol=0, atol=0)
    assert (batch.ids, batch.items, batch.step) == (other.ids, other.items, other.step)
    assert batch.failures == other.failures


def test_batches_are_the_same_for_any_number_of_workers(clips: ClipSet, tmp_path: Path) -> None:
    clips = broken(clips, tmp_path, [1])
    expected = list(loader_of(clips).batches(num_steps=5))
    assert [batch.step for batch in expected] == list(range(5))
    assert sum(len(batch.failures) for batch in expected) == 4, "once in every epoch"
    for num_workers in (1, 3):
        with loader_of(clips, num_workers=num_workers) as loader:
            for batch in expected:
                assert_equal(loader.batch_at(batch.step), batch)


def test_a_resumed_training_sees_what_it_would_have_seen(clips: ClipSet) -> None:
    expected = list(loader_of(clips).batches(num_steps=5))
    loader = loader_of(clips)
    for step in (3, 4, 1, 2, 3):
        assert_equal(loader.batch_at(step), expected[step])
    for batch, other in zip(loader_of(clips).batches(2), expected[2:], strict=False):
        assert_equal(batch, other)
        if batch.step == 4:
            break


def test_a_batch_holds_what_its_items_say(clips: ClipSet) -> None:
    batch = loader_of(clips).batch_at(1)

    assert batch.frames.shape == (4, 3, 24, 24, 3) and batch.frames.dtype == torch.uint8
    assert batch.labels.dtype == torch.int64
    for place, item in enumerate(batch.items):
        clip = clips.clips[item.index]
        assert batch.ids[place] == clip.id and batch.labels[place] == clip.label
        generator = np.random.default_rng((7, item.epoch, item.index, item.draw))
        view = read_random_view(clip, SAMPLING, generator, augmentation=AUGMENTATION)
        np.testing.assert_array_equal(batch.frames[place].numpy(), view)


def test_a_clip_looks_different_in_every_epoch_and_draw(clips: ClipSet) -> None:
    class Same:
        def at(self, step: int) -> Sequence[Item]:
            return [Item(0, epoch, draw) for epoch in range(2) for draw in range(2)]

    batch = ClipLoader(clips, Same(), SAMPLING, augmentation=AUGMENTATION, num_workers=0).batch_at(0)
    assert len(np.unique(batch.frames.numpy().reshape(4, -1), axis=0)) == 4


def test_processes_share_the_batch_of_one(clips: ClipSet) -> None:
    whole = loader_of(clips).batch_at(2)
    parts = [
        ClipLoader(
            clips,
            EpochOrder(5, batch_size=4, seed=3, share=Share(rank=rank, world_size=2)),
            SAMPLING,
            seed=7,
            augmentation=AUGMENTATION,
            num_workers=0,
        ).batch_at(2)
        for rank in range(2)
    ]
    assert sum((part.ids for part in parts), ()) == whole.ids
    torch.testing.assert_close(torch.cat([part.frames for part in parts]), whole.frames)


def test_several_labels_are_a_row_of_zeros_and_ones(clips: ClipSet) -> None:
    labels = [(0, 1), (1,), (), (0,), (0, 1)]
    several = replace(
        clips,
        is_multi_label=True,
        clips=tuple(replace(clip, labels=labels[number]) for number, clip in enumerate(clips.clips)),
    )
    batch = loader_of(several, batch_size=5).batch_at(0)
    assert batch.labels.dtype == torch.float32
    rows = dict(zip(batch.ids, batch.labels.tolist(), strict=True))
    assert [rows[clip.id] for clip in clips.clips] == [[1, 1], [0, 1], [0, 0], [1, 0], [1, 1]]


def test_a_clip_without_a_label_is_refused_before_the_first_step(clips: ClipSet) -> None:
    unlabelled = replace(clips, clips=(*clips.clips[:4], replace(clips.clips[4], labels=())))
    with pytest.raises(DatasetError, match=r"numbers: 1 of 5 clips have no label, the first is 4\.mp4; label them or"):
        loader_of(unlabelled)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_cannot_be_read_is_missing_and_told_of_once_per_clip(
    clips: ClipSet, tmp_path: Path, num_workers: int
) -> None:
    clips = broken(clips, tmp_path, [2])
    with loader_of(clips, batch_size=5, num_workers=num_workers) as loader:
        batches = [loader.batch_at(step) for step in range(3)]

    for batch in batches:
        assert len(batch.frames) == len(batch.labels) == len(batch.ids) == len(batch.items) == 4
        (failure,) = batch.failures
        assert (failure.item, failure.cause, failure.path) == ("2.mp4", "not_a_video", str(tmp_path / "broken2.mp4"))
        assert "broken2.mp4: not_a_video: " in failure.reason
    assert list(loader.failures) == ["2.mp4"]


def test_a_file_that_takes_too_long_is_missing_too(clips: ClipSet, tmp_path: Path) -> None:
    # A named pipe that nobody writes to keeps whoever opens it waiting, as a lost network drive does.
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    clips = replace(clips, clips=(*clips.clips[:4], replace(clips.clips[4], path=pipe)))
    with loader_of(clips, batch_size=5, num_workers=1, timeout_s=3.0) as loader:
        batch = loader.batch_at(0)
    assert [(failure.item, failure.cause) for failure in batch.failures] == [("4.mp4", "time_out")]
    assert len(batch.frames) == 4


def test_too_many_failures_end_it_and_say_what_to_do(clips: ClipSet, tmp_path: Path) -> None:
    clips = broken(clips, tmp_path, [0, 1, 3])
    loader = loader_of(clips, batch_size=5)
    with pytest.raises(
        DatasetError,
        match=r"(?s)numbers: 3 of 5 clips cannot be read, which is too many:\n  .*broken\d\.mp4: not_a_video",
    ) as caught:
        loader.batch_at(0)
    assert str(caught.value).count("not_a_video") == 3
    assert f"Run `tubelet check {tmp_path}`: it lists what is broken, and training then leaves it out" in str(
        caught.value
    )
    tolerant = loader_of(clips, batch_size=5, limit=FailureLimit(share=0.6))
    assert [len(tolerant.batch_at(step).ids) for step in range(3)] == [2, 2, 2]
    with pytest.raises(DatasetError, match="3 of 5 clips cannot be read"):
        loader_of(clips, batch_size=5, limit=FailureLimit(share=1, count=2)).batch_at(0)


def test_only_the_first_failures_are_listed(clips: ClipSet, tmp_path: Path) -> None:
    many = replace(
        clips, clips=tuple(replace(clips.clips[0], id=f"c{n}", path=tmp_path / f"c{n}.mp4") for n in range(20))
    )
    with pytest.raises(DatasetError, match=r"(?s)none of the 20 clips of step 0 can be read:.*\n  and 15 more\nRun"):
        loader_of(many, batch_size=20).batch_at(0)


def test_a_batch_of_nothing_counts_as_its_failures(clips: ClipSet, tmp_path: Path) -> None:
    """One broken clip in a batch of its own is no reason to end a training; too many are."""
    clips = broken(clips, tmp_path, [0])
    loader = loader_of(clips, batch_size=1)
    batches = [loader.batch_at(step) for step in range(len(clips))]
    empty = [batch for batch in batches if not batch.ids]
    assert len(empty) == 1
    assert len(empty[0].frames) == 0
    assert [failure.item for failure in empty[0].failures] == [clips.clips[0].id]
    strict = loader_of(clips, batch_size=1, limit=FailureLimit(share=0.0, tolerated=0))
    with pytest.raises(DatasetError, match="none of the 1 clips of step . can be read"):
        list(map(strict.batch_at, range(len(clips))))


def test_the_limit_counts_shares_and_numbers() -> None:
    limit = FailureLimit(share=0.1, tolerated=2, count=50)
    assert limit.allows(2, 2) and not limit.allows(3, 29) and limit.allows(3, 30)
    assert limit.allows(50, 1000) and not limit.allows(51, 1000)
    with pytest.raises(ValueError, match="share is 1.5, tolerated 2, count 100; allowed: 0 to 1, and 0 or more"):
        FailureLimit(share=1.5)


def test_the_time_spent_waiting_is_counted(clips: ClipSet) -> None:
    loader = loader_of(clips)
    assert loader.wait_s == 0
    loader.batch_at(0)
    first_s = loader.wait_s
    loader.batch_at(1)
    assert 0 < first_s < loader.wait_s < 60


def test_a_cache_of_decoded_clips_changes_nothing_from_run_to_run(clips: ClipSet, tmp_path: Path) -> None:
    cache = DecodedCache(folder=str(tmp_path), max_bytes=10**8, views_per_clip=2)
    cold = list(loader_of(clips, cache=cache).batches(num_steps=5))
    entries = len(list(tmp_path.rglob("*.array")))
    warm = list(loader_of(clips, cache=cache).batches(num_steps=5))
    for batch, other in zip(cold, warm, strict=True):
        assert_equal(batch, other)
    assert entries == len(list(tmp_path.rglob("*.array"))) == 10, "two views of each of five clips"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_views_for_evaluation_come_in_the_order_of_the_clips(clips: ClipSet, tmp_path: Path, num_workers: int) -> None:
    clips = broken(clips, tmp_path, [3])
    outcomes = load_views(clips.clips, SAMPLING, num_views=2, num_crops=3, num_workers=num_workers)
    for number, outcome in enumerate(outcomes):
        assert outcome.task == clips.clips[number]
        if number == 3:
            assert outcome.failure is not None and outcome.failure.cause == "not_a_video" and outcome.value is None
            continue
        assert outcome.value is not None and outcome.value.duration_s == pytest.approx(0.6)
        np.testing.assert_array_equal(
            outcome.value.frames, read_views(clips.clips[number], SAMPLING, num_views=2, num_crops=3)
        )


def test_workers_do_not_load_torch() -> None:
    code = "import sys, tubelet.datasets.views, tubelet.datasets.worker_process; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


MEMORY = """
import psutil, sys
from tubelet.datasets.labelled import ClipSet, LabelledClip
from tubelet.datasets.loader import ClipLoader
from tubelet.datasets.order import EpochOrder
from tubelet.datasets.sampling import Sampling
from pathlib import Path

def own(process):
    # What the processes have for themselves and no file has, in memory or swapped out: the system may take pages of a
    # process that waits out of memory, and gives them back when it goes on, which is no growth.
    try:
        with open(f"/proc/{process.pid}/smaps_rollup") as file:
            kib = dict(line.split()[:2] for line in file if line.startswith(("Anonymous:", "Swap:")))
        return 1024 * sum(map(int, kib.values()))
    except FileNotFoundError:
        return process.memory_full_info().uss

def used():
    return sum(map(own, [psutil.Process(), *psutil.Process().children(recursive=True)])) / 2**20

if __name__ == "__main__":
    path, num_steps = Path(sys.argv[1]), int(sys.argv[2])
    clips = tuple(LabelledClip(id=f"c{n}", path=path, labels=(0,), group="g") for n in range(16 * num_steps))
    loader = ClipLoader(
        ClipSet(name="tiny", root=path.parent, classes=("a",), clips=clips),
        EpochOrder(len(clips), batch_size=16), Sampling(num_frames=2, size_px=24), num_workers=2,
    )
    with loader:
        for step in range(num_steps):
            loader.batch_at(step)
            if (step + 1) % (num_steps // 3) == 0:
                print(used())
"""


def memory_growth_mib(clips: ClipSet, tmp_path: Path, num_steps: int) -> float:
    """From the first third to the end, if both later thirds grew as the lesser did: a leak grows in each of them, a
    block that an allocator takes once in one alone.
    """
    script = tmp_path / "memory.py"
    script.write_text(MEMORY)
    done = subprocess.run(
        [sys.executable, str(script), str(clips.clips[0].path), str(num_steps)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second, last = map(float, done.stdout.split())
    sys.stdout.write(f"{first:.0f}, {second:.0f}, {last:.0f} MiB after each third of {16 * num_steps} clips\n")
    return 2 * min(second - first, last - second)


def test_memory_does_not_grow_with_the_number_of_clips(clips: ClipSet, tmp_path: Path) -> None:
    assert memory_growth_mib(clips, tmp_path, num_steps=24) < 8


@pytest.mark.slow
def test_memory_does_not_grow_over_many_thousand_clips(clips: ClipSet, tmp_path: Path) -> None:
    assert memory_growth_mib(clips, tmp_path, num_steps=2000) < 12


def test_settings_are_checked(clips: ClipSet) -> None:
    with pytest.raises(ValueError, match="prefetch_batches is 0; allowed: 1 or more"):
        loader_of(clips, prefetch_batches=0)
    assert len(list(islice(loader_of(clips).batches(), 3))) == 3
