"""The folder of a training run: what it was asked to do, what was recorded, where to go on, and how it ended."""

import json
import os
from pathlib import Path
from typing import Any

from gradcheck.errors import UserError, one_line
from gradcheck.report.files import make_folder, write_bytes, write_json
from lab.training import checkpoint
from lab.training.checkpoint import RunCheckpoint
from lab.training.loop import Row
from lab.training.settings import Settings


class RunFolder:
    """`config.json`, `metrics.jsonl`, `checkpoint.safetensors` and `result.json` under `path`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.result = self.path / "result.json"

    def check_new(self) -> None:
        """Raises UserError where there is a run already, or where none can be written."""
        above = next(folder for folder in (self.path.absolute(), *self.path.absolute().parents) if os.path.lexists(folder))
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise UserError(f"the folder {self.path} can't be made or written; name another")
        if any(file.exists() for file in (self.config, self.metrics, self.checkpoint, self.result)):
            raise UserError(
                f"{self.path} holds a run already; name another folder with --out, or go on with --resume {self.path}"
            )

    def write_settings(self, settings: Settings) -> None:
        """Makes the folder, if it is not there, with its `config.json`. Raises UserError."""
        make_folder(self.path, "name another")
        write_json(self.config, settings.as_json())

    def settings(self) -> Settings:
        """What the run was asked to do. Raises UserError where there is no run."""
        try:
            return Settings.from_json(json.loads(self.config.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise UserError(f"{self.path} holds no run: it has no config.json; name the folder that --out named") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{self.config} can't be read: {one_line(error)}") from error

    def read_checkpoint(self) -> RunCheckpoint | None:
        """The last checkpoint, or None before the first. Raises UserError where the file is damaged."""
        return checkpoint.read(self.checkpoint, RunCheckpoint) if self.checkpoint.exists() else None

    def read_result(self) -> dict[str, Any] | None:
        """What the run ended with, or None before its end. Raises UserError where the file is damaged."""
        try:
            result = json.loads(self.result.read_text(encoding="utf-8"))
            if not isinstance(result, dict) or "test" not in result:
                raise ValueError("it is not a result of train.py")
            return result
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.result} can't be read: {one_line(error)}; delete it, and --resume writes it again"
            ) from error

    def rows(self) -> list[Row]:
        """What was recorded, without the last line where a killed run left it half written. Raises UserError."""
        if not self.metrics.exists():
            return []
        try:
            whole_lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1]
            rows = [json.loads(line) for line in whole_lines]
            if not all(isinstance(row, dict) and "update" in row for row in rows):
                raise ValueError("it has a line that is not a record")
            return rows
        except (OSError, ValueError) as error:
            raise UserError(f"{self.metrics} can't be read: {one_line(error)}") from error

    def tidy(self, update: int, record_every: int) -> None:
        """Removes half-written files, and the rows that come again when a run goes on at `update`.

        The row of update 0 comes again with the first update. Raises UserError where a row before that is missing.
        """
        for partial in self.path.glob(".*.partial"):
            partial.unlink(missing_ok=True)
        rows = [row for row in self.rows() if row["update"] <= update > 0]
        missing = set(range(0, update + 1, record_every) if update else ()) - {row["update"] for row in rows}
        if missing:
            raise UserError(
                f"{self.metrics} lacks the record of update {min(missing):,}; put the file back, or begin a new run"
            )
        write_bytes(self.metrics, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def append(self, row: Row) -> None:
        """Adds a record to `metrics.jsonl`. Raises UserError where it can't be written."""
        line = json.dumps(row, allow_nan=False) + "\n"
        try:
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise UserError(f"{self.metrics} could not be written ({error.strerror}); make room and use --resume") from error

    def last_checkpoint(self) -> str:
        """A sentence that says where to go on from."""
        last = self.read_checkpoint()
        if last is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is of update {last.update}: {self.checkpoint}"

    def finish(self, result: dict[str, Any]) -> None:
        """Writes `result.json`."""
        write_json(self.result, result)
