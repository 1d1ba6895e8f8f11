"""The folder of a training run: what it was asked to do, what was recorded, where to go on, and how it ended."""

import json
import os
from pathlib import Path

from gradcheck.errors import UserError
from gradcheck.report.files import write_bytes, write_json
from lab.training import checkpoint
from lab.training.settings import Settings


class RunFolder:
    """`config.json`, `metrics.jsonl`, `checkpoint.safetensors` and `result.json` under `path`."""

    def __init__(self, path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.result = self.path / "result.json"

    def check_new(self):
        """Raises UserError where there is a run already, or can be none."""
        above = next(folder for folder in (self.path.absolute(), *self.path.absolute().parents) if os.path.lexists(folder))
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise UserError(f"the folder {self.path} can't be made or written; name another")
        if any(file.exists() for file in (self.config, self.metrics, self.checkpoint, self.result)):
            raise UserError(
                f"{self.path} holds a run already; name another folder with --out, or go on with --resume {self.path}"
            )

    def write_settings(self, settings):
        """Makes the folder, if it is not there, with its `config.json`. Raises UserError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {self.path} can't be made ({error.strerror}); name another") from error
        write_json(self.config, settings.as_json())

    def settings(self):
        """What the run was asked to do. Raises UserError where there is no run."""
        try:
            return Settings.from_json(json.loads(self.config.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise UserError(f"{self.path} holds no run: it has no config.json; name the folder that --out named") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{self.config} can't be read: {' '.join(str(error).split())}") from error

    def read_checkpoint(self):
        """The last Checkpoint, or None before the first."""
        return checkpoint.read(self.checkpoint) if self.checkpoint.exists() else None

    def read_result(self):
        """What the run ended with, or None before its end."""
        try:
            result = json.loads(self.result.read_text(encoding="utf-8"))
            if not isinstance(result, dict) or "test" not in result:
                raise ValueError("it is no result")
            return result
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{self.result} can't be read: {reason}; delete it, and --resume writes it anew") from error

    def rows(self):
        """What was recorded; a line that a killed run left half written is no row."""
        if not self.metrics.exists():
            return []
        try:
            whole_lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1]
            rows = [json.loads(line) for line in whole_lines]
            if not all(isinstance(row, dict) and "update" in row for row in rows):
                raise ValueError("a line is no record")
            return rows
        except (OSError, ValueError) as error:
            raise UserError(f"{self.metrics} can't be read: {' '.join(str(error).split())}") from error

    def tidy(self, update, record_every):
        """Leaves the rows that a run that goes on at `update` has behind it: what comes again goes, and half-written files.

        The row of update 0 comes again with the first update. Raises UserError where rows are missing.
        """
        for partial in self.path.glob(".*.partial"):
            partial.unlink(missing_ok=True)
        rows = [row for row in self.rows() if row["update"] <= update > 0]
        missing = set(range(0, update + 1, record_every) if update else ()) - {row["update"] for row in rows}
        if missing:
            raise UserError(f"{self.metrics} lacks the record of update {min(missing):,}; put the file back, or begin anew")
        write_bytes(self.metrics, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def append(self, row):
        line = json.dumps(row, allow_nan=False) + "\n"
        try:
            with open(self.metrics, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise UserError(f"{self.metrics} could not be written ({error.strerror}); make room and use --resume") from error

    def last_checkpoint(self):
        """A sentence on where to go on from."""
        last = self.read_checkpoint()
        if last is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is of update {last.update}: {self.checkpoint}"

    def finish(self, result):
        write_json(self.result, result)
