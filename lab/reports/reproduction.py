"""What a reproduction has to do: the runs that are requested, less those that are finished; each is kept when it is done."""

from collections.abc import Sequence

from gradcheck.errors import UserError
from lab.reports.catalogue import Catalogue, Experiment, RunSettings
from lab.reports.request import Request, RunKey
from lab.reports.result_forms import FinishedRun
from lab.reports.results import Results

# More processes than this are not started unless they are asked for.
MOST_PROCESSES = 8


class Reproduction:
    """The runs of `experiments` that `request` asks for.

    `remaining` holds those that `results` does not hold yet, by the name of their experiment and their key. `changed` tells
    whether any file of the results was written. Raises UserError where the results are of other images.
    """

    def __init__(self, catalogue: Catalogue, experiments: Sequence[Experiment], request: Request, results: Results) -> None:
        self.catalogue, self.request, self.results = catalogue, request, results
        self.experiments = {experiment.name: experiment for experiment in experiments}
        self.requested = {name: request.runs(experiment) for name, experiment in self.experiments.items()}
        self.remaining: dict[str, dict[RunKey, RunSettings]] = {}
        for name, runs in self.requested.items():
            finished = self._accepted_runs(name)
            self.remaining[name] = {key: settings for key, settings in runs.items() if key not in finished}
        self.changed = False

    def _accepted_runs(self, name: str) -> dict[RunKey, FinishedRun]:
        """The finished runs of an experiment that are what it says today. Raises UserError."""
        runs = self.results.runs(name)
        other_images = {run["settings"]["data"] for run in runs.values()} - {self.request.data}
        if other_images:
            raise UserError(
                f"{self.results.file(name)} holds runs on {min(other_images)} images, not {self.request.data}; "
                f"name another folder with --results"
            )
        return {key: run for key, run in runs.items() if self.request.accepts(self.experiments[name], key, run)}

    @property
    def experiments_remaining(self) -> int:
        """How many experiments are not finished."""
        return sum(bool(runs) for runs in self.remaining.values())

    @property
    def is_whole(self) -> bool:
        """Whether it has all experiments of the catalogue."""
        return len(self.experiments) == len(self.catalogue.experiments)

    def finished(self, name: str) -> tuple[int, int]:
        """(how many runs of an experiment are finished, how many are requested)."""
        requested = len(self.requested[name])
        return requested - len(self.remaining[name]), requested

    def update_descriptions(self) -> None:
        """Writes again each experiment that has finished runs, and is described in another way today."""
        for name in self.experiments:
            runs = self.results.runs(name)
            if runs:
                self._write(name, runs)

    def keep(self, name: str, key: RunKey, run: FinishedRun) -> None:
        """Writes a finished run, in place of runs that are no longer what the experiment says.

        Of its weights, those alone are kept that a figure shows.
        """
        if not (self.catalogue.shows_weights(name) and key.seed == self.request.seed) and "diverged" in run:
            run.pop("W1", None)
        del self.remaining[name][key]
        self._write(name, self._accepted_runs(name) | {key: run})

    def _write(self, name: str, runs: dict[RunKey, FinishedRun]) -> None:
        if self.results.write(self.experiments[name], runs):
            self.changed = True
