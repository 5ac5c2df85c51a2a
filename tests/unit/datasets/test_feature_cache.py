"""Arrays on disk: what is found again, what is told apart, and what damage and crowds do."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import worker_tasks

from tubelet.datasets.array_store import ArrayStore
from tubelet.datasets.feature_cache import FeatureCache, FileHashes
from tubelet.datasets.labelled import LabelledClip
from tubelet.errors import DatasetError, VideoReadError

FACTS = {"sampling": "16 x 0.1 s, 224 px", "weights": "ab" * 32, "code": "1"}
FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4) / 7


def clip_of(path: Path, content: bytes = b"bytes of a video") -> LabelledClip:
    path.write_bytes(content)
    return LabelledClip(id=path.name, path=path, labels=(0,), group=path.name)


@pytest.mark.parametrize(("dtype", "off"), [("float32", 0.0), ("float16", 1e-3)])
def test_features_are_found_again_by_another_cache(tmp_path: Path, dtype: str, off: float) -> None:
    clip = clip_of(tmp_path / "a.mp4")
    made = FeatureCache(tmp_path / "cache", FACTS, dtype=dtype).get_or_make(clip, lambda: FEATURES)  # type: ignore[arg-type]
    cache = FeatureCache(tmp_path / "cache", FACTS, dtype=dtype)  # type: ignore[arg-type]
    found = cache.get_or_make(clip, lambda: pytest.fail("made again"))

    assert found.dtype == dtype and (cache.num_found, cache.num_missing, cache.num_damaged) == (1, 0, 0)
    np.testing.assert_array_equal(found, made)
    np.testing.assert_allclose(found, FEATURES, atol=off)


def test_everything_that_features_depend_on_is_in_the_key(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mp4")
    folder = tmp_path / "cache"
    keys = {FeatureCache(folder, FACTS).key(clip)}
    keys |= {FeatureCache(folder, FACTS | {name: "other"}).key(clip) for name in FACTS}
    keys.add(FeatureCache(folder, FACTS, dtype="float16").key(clip))
    cache = FeatureCache(folder, FACTS)
    keys |= {cache.key(replace(clip, start_s=1.0, end_s=2.0)), cache.key(replace(clip, start_s=0.0, end_s=2.0))}
    keys.add(cache.key(clip_of(tmp_path / "b.mp4", b"other bytes of a video")))
    assert len(keys) == 8
    assert cache.key(clip_of(tmp_path / "moved.mp4")) == cache.key(clip)
    assert FeatureCache(folder, dict(reversed(FACTS.items()))).key(clip) == cache.key(clip)


def test_a_file_is_hashed_once_and_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_of(tmp_path / "a.mp4")
    first = FileHashes(tmp_path / "hashes").of(clip.path)
    with monkeypatch.context() as patched:
        patched.setattr("tubelet.datasets.feature_cache.file_sha256", lambda path: pytest.fail("hashed again"))
        assert FileHashes(tmp_path / "hashes").of(clip.path) == first
    os.utime(clip.path, ns=(1, 1))
    assert FileHashes(tmp_path / "hashes").of(clip.path) == first
    clip.path.write_bytes(b"changed")
    assert FileHashes(tmp_path / "hashes").of(clip.path) != first


def test_a_line_that_was_cut_off_is_no_hash(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mp4")
    (tmp_path / "hashes").write_text(f'["{clip.path}", 16, 1', encoding="utf-8")
    digest = FileHashes(tmp_path / "hashes").of(clip.path)
    assert len(digest) == 64


def test_files_that_cannot_be_hashed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VideoReadError, match=r"gone\.mp4: missing: there is no such file; check the path"):
        FileHashes(tmp_path / "hashes").of(tmp_path / "gone.mp4")

    def refuse(path: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tubelet.datasets.feature_cache.file_sha256", refuse)
    with pytest.raises(VideoReadError, match=r"a\.mp4: permission: it may not be read \(Permission denied\)"):
        FileHashes(tmp_path / "hashes").of(clip_of(tmp_path / "a.mp4").path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def not_an_entry(path: Path) -> None:
    path.write_bytes(b'{"dtype": "O", "shape": [3], "crc32": 0}\n' + bytes(24))


def misnamed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"<f4", b"<i4", 1))


def absurd(path: Path) -> None:
    path.write_bytes(b'{"dtype": "<f4", "shape": [99999999, 99999999], "crc32": 0}\n')


@pytest.mark.parametrize("damage", [truncated, lengthened, flipped, emptied, not_an_entry, misnamed, absurd])
def test_a_damaged_entry_is_counted_and_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    clip = clip_of(tmp_path / "a.mp4")
    FeatureCache(tmp_path / "cache", FACTS).put(clip, FEATURES)
    (entry,) = (tmp_path / "cache").glob("*/*.array")
    damage(entry)

    cache = FeatureCache(tmp_path / "cache", FACTS)
    np.testing.assert_array_equal(cache.get_or_make(clip, lambda: FEATURES), FEATURES)
    assert (cache.num_found, cache.num_missing, cache.num_damaged) == (0, 1, 1)
    np.testing.assert_array_equal(FeatureCache(tmp_path / "cache", FACTS).get(clip), FEATURES)


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    clip = clip_of(tmp_path / "a.mp4")
    cache = FeatureCache(tmp_path / "cache", FACTS, dtype="float16")
    with pytest.raises(DatasetError, match=r"a\.mp4: its features are not finite as float16; keep float32"):
        cache.put(clip, FEATURES * 1e6)
    with pytest.raises(DatasetError, match=r"a\.mp4: its features are not finite as float16; look at the network"):
        cache.put(clip, FEATURES * np.float32(np.nan))


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"file/x: the cache cannot be written \(Not a directory\); free some space"):
        ArrayStore(tmp_path / "file" / "x")
    store = ArrayStore(tmp_path / "cache")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DatasetError, match=r"cache: the cache cannot be written \(No space left on device\); free"):
        store.put("abc", FEATURES)
    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


def test_a_full_store_keeps_what_it_has_and_says_what_it_left_out(tmp_path: Path) -> None:
    array = np.zeros(1000, np.uint8)
    for _ in range(2):  # the second store goes on where the first ended
        store = ArrayStore(tmp_path, max_bytes=3500)
        kept = [store.put(f"key{number}", array) for number in range(5)]
        assert kept == [True] * 3 + [False] * 2 and store.counts.left_out == 2
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.array")) <= 3500
    (tmp_path / "bytes_used").write_bytes(b"nonsense")
    store = ArrayStore(tmp_path, max_bytes=3500)
    assert not store.put("key9", array) and store.put("key9", np.zeros(100, np.uint8))


def test_many_processes_share_a_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    limit = 60_000
    processes = [
        context.Process(target=worker_tasks.fill_store, args=(str(tmp_path), limit, seed)) for seed in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    entries = list(tmp_path.rglob("*.array"))
    assert 40_000 < sum(path.stat().st_size for path in entries) <= limit
    store = ArrayStore(tmp_path)
    for path in entries:
        array = store.get(path.stem)
        assert array is not None and (array == int(path.stem)).all()
    assert list(tmp_path.rglob("*.tmp")) == []


def test_the_header_says_what_an_entry_is(tmp_path: Path) -> None:
    ArrayStore(tmp_path).put("abcd", FEATURES.astype(np.float16))
    header = (tmp_path / "ab" / "abcd.array").read_bytes().split(b"\n")[0]
    assert json.loads(header)["dtype"] == "<f2" and json.loads(header)["shape"] == [3, 4]
