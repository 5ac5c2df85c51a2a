"""What the command line owes whoever reads its output, or stops reading it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tubelet.cli.main import main
from tubelet.people.detector import DETECTORS

RUN = "import sys; from tubelet.cli.main import main; sys.exit(main(sys.argv[1:]))"


def unread(*arguments: str, code: str = RUN) -> subprocess.CompletedProcess[str]:
    """Runs a command whose output goes into a pipe that nobody reads from."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60
        )
    finally:
        os.close(write_end)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["weights", "list"]], ids=" ".join)
def test_nobody_has_to_read_a_list_to_its_end(arguments: list[str]) -> None:
    done = unread(*arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failure_is_told_to_those_who_stop_reading() -> None:
    # Two sources: one is said on stdout, one failed.
    code = "from tubelet.cli import info; info.run = lambda _: print('facts') or 1\n" + RUN
    assert unread("info", "a.mp4", "b.mp4", code=code).returncode == 1


def test_work_that_was_cut_off_by_the_reader_did_not_end_well() -> None:
    code = "from tubelet.cli import info; info.run = lambda _: print('facts', flush=True) or 0\n" + RUN
    done = unread("info", "a.mp4", code=code)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    code = "from tubelet.cli import info; info.run = lambda a: print(a.videos[0]) or 0\n" + RUN
    name = os.fsencode(tmp_path) + b"/x\xff.mp4"
    env = os.environ | {"PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", code, "info", name], capture_output=True, env=env, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == os.fsencode(tmp_path) + b"/x\\udcff.mp4\n"


def test_models_are_listed_with_licence_and_evidence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path))
    assert main(["models"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert main(["models", "--json"]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert [part["name"] for part in document["parts"]] == ["oidv4", "ssdlite", "blazepose-full"]
    assert list(DETECTORS) == ["auto", "oidv4", "ssdlite"]
    for part in document["parts"]:
        assert part["licence"] in text
        assert "real footage" in part["evidence"]
        assert "docs/design/2026-11-23-person-detection.md" in part["evidence"]
        assert part["evidence"] in text
        assert part["cached"] is False
