"""Run a function over many tasks in worker processes, results in the order of the tasks.

Decoding runs in other people's C code, which may hang, crash, or eat all memory on a damaged file. So each worker is a
process that can be killed and replaced, talks to the parent through a pipe of its own (a killed process cannot leave a
lock behind that others wait for), and is started afresh, never forked: a fork copies locks of threads that it does not
copy.

    for outcome in ordered_map(read_middle_frame, paths, num_workers=4, timeout_s=60):
        if outcome.failure is not None:
            print(outcome.task, outcome.failure.cause, outcome.failure.reason)

With `num_workers=0` everything runs in this process, with the same results, but nothing can be stopped on the way.
"""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Pipe, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

from tubelet.datasets.shared_slots import SharedSlots
from tubelet.datasets.worker_process import (
    Caught,
    ItemFailure,
    Raised,
    Ready,
    run,
    serve,
    unpacked,
)
from tubelet.errors import DatasetError, TubeletError

__all__ = ["FAILURES", "ItemFailure", "Outcome", "ordered_map"]

Task = TypeVar("Task")
Value = TypeVar("Value")

# What makes an item fail. Any other error is a mistake in the program, and is raised.
FAILURES: tuple[type[Exception], ...] = (TubeletError, OSError, MemoryError)
# The worker's next task waits in its pipe, so that it never waits for the parent.
_TASKS_PER_WORKER = 2
# Less than what a pipe holds: sending a task never blocks.
_MAX_TASK_BYTES = 32_000
_PATIENCE_S = 2.0
# Even a cold disk brings the program within this time.
_START_S = 300.0


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Task, Value]):
    """What came of one task.

    Attributes:
        task: As it was given.
        value: What the function returned; None where it failed.
        failure: Why there is no value; None where there is one.
    """

    task: Task
    value: Value | None
    failure: ItemFailure | None


def ordered_map(
    function: Callable[[Task], Value],
    tasks: Iterable[Task],
    *,
    num_workers: int,
    prefetch: int | None = None,
    timeout_s: float = 60.0,
    max_deaths_in_a_row: int = 5,
    failures: tuple[type[Exception], ...] = FAILURES,
    array_bytes: int = 0,
) -> Generator[Outcome[Task, Value]]:
    """The outcome of each task, in the order of the tasks, whatever the number of workers.

    Close the iterator (or let go of it) to end the workers early; they also end when the parent does, however it ends.

    Args:
        function: Of a module, or a partial of one: workers find it by its name.
        tasks: Small things such as paths and numbers; taken one by one, `prefetch` ahead of what was handed out, so an
            endless iterable is all right.
        num_workers: Processes; 0 runs the function here, one task when it is asked for, and without time-outs.
        prefetch: Tasks begun and not handed out, at most; None for four for each worker.
        timeout_s: A task that takes longer fails with the cause `time_out`, and its worker is killed and replaced.
        max_deaths_in_a_row: A worker that something else killed makes its task fail with the cause `worker_died`; after
            so many without a result in between, the machine is at fault and not the tasks.
        failures: Errors that make a task fail instead of ending everything; the function may also return an
            `ItemFailure`.
        array_bytes: Where the function returns arrays, or tuples that begin with one, the size of the largest array:
            they come through shared memory, and are valid until the next outcome is asked for. 0 sends arrays like
            everything else.

    Raises:
        DatasetError: Workers do not start, or die one after the other.
        RuntimeError: The function raised something else in a worker; the message holds its traceback.
        ValueError: A setting is out of range, or a task is too large to be sent.
    """
    for name, value, least in (("num_workers", num_workers, 0), ("prefetch", prefetch or 1, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}; allowed: {least} or more")
    if not timeout_s > 0:
        raise ValueError(f"timeout_s is {timeout_s:g}; allowed: above 0")
    if num_workers == 0:
        return (_outcome(task, run(function, task, failures)) for task in tasks)
    prefetch = 4 * num_workers if prefetch is None else prefetch
    slots = SharedSlots(prefetch, array_bytes) if array_bytes else None
    start = _Start(function, failures, slots)
    return _mapped(tasks, lambda: _Pool(start, num_workers, timeout_s, max_deaths_in_a_row), prefetch)


def _outcome(task: Task, result: Any) -> Outcome[Task, Any]:  # noqa: ANN401
    return Outcome(task, None, result) if isinstance(result, ItemFailure) else Outcome(task, result, None)


def _mapped(tasks: Iterable[Task], open_pool: Callable[[], _Pool], prefetch: int) -> Generator[Outcome[Task, Any]]:
    begun: deque[Task] = deque()
    rest = iter(tasks)
    pool = open_pool()
    try:
        for number in itertools.count():
            # The slot of the outcome handed out last is free from here on; it is the one that comes round next.
            for task in itertools.islice(rest, prefetch - len(begun)):
                begun.append(task)
                pool.submit(task)
            if not begun:
                return
            yield _outcome(begun.popleft(), pool.result(number))
    finally:
        pool.close()


@dataclass(frozen=True, slots=True)
class _Start:
    """What every worker is given."""

    function: Callable[[Any], Any]
    failures: tuple[type[Exception], ...]
    slots: SharedSlots | None


@dataclass(frozen=True, slots=True)
class _Job:
    number: int
    message: bytes


class _Worker:
    """A process, the near end of its pipe, and the jobs that it has; the first is the one it works on."""

    def __init__(self, start: _Start) -> None:
        self.connection, far_end = Pipe()
        context = multiprocessing.get_context("spawn")
        self.process: SpawnProcess = context.Process(
            target=serve,
            args=(far_end, start.function, start.failures, start.slots),
            name="tubelet-worker",
            daemon=True,
        )
        # A new process inherits what is held back, so Ctrl-C does not reach it before it says that it ignores it.
        held_back = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held_back)
        far_end.close()
        self.jobs: deque[_Job] = deque()
        self.is_ready = False
        self.began_s = time.monotonic()

    def give(self, job: _Job) -> None:
        """Send a job; one that cannot be sent is noticed by its worker's end."""
        if not self.jobs:
            self.began_s = time.monotonic()
        self.jobs.append(job)
        try:
            self.connection.send_bytes(job.message)
        except ConnectionError:
            return

    def end(self, patience_s: float) -> int:
        """Close the pipe, wait, kill; the exit code."""
        self.connection.close()
        self.process.join(patience_s)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode
        self.process.close()
        return code if code is not None else 0


class _Pool:
    """Workers, and the thread that hands them jobs and takes what they send.

    The thread runs while the consumer is busy with the last outcome, so that workers are always fed and a stuck one is
    noticed in time. Only it touches the workers; what both sides touch is guarded by one condition.
    """

    def __init__(self, start: _Start, num_workers: int, timeout_s: float, max_deaths_in_a_row: int) -> None:
        self._start, self._num_workers = start, num_workers
        self._timeout_s, self._max_deaths = timeout_s, max_deaths_in_a_row
        self._changed = threading.Condition()
        self._todo: deque[_Job] = deque()
        self._done: dict[int, Any] = {}
        self._error: BaseException | None = None
        self._is_closed = False
        self._num_submitted = 0
        self._num_deaths = 0
        self._workers: list[_Worker] = []
        self._bell, self._bell_pull = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._serve, name="tubelet-workers", daemon=True)
        # Otherwise the thread would replace the workers that an ending program kills.
        atexit.register(self.close)
        self._thread.start()

    def submit(self, task: object) -> None:
        """Put a task at the end of the queue."""
        number = self._num_submitted
        slots = self._start.slots
        message = bytes(ForkingPickler.dumps((number, number % slots.num_slots if slots is not None else 0, task)))
        if len(message) > _MAX_TASK_BYTES:
            raise ValueError(
                f"a task of {len(message)} bytes was given; at most {_MAX_TASK_BYTES} can be sent: give paths, not data"
            )
        with self._changed:
            self._todo.append(_Job(number, message))
        self._num_submitted += 1
        self._bell_pull.send_bytes(b"!")

    def result(self, number: int) -> Any:  # noqa: ANN401
        """Wait for what came of a task."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._done or self._error is not None)
            # What was finished before an error is still handed out, so that where it stops does not depend on chance.
            if number not in self._done and self._error is not None:
                raise self._error
            result = self._done.pop(number)
        if isinstance(result, Raised):
            raise RuntimeError(  # noqa: TRY004 - it is of the right type: it says that something went wrong
                f"a worker's function raised an error:\n{result.traceback}"
            )
        slots = self._start.slots
        return result if slots is None else unpacked(result, slots.bytes_of(number % slots.num_slots))

    def close(self) -> None:
        """End workers and thread. Harmless when it was done already."""
        atexit.unregister(self.close)
        with self._changed:
            was_closed, self._is_closed = self._is_closed, True
        if was_closed:
            return
        self._bell_pull.send_bytes(b"!")
        if threading.current_thread() is self._thread:
            return  # the garbage collector may let go of an iterator anywhere; the thread ends by itself
        self._thread.join()
        self._bell.close()
        self._bell_pull.close()
        if self._start.slots is not None:
            self._start.slots.close()

    def _serve(self) -> None:
        with Caught() as caught:
            while not self._is_closed:
                self._hand_out()
                self._take()
        with Caught() as caught_at_end:
            for worker in self._workers:
                worker.connection.close()
            limit_s = time.monotonic() + _PATIENCE_S
            for worker in self._workers:
                worker.end(max(0.0, limit_s - time.monotonic()))
        with self._changed:
            self._error = caught.error or caught_at_end.error
            self._changed.notify_all()

    def _hand_out(self) -> None:
        while len(self._workers) < self._num_workers:
            self._workers.append(_Worker(self._start))
        with self._changed:
            # Everybody gets a first job before anybody gets a second one.
            for depth in range(_TASKS_PER_WORKER):
                for worker in self._workers:
                    if self._todo and worker.is_ready and len(worker.jobs) == depth:
                        worker.give(self._todo.popleft())

    def _take(self) -> None:
        """Wait until something happens, and note it."""
        ends_s = [end_s for worker in self._workers if (end_s := self._end_s(worker)) is not None]
        rest_s = max(0.0, min(ends_s) - time.monotonic()) if ends_s else None
        by_connection: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
        for event in wait([self._bell, *by_connection], rest_s):
            if event is self._bell:
                self._bell.recv_bytes()
            else:
                self._receive(by_connection[event])
        for worker in list(self._workers):
            end_s = self._end_s(worker)
            if end_s is not None and time.monotonic() >= end_s and not worker.connection.poll():
                self._give_up(worker)

    def _end_s(self, worker: _Worker) -> float | None:
        """When the worker has had its time for what it is doing; None where it does nothing."""
        if not worker.is_ready:
            return worker.began_s + _START_S
        return worker.began_s + self._timeout_s if worker.jobs else None

    def _give_up(self, worker: _Worker) -> None:
        self._drop(worker, patience_s=0.0)
        if not worker.is_ready:
            raise DatasetError(
                f"a worker process did not start within {_START_S:g} s; look at the disk that python is on, or do "
                "without workers (num_workers=0)"
            )
        self._fail(
            worker, "time_out", f"it took longer than {self._timeout_s:g} s; look at the file, or allow more time"
        )

    def _receive(self, worker: _Worker) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionError):
            self._note_death(worker)
            return
        if isinstance(message, Ready):
            worker.is_ready = True
            return
        number, value = message
        worker.jobs.popleft()
        worker.began_s = time.monotonic()
        self._num_deaths = 0
        self._finish(number, value)

    def _note_death(self, worker: _Worker) -> None:
        code = self._drop(worker, patience_s=_PATIENCE_S)
        if not worker.is_ready and code > 0:
            raise DatasetError(
                f"a worker process could not start (exit code {code}; what it said is above). A script that uses "
                "workers must begin its work below `if __name__ == '__main__':`; num_workers=0 does without them"
            )
        self._num_deaths += 1
        how = f"was killed by signal {-code} ({_signal_name(-code)})" if code < 0 else f"ended with exit code {code}"
        if self._num_deaths >= self._max_deaths:
            raise DatasetError(
                f"{self._num_deaths} worker processes in a row came to an end; the last one {how}. "
                f"Signal 9 mostly means that memory ran out: use fewer workers (now {self._num_workers}), give more "
                "memory, or take smaller or fewer frames"
            )
        self._fail(worker, "worker_died", f"the process that read it {how}; the file may be damaged, or memory ran out")

    def _drop(self, worker: _Worker, patience_s: float) -> int:
        self._workers.remove(worker)
        return worker.end(patience_s)

    def _fail(self, worker: _Worker, cause: str, reason: str) -> None:
        """The job that a lost worker was at fails; those behind it are handed out again, first of all."""
        if worker.jobs:
            self._finish(worker.jobs.popleft().number, ItemFailure(cause, reason))
        with self._changed:
            self._todo.extendleft(reversed(worker.jobs))

    def _finish(self, number: int, value: object) -> None:
        with self._changed:
            self._done[number] = value
            self._changed.notify_all()


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else "unknown"
