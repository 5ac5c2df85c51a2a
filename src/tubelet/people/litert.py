"""A pool of LiteRT interpreters, so that several threads can run one network at the same time."""

from __future__ import annotations

import os
import queue
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from jaxtyping import Float

from tubelet.errors import WeightsError

_GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep one line of the native library off stderr, where it breaks progress bars; nothing in it can switch it off.

    Everything else that is written to stderr meanwhile comes out afterwards.
    """
    if sys.stderr is None:  # a program without a console: nothing to keep clean
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(stderr, 2)
                held.seek(0)
                os.write(2, held.read().replace(_GREETING, b""))
    finally:
        os.close(stderr)


class InterpreterPool:
    """One network, loaded `num_workers` times with one thread each.

    An interpreter serves one call at a time but lets other Python threads run while it computes. Several of them with
    one thread each use the cores as well as one with several threads does, and the preparation of their inputs runs
    side by side too.

    Args:
        path: The `.tflite` file.
        num_workers: How many calls may run at the same time.

    Raises:
        WeightsError: The file is not a network that LiteRT can load.
    """

    def __init__(self, path: Path, num_workers: int) -> None:
        if num_workers < 1:
            raise ValueError(f"num_workers is {num_workers}; at least 1 is needed")
        self.num_workers = num_workers
        self._idle: queue.SimpleQueue[Interpreter] = queue.SimpleQueue()
        try:
            # All interpreters read the same bytes: the weights lie in memory once.
            content = path.read_bytes()
            with _without_greeting():
                interpreters = [Interpreter(model_content=content, num_threads=1) for _ in range(num_workers)]
                for interpreter in interpreters:
                    interpreter.allocate_tensors()
                    self._idle.put(interpreter)
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsError(
                f"{path} cannot be loaded as a LiteRT network ({' '.join(str(error).split())}); "
                "run `tubelet weights verify`, and delete the file to fetch it anew"
            ) from error
        self.input_shape: tuple[int, ...] = tuple(int(n) for n in interpreters[0].get_input_details()[0]["shape"])
        self._input_index = int(interpreters[0].get_input_details()[0]["index"])
        self._output_indices = {d["name"]: int(d["index"]) for d in interpreters[0].get_output_details()}

        self._path = path

    def require(self, input_shape: tuple[int, ...], outputs: tuple[str, ...]) -> None:
        """Check that this is the expected network.

        Raises:
            WeightsError: Its input or outputs are not these.
        """
        missing = [name for name in outputs if name not in self._output_indices]
        if self.input_shape != input_shape or missing:
            raise WeightsError(
                f"{self._path} is a LiteRT network with input {self.input_shape} and outputs "
                f"{sorted(self._output_indices)}; wanted input {input_shape} and outputs {list(outputs)}. "
                "Fetch the right file with `tubelet weights pull`."
            )

    @contextmanager
    def _borrowed(self) -> Iterator[Interpreter]:
        interpreter = self._idle.get()
        try:
            yield interpreter
        finally:
            self._idle.put(interpreter)

    def run(self, batch: Float[np.ndarray, "one height width 3"], outputs: tuple[str, ...]) -> list[np.ndarray]:
        """Run one forward pass; thread-safe.

        Args:
            batch: The input, of shape `input_shape`.
            outputs: Names of the wanted outputs.
        """
        with self._borrowed() as interpreter:
            interpreter.set_tensor(self._input_index, batch)
            interpreter.invoke()
            return [interpreter.get_tensor(self._output_indices[name]) for name in outputs]
