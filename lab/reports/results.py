"""`results/`: one JSON file an experiment, what it is and every run of it; a run is kept until its settings change."""

import json
from pathlib import Path

from gradcheck.errors import UserError
from gradcheck.report.files import write_bytes

# What tells the runs of an experiment apart.
KEY = ("column", "implementation", "seed")


class Results:
    """The files NAME.json under `path`."""

    def __init__(self, path):
        self.path = Path(path)

    def file(self, name):
        return self.path / f"{name}.json"

    def read(self, name):
        """The dict of an experiment, or None where there is none yet. Raises UserError."""
        file = self.file(name)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if not all({*KEY, "settings"} <= run.keys() for run in content["runs"]):
                raise ValueError("a run of it is not whole")
            return content
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} can't be read: {' '.join(str(error).split())}; delete it, and it is made anew") from error

    def write(self, name, content):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the folder {self.path} can't be made ({error.strerror}); name another with --results") from error
        write_bytes(self.file(name), as_text(content).encode())

    def kept(self, name):
        """The finished runs of an experiment by key: (column, implementation, seed)."""
        content = self.read(name) or {"runs": []}
        return {tuple(run[name] for name in KEY): run for run in content["runs"]}

    def keep(self, experiment, runs):
        """Writes the experiment as it is described now, with `runs`, a dict by key. Returns whether that changed anything."""
        known = {column: k for k, column in enumerate(experiment.columns)}
        ordered = [runs[key] for key in sorted(runs, key=lambda key: (known.get(key[0], 9), key[1:])) if key[0] in known]
        content = experiment.described() | {"runs": ordered}
        changed = content != self.read(experiment.name)
        if changed:
            self.write(experiment.name, content)
        return changed


def as_text(content):
    """JSON with a line for each run, so that a change of one shows as one."""
    runs = ",\n".join("  " + json.dumps(run, allow_nan=False, separators=(",", ":")) for run in content["runs"])
    about = json.dumps({key: value for key, value in content.items() if key != "runs"}, indent=1, allow_nan=False)
    return f'{about[:-2]},\n "runs": [\n{runs}\n ]\n}}\n'
