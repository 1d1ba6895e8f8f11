"""The folder of results: one JSON file for each experiment, with all of its finished runs."""

import json
from collections.abc import Mapping
from pathlib import Path

from gradcheck.errors import UserError, one_line
from gradcheck.report.files import make_folder, write_bytes
from lab.reports.catalogue import Experiment
from lab.reports.request import RunKey
from lab.reports.result_forms import ExperimentForm, FinishedRun


class Results:
    """The files NAME.json in the folder `path`, which is made when the first of them is written."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def file(self, name: str) -> Path:
        """Where the results of the experiment `name` are."""
        return self.path / f"{name}.json"

    def read(self, name: str) -> ExperimentForm | None:
        """What the file of an experiment holds, or None where there is no file yet. Raises UserError."""
        file = self.file(name)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if not all({*RunKey._fields, "settings"} <= run.keys() for run in content["runs"]):
                raise ValueError(f"a run of it lacks one of {', '.join(RunKey._fields)}, settings")
            return content
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} can't be read: {one_line(error)}; delete it, and run again to make a new one") from error

    def runs(self, name: str) -> dict[RunKey, FinishedRun]:
        """The finished runs of an experiment. Raises UserError."""
        content = self.read(name)
        runs = [] if content is None else content["runs"]
        return {RunKey(run["column"], run["implementation"], run["seed"]): run for run in runs}

    def write(self, experiment: Experiment, runs: Mapping[RunKey, FinishedRun]) -> bool:
        """Writes the experiment as it is described now, with those of `runs` whose column it still has.

        Returns whether that changed anything. Raises UserError.
        """
        columns = list(experiment.columns)
        keys = [key for key in runs if key.column in columns]
        keys.sort(key=lambda key: (columns.index(key.column), key.implementation, key.seed))
        content: ExperimentForm = {**experiment.description(), "runs": [runs[key] for key in keys]}
        if content == self.read(experiment.name):
            return False
        make_folder(self.path, "name another with --results")
        write_bytes(self.file(experiment.name), as_text(content).encode())
        return True


def as_text(content: ExperimentForm) -> str:
    """JSON with a line for each run, so that a change of one shows as one."""
    runs = ",\n".join("  " + json.dumps(run, allow_nan=False, separators=(",", ":")) for run in content["runs"])
    about = json.dumps({key: value for key, value in content.items() if key != "runs"}, indent=1, allow_nan=False)
    return f'{about[:-2]},\n "runs": [\n{runs}\n ]\n}}\n'
