"""Pickles of plain data are read as the pickle module reads them, and nothing that could run is."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tubelet.datasets.plain_pickle import read_plain_pickle
from tubelet.errors import DatasetError

PROTOCOLS = range(6)
ARRAYS = [
    np.arange(6, dtype=np.int16),
    np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(24, dtype=">f4").reshape(2, 3, 4).transpose(1, 0, 2),
    np.arange(24.0).reshape(2, 3, 4).transpose(1, 2, 0),
    np.zeros((0, 17, 2), dtype=np.float32),
    np.array(3.5),
    np.array([True, False]),
    np.array(["walk", "run"]),
    np.array([b"walk", b"r"]),
    np.array([1 + 2j]),
    np.arange(20)[::3],
]


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return path


def assert_same(found: object, wanted: object) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, np.ndarray):
        assert isinstance(found, np.ndarray) and found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted, strict=True)
    elif isinstance(wanted, dict):
        assert isinstance(found, dict) and list(found) == list(wanted)
        for key, value in wanted.items():
            assert_same(found[key], value)
    elif isinstance(wanted, list | tuple):
        assert isinstance(found, list | tuple) and len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    else:
        assert found == wanted or (found != found and wanted != wanted)  # NaN is like NaN here


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sampled_from(ARRAYS),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=5)
        | st.sets(st.integers(), max_size=5)
        | st.frozensets(st.text(), max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=25)
@given(PLAIN)
def test_plain_data_come_back(tmp_path_factory: pytest.TempPathFactory, protocol: int, value: object) -> None:
    content = pickle.dumps(value, protocol=protocol)
    path = write(tmp_path_factory.mktemp("p"), content)
    assert_same(read_plain_pickle(path), pickle.loads(content))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_scalars_and_what_is_there_twice_come_back(tmp_path: Path, protocol: int) -> None:
    shared = np.arange(3)
    scalars = [np.float32(0.1), np.int64(-7), np.bool_(True), np.float64(np.pi)]
    value = {
        "arrays": ARRAYS,
        "scalars": scalars,
        "twice": [shared, shared],
        "bytes": [b"", b"\xff\n", bytearray(b"x")],
    }
    content = pickle.dumps(value, protocol=protocol)
    found = read_plain_pickle(write(tmp_path, content))
    assert_same(found, pickle.loads(content))
    assert isinstance(found, dict) and found["twice"][0] is found["twice"][1]


def test_ordered_dicts_become_dicts_and_a_list_may_hold_itself(tmp_path: Path) -> None:
    ordered = collections.OrderedDict([("b", 1), ("a", [2])])
    assert_same(read_plain_pickle(write(tmp_path, pickle.dumps(ordered, protocol=2))), {"b": 1, "a": [2]})
    ring: list[object] = []
    ring.append(ring)
    found = read_plain_pickle(write(tmp_path, pickle.dumps(ring)))
    assert isinstance(found, list) and found[0] is found


def as_numpy_1(content: bytes) -> bytes:
    """The same pickle with the names that numpy 1 gave its modules."""
    renamed = content
    for module in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + module, b"numpy.core." + module
        renamed = renamed.replace(b"c" + new + b"\n", b"c" + old + b"\n")
        renamed = renamed.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old)
    if content[0] == 0x80 and content[1] >= 4:  # the frame of the data has become shorter
        length = struct.unpack("<Q", content[3:11])[0] - (len(content) - len(renamed))
        renamed = renamed[:3] + struct.pack("<Q", length) + renamed[11:]
    return renamed


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_files_of_numpy_1_are_read(tmp_path: Path, protocol: int) -> None:
    value = [np.arange(6, dtype=np.float16).reshape(2, 3), np.float32(0.5)]
    content = as_numpy_1(pickle.dumps(value, protocol=protocol))
    assert b"numpy._core" not in content and b"numpy.core" in content
    assert_same(read_plain_pickle(write(tmp_path, content)), value)


def test_a_file_of_python_2_is_read(tmp_path: Path) -> None:
    # As Python 2.7 with numpy 1.16 writes {'a': np.arange(2, dtype='<i2')} at protocol 0, where text and bytes are one.
    content = (
        b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
        b"(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'i2'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
        b"S'\\x00\\x00\\x01\\x00'\np15\ntp16\nbs."
    )
    assert_same(read_plain_pickle(write(tmp_path, content)), {"a": np.arange(2, dtype="<i2")})


class Payload:
    """What a malicious file does: it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.path}",))


class Stateful:
    """Any class of somebody's program."""

    def __init__(self) -> None:
        self.x = 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "ran"
    path = write(tmp_path, pickle.dumps({"keypoint": [Payload(mark)]}, protocol=protocol))
    with pytest.raises(
        DatasetError, match=r"asks for (posix|nt)\.system at byte \d+, which could run a program; nothing"
    ):
        read_plain_pickle(path)
    assert not mark.exists()
    with open(path, "rb") as file:  # the payload works: the pickle module does run it
        pickle.load(file)
    assert mark.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cbuiltins\neval\n(V1+1\ntR.", "asks for builtins.eval"),
        (b"(S'touch x'\nios\nsystem\n.", "asks for the instruction INST"),
        (b"(cos\nsystem\nS'x'\no.", "asks for os.system"),
        (b"Pname\n.", "asks for the instruction PERSID"),
        (b"\x80\x02\x82\x01.", "the instruction EXT1"),
        (b"cnumpy\nload\n(tR.", "asks for numpy.load"),
        (b"cnumpy\nndarray\n.", "asks for numpy.ndarray"),
        (b"cnumpy\nndarray\n((I2\ntt\x52.", "asks for a call of what is no function"),
        (b"cnumpy\ndtype\n(Vf8\nI0\nI1\ntR.", "asks for a dtype on its own"),
        (b"]}b.", "asks for setting the state of a list"),
        (b"cnumpy\ndtype\n(VV8\nI0\nI1\ntR.", "an array of type 'V8'; allowed: lists, tuples"),
        (b"cnumpy\ndtype\n(VO8\nI0\nI1\ntR.", "an array of type 'O8'"),
        (b"c_codecs\nencode\n(Vx\nVbz2\ntR.", "bytes in an unknown encoding"),
        (b"cnumpy._core.multiarray\n_reconstruct\n(cbuiltins\nset\n(I0\ntVb\ntR.", "an array of a kind of its own"),
    ],
)
def test_other_ways_to_run_something_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_plain_pickle(write(tmp_path, content))
    assert said in str(caught.value)


def test_objects_and_arrays_of_objects_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"asks for .*Stateful|asks for the instruction NEWOBJ"):
        read_plain_pickle(write(tmp_path, pickle.dumps(Stateful())))
    with pytest.raises(DatasetError, match="an array of type 'O8'; allowed: lists"):
        read_plain_pickle(write(tmp_path, pickle.dumps(np.array([{}, None]), protocol=2)))
    with pytest.raises(DatasetError, match="an array of type 'V5'"):
        read_plain_pickle(write(tmp_path, pickle.dumps(np.zeros(2, dtype=[("a", "i4"), ("b", "i1")]))))


@settings(max_examples=150)
@given(st.data())
def test_a_damaged_file_says_so(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = pickle.dumps({"a": [np.arange(4), (1, "x")], "b": {1, 2}}, protocol=data.draw(st.sampled_from(PROTOCOLS)))
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(content) - 1)), max_size=3)):
        if content:
            content[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DatasetError):  # and no other error, whatever the bytes are
        read_plain_pickle(write(tmp_path_factory.mktemp("p"), bytes(content)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; give a pickle"),
        (b"frame_dir,label\n", "is no pickle, or a damaged one"),
        (b"\x1f\x8b\x08", "is no pickle, or a damaged one"),
        (b"I1\n.more", "there are things left over at its end"),
        (b"I1\nI2\n.", "there are things left over at its end"),
        (b"0.", "is no pickle, or a damaged one"),
    ],
)
def test_what_is_no_pickle(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_plain_pickle(write(tmp_path, content))
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read: No such file or directory; give a pickle"):
        read_plain_pickle(tmp_path / "x.pkl")
