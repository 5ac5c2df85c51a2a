"""The folder a run leaves behind."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tubelet.errors import ConfigError, OutputExistsError
from tubelet.runs.files import sync_folder, to_json_text, write_json

RUN_SCHEMA = "tubelet.run/1"
_WAIT_FOR_FIRST_S = 60.0


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """See that a file can be written, before the work whose result it will hold; makes nothing.

    Args:
        path: The file; its folder need not exist yet.
        overwrite: Whether a file that is there may be replaced.

    Raises:
        OutputExistsError: It is there already.
        ConfigError: It is a folder, or cannot be written there.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise ConfigError(f"{target} is a folder; name a file with --out")
        if target.exists() and not overwrite:
            raise OutputExistsError(f"{target} is there already; add --overwrite to replace it, or give another --out")
        # The nearest folder that is there: what is missing will be made in it.
        folder = next(parent for parent in target.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path}: results cannot be written here ({error.strerror or error}); "
        "name a place that you may write to with --out"
    )


class RunDirectory:
    """Names and habits of one run's folder.

    ```
    RUN/
    ├── config.json      what was run, resolved: recipe, config, seed, versions, command
    ├── log.jsonl        one JSON object per line, appended and on the disk when `log` returns
    ├── checkpoints/     what `training.checkpoint` writes
    └── evaluation/      report.json, the Report of an evaluation, and what belongs to it
    ```

    Args:
        path: The folder, which need not exist yet; see `create` and `open`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    @property
    def config_path(self) -> Path:
        """config.json."""
        return self.path / "config.json"

    @property
    def log_path(self) -> Path:
        """log.jsonl."""
        return self.path / "log.jsonl"

    @property
    def checkpoints_path(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def report_path(self) -> Path:
        """evaluation/report.json."""
        return self.path / "evaluation" / "report.json"

    @classmethod
    def create(cls, path: str | os.PathLike[str], description: Mapping[str, Any]) -> RunDirectory:
        """Make the folder, complete with its config.json, in one step.

        Args:
            path: Where; a missing or an empty folder.
            description: What config.json says beside its schema: `recipe`, `config`, `seed`, `versions`, `command`.

        Raises:
            OutputExistsError: Something is there already.
            ConfigError: The folder cannot be made.
        """
        run = cls(path)
        draft = run.path.with_name(f".{run.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            (draft / "checkpoints").mkdir(parents=True)
            write_json(draft / "config.json", {"schema": RUN_SCHEMA, **description})
            (draft / "log.jsonl").touch()
            # Renaming onto a folder with something in it fails, so of two runs that start at once one gets the name.
            os.rename(draft, run.path)
        except OSError as error:
            is_in_the_way = os.path.exists(draft) and os.path.lexists(run.path)
            raise (cls._exists(run.path) if is_in_the_way else _unwritable(run.path, error)) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_folder(run.path.parent)
        return run

    @classmethod
    def create_or_join(cls, path: str | os.PathLike[str], description: Mapping[str, Any]) -> RunDirectory:
        """Make the folder in the first process of a training; the others, if there are any, wait for it.

        Processes that `torchrun` started know their rank and their launch from the environment.

        Raises:
            OutputExistsError, ConfigError: As `create`; in the others, that the first process made none in time.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls.create(path, description)
        launch = f"{os.environ.get('TORCHELASTIC_RUN_ID', '')} {os.environ.get('MASTER_PORT', '')}"
        if os.environ.get("RANK") == "0":
            return cls.create(path, {**description, "launch": launch})
        run = cls(path)
        deadline_s = time.monotonic() + _WAIT_FOR_FIRST_S
        while time.monotonic() < deadline_s:
            if run.config_path.exists() and run.description().get("launch") == launch:
                return run
            time.sleep(0.05)
        raise ConfigError(
            f"{run.path} was not made by the first process within {_WAIT_FOR_FIRST_S:g} s; look at what that one says, "
            "and see that all machines share the folder"
        )

    @staticmethod
    def _exists(path: Path) -> OutputExistsError:
        return OutputExistsError(f"{path} already holds something; choose another folder, or go on with it by --resume")

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunDirectory:
        """A run that exists.

        Raises:
            ConfigError: The folder is missing, is no run, or was written by another version's schema.
        """
        run = cls(path)
        run.description()
        return run

    def description(self) -> dict[str, Any]:
        """What config.json says.

        Raises:
            ConfigError: It is missing, is not JSON, or has an unknown schema.
        """
        try:
            content = json.loads(self.config_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ConfigError(
                f"{self.path} is not a run: it has no config.json; give the folder that `tubelet train --out` made"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"{self.config_path} cannot be read ({error.strerror or error}); give a run that you may read"
            ) from error
        except ValueError as error:
            raise ConfigError(
                f"{self.config_path} is not JSON ({error}); the run cannot be used, train it anew"
            ) from error
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema != RUN_SCHEMA:
            raise ConfigError(f"{self.config_path} has schema {schema!r}; this version reads {RUN_SCHEMA!r}")
        del content["schema"]
        return dict(content)

    def log(self, **record: object) -> None:
        """Append one line to log.jsonl; it is on the disk when this returns.

        A line that a killed process left unfinished is ended first, so that it damages no line but itself.
        """
        line = to_json_text(record, indent=None).encode("utf-8")
        with open(self.log_path, "ab+") as file:
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def read_log(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl, without those that a killed process left unfinished.

        A resumed run logs the steps since its last checkpoint again; the later line is the valid one.
        """
        if not self.log_path.exists():
            return []
        records = []
        for line in self.log_path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                records.append(json.loads(line))
            except ValueError:
                continue  # cut off by a kill; `log` guarantees that whole lines survive
        return records
