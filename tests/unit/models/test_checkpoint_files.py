"""Checkpoints are read as data, or refused with a reason."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tubelet.errors import WeightsError
from tubelet.models.checkpoint_files import read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"model": STATE, "epoch": 3, "args": argparse.Namespace(lr=1e-3)},
        {"module": STATE, "optimizer": {"state": {}}},
        {"state_dict": {"model": STATE}},
    ],
)
def test_tensors_are_found_under_what_training_wrapped_round_them(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "checkpoint.pth")
    state = read_state(tmp_path / "checkpoint.pth")
    assert list(state) == list(STATE) and torch.equal(state["a.weight"], STATE["a.weight"])


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    assert torch.equal(read_state(tmp_path / "model.safetensors")["a.weight"], STATE["a.weight"])


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.marker,))


def test_a_file_that_would_run_code_runs_none(tmp_path: Path) -> None:
    torch.save({"model": STATE, "extra": _Payload(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="evil.pth: cannot be read as PyTorch weights .*only files of plain tensors"):
        read_state(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.pth", b"", "cannot be read as PyTorch weights"),
        ("text.pth", b"hello, this is no checkpoint", "cannot be read as PyTorch weights"),
        ("broken.safetensors", b"\x00" * 40, "cannot be read as safetensors"),
    ],
)
def test_a_damaged_file_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name}: {message}"):
        read_state(tmp_path / name)


def test_what_holds_no_tensors_is_named(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "log.pth")
    with pytest.raises(WeightsError, match=r"log.pth: holds no table of tensors \(found: epoch, loss\)"):
        read_state(tmp_path / "log.pth")
    torch.save(3, tmp_path / "number.pth")
    with pytest.raises(WeightsError, match=r"number.pth: holds no table of tensors \(found: int\)"):
        read_state(tmp_path / "number.pth")


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nothing.pth: there is no such file"):
        read_state(tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match="is a folder; give the file in it"):
        read_state(tmp_path)
