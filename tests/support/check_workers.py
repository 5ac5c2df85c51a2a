"""What `tubelet check` runs in its workers, with files that are certain to kill or hang them: by their names."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from tubelet.datasets.check.probe import FileTask, examine


def examine_with_accidents(task: FileTask) -> dict[str, Any]:
    """As `examine`; a file with `kill` in its name ends the process, one with `hang` never comes back."""
    if "kill" in task.key:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in task.key:
        threading.Event().wait()
    if "raise" in task.key:
        raise ValueError("the decoder said something odd")
    return examine(task)
