"""The folder of a training run: what it was asked to do, what was recorded, where to go on, and how it ended."""

import contextlib
import json
from pathlib import Path

from errors import UserError
from files import write_bytes, write_json
from training import checkpoint
from training.settings import Settings


class RunFolder:
    """`config.json`, `metrics.jsonl`, `checkpoint.safetensors` and `result.json` under `path`."""

    def __init__(self, path):
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.result = self.path / "result.json"

    def check_new(self):
        """Raises UserError where there is a run already."""
        if any(file.exists() for file in (self.config, self.metrics, self.checkpoint, self.result)):
            raise UserError(
                f"{self.path} holds a run already; name another folder with --out, or go on with --resume {self.path}"
            )

    def write_settings(self, settings):
        """Makes the folder, if it is not there, with its `config.json`. Raises UserError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {self.path} can't be made ({error.strerror}); name another with --out") from error
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
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return json.loads(self.result.read_text(encoding="utf-8"))

    def rows(self):
        """What was recorded; a line that a killed run left half written is no row."""
        if not self.metrics.exists():
            return []
        try:
            whole_lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1]
            return [json.loads(line) for line in whole_lines]
        except (OSError, ValueError) as error:
            raise UserError(f"{self.metrics} can't be read: {' '.join(str(error).split())}") from error

    def keep_rows(self, update):
        """Leaves those rows that a run at `update` had recorded: what a killed run wrote behind its checkpoint comes again."""
        rows = [row for row in self.rows() if row["update"] <= update]
        write_bytes(self.metrics, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def append(self, row):
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def finish(self, result):
        write_json(self.result, result)
