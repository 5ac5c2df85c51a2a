"""Running a function in worker processes: order, failures, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import worker_tasks

from tubelet.datasets import workers
from tubelet.datasets.shared_slots import SharedSlots
from tubelet.datasets.workers import ItemFailure, Outcome, ordered_map
from tubelet.errors import DatasetError

SUPPORT = Path(worker_tasks.__file__).parent


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No process, thread or file descriptor outlives its iterator."""
    before = _files()
    yield
    assert [child for child in psutil.Process().children() if "resource_tracker" not in " ".join(child.cmdline())] == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("tubelet")] == []
    assert len(_files()) <= len(before) + 1, "the resource tracker's pipe, once"


def _files() -> list[str]:
    return os.listdir("/proc/self/fd")


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_results_come_in_the_order_of_the_tasks(num_workers: int) -> None:
    outcomes = list(ordered_map(worker_tasks.slow_square, range(12), num_workers=num_workers))

    assert outcomes == [Outcome(number, number * number, None) for number in range(12)]


def test_no_task_is_no_outcome() -> None:
    assert list(ordered_map(worker_tasks.slow_square, [], num_workers=1)) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_errors_of_an_item_are_failures_with_a_cause(num_workers: int) -> None:
    tasks = ["well", "damaged", "invalid", "system", "memory", "well"]
    outcomes = list(ordered_map(worker_tasks.misbehave, tasks, num_workers=num_workers))

    assert [outcome.task for outcome in outcomes] == tasks
    assert [outcome.value for outcome in outcomes] == ["well", None, None, None, None, "well"]
    assert [outcome.failure for outcome in outcomes[1:5]] == [
        ItemFailure("corrupt", "a.mp4: corrupt: a picture is damaged; get the file again"),
        ItemFailure("invalid", "a.csv: no such column"),
        ItemFailure("system", "[Errno 5] Input/output error: 'a.mp4'"),
        ItemFailure("out_of_memory", "MemoryError"),
    ]


def test_a_stuck_worker_is_killed_and_the_tasks_behind_it_are_done_by_others() -> None:
    began_s = time.monotonic()
    # Not shorter: on a busy machine the quick tasks must have the time that they need.
    outcomes = list(ordered_map(worker_tasks.misbehave, ["a", "hang", "b", "c"], num_workers=1, timeout_s=2.0))

    assert time.monotonic() - began_s < 60
    assert [outcome.value for outcome in outcomes] == ["a", None, "b", "c"]
    assert outcomes[1].failure == ItemFailure(
        "time_out", "it took longer than 2 s; look at the file, or allow more time"
    )


def test_a_worker_that_is_killed_fails_its_task_alone() -> None:
    tasks = ["a", "die", "b", "crash", "c", "exit", "d"]
    outcomes = list(ordered_map(worker_tasks.misbehave, tasks, num_workers=2))

    assert [outcome.value for outcome in outcomes] == ["a", None, "b", None, "c", None, "d"]
    reasons = [outcome.failure.reason for outcome in outcomes if outcome.failure is not None]
    assert {outcome.failure.cause for outcome in outcomes if outcome.failure is not None} == {"worker_died"}
    assert "killed by signal 9 (SIGKILL); the file may be damaged, or memory ran out" in reasons[0]
    assert "killed by signal 6 (SIGABRT)" in reasons[1]
    assert "ended with exit code 7" in reasons[2]


def test_many_deaths_in_a_row_end_everything_and_say_what_to_do() -> None:
    outcomes = ordered_map(
        worker_tasks.misbehave, ["a", "die", "die", "die", "b"], num_workers=1, max_deaths_in_a_row=3
    )

    assert [next(outcomes).value for _ in range(3)] == ["a", None, None]
    with pytest.raises(
        DatasetError,
        match=r"3 worker processes in a row came to an end; the last one was killed by signal 9 \(SIGKILL\)\. "
        r"Signal 9 mostly means that memory ran out: use fewer workers \(now 1\), give more memory",
    ):
        next(outcomes)


def test_a_mistake_in_the_program_is_raised() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)a worker's function raised.*misbehave.*ZeroDivisionError: a mistake"):
        list(ordered_map(worker_tasks.misbehave, ["mistake"], num_workers=1))
    with pytest.raises(RuntimeError, match=r"(?s)a worker's function raised.*misbehave"):
        list(ordered_map(worker_tasks.misbehave, ["unsendable"], num_workers=1))
    with pytest.raises(RuntimeError, match=r"(?s)a worker's function raised.*SystemExit: 3"):
        list(ordered_map(worker_tasks.leave, [0], num_workers=1))
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        list(ordered_map(worker_tasks.misbehave, ["mistake"], num_workers=0))


def test_tasks_are_taken_only_so_far_ahead() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(10_000):
            taken.append(number)
            yield number

    outcomes = ordered_map(worker_tasks.pid, tasks(), num_workers=2, prefetch=5)
    assert taken == []
    for _ in range(3):
        next(outcomes)
    assert taken == list(range(7))
    outcomes.close()  # type: ignore[attr-defined]


def test_arrays_come_through_shared_memory_and_slots_are_used_again() -> None:
    outcomes = ordered_map(worker_tasks.picture, range(30), num_workers=2, prefetch=4, array_bytes=3 * 5 * 7)

    for number, outcome in enumerate(outcomes):
        np.testing.assert_array_equal(outcome.value, worker_tasks.picture(number))
        assert outcome.value is not None and outcome.value.base is not None


def test_an_array_that_is_too_large_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="an array of 105 bytes was returned; array_bytes allows 104"):
        list(ordered_map(worker_tasks.picture, [6], num_workers=1, array_bytes=104))


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="num_workers is -1; allowed: 0 or more"):
        ordered_map(worker_tasks.pid, [], num_workers=-1)
    with pytest.raises(ValueError, match="prefetch is -2; allowed: 1 or more"):
        ordered_map(worker_tasks.pid, [], num_workers=1, prefetch=-2)
    with pytest.raises(ValueError, match="timeout_s is 0; allowed: above 0"):
        ordered_map(worker_tasks.pid, [], num_workers=1, timeout_s=0)
    with pytest.raises(ValueError, match="a task of .* bytes was given; at most 32000 can be sent: give paths"):
        list(ordered_map(worker_tasks.pid, [b"x" * 50_000], num_workers=1))
    slots = SharedSlots(2, 10)
    with pytest.raises(ValueError, match="slot is 2; allowed: 0 to 1"):
        slots.bytes_of(2)
    slots.close()


def test_memory_is_shared_where_the_system_has_no_memory_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    (outcome,) = ordered_map(worker_tasks.picture, [3], num_workers=1, array_bytes=100)
    np.testing.assert_array_equal(outcome.value, worker_tasks.picture(3))


def test_workers_that_do_not_start_end_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_START_S", 0.0)
    with pytest.raises(DatasetError, match=r"a worker process did not start within 0 s; look at the disk .* is on"):
        list(ordered_map(worker_tasks.pid, [1], num_workers=1))


def test_an_iterator_that_is_let_go_ends_its_workers() -> None:
    outcomes = ordered_map(worker_tasks.pid, range(100), num_workers=2)
    process = next(outcomes).value
    del outcomes
    assert not psutil.pid_exists(process)  # type: ignore[arg-type]


PROGRAM = """
import sys
sys.path.insert(0, {support!r})
import worker_tasks
from tubelet.datasets.workers import ordered_map

def main():
    for outcome in ordered_map(worker_tasks.note_pid_and_hang, [{folder!r}] * 3, num_workers=2):
        print(outcome)
"""


def _program(tmp_path: Path, ending: str) -> subprocess.Popen[str]:
    folder = tmp_path / "pids"
    folder.mkdir()
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(support=str(SUPPORT), folder=str(folder)) + ending)
    return subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True, start_new_session=True)


def _wait_until(what: object, limit_s: float = 20.0) -> None:
    end_s = time.monotonic() + limit_s
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end_s, "waited in vain"
        threading.Event().wait(0.02)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_its_parent_however_that_ends(tmp_path: Path, end: signal.Signals) -> None:
    program = _program(tmp_path, "if __name__ == '__main__':\n    main()\n")
    _wait_until(lambda: len(list((tmp_path / "pids").iterdir())) == 2)
    pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    if end is signal.SIGINT:
        os.killpg(program.pid, end)  # as a terminal does: to all of them
    else:
        program.send_signal(end)
    said = program.communicate(timeout=20)[1]

    _wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert said.count("Traceback") == (end is signal.SIGINT), said
    assert "leaked" not in said


def test_a_script_without_a_guard_is_told_what_is_missing(tmp_path: Path) -> None:
    program = _program(tmp_path, "main()\n")
    said = program.communicate(timeout=60)[1]

    assert "DatasetError: a worker process could not start (exit code 1; what it said is above)" in said
    assert "must begin its work below `if __name__ == '__main__':`" in said
    assert program.returncode == 1


def test_the_resource_tracker_has_nothing_to_say(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(SUPPORT)!r})\nimport worker_tasks\n"
        "from tubelet.datasets.workers import ordered_map\n"
        "if __name__ == '__main__':\n"
        "    outcomes = ordered_map(worker_tasks.picture, range(50), num_workers=2, array_bytes=1000)\n"
        "    print(sum(int(next(outcomes).value.max()) for _ in range(9)))\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("36\n", "")


def test_every_cause_is_explained() -> None:
    explained = ItemFailure.__doc__ or ""
    assert all(cause in explained for cause in ("time_out", "worker_died", "out_of_memory", "system", "invalid"))
    assert workers.FAILURES
