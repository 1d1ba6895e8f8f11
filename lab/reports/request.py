"""What is requested of a reproduction: which runs an experiment has, and when a finished run need not run again."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from lab.reports.catalogue import Experiment, RunSettings
from lab.reports.gradient_check import GradientCheck
from lab.reports.result_forms import FinishedRun
from lab.training.settings import Settings

# A gradient check of a quick pass takes so many pixels of each image.
QUICK_INPUTS = 100


class RunKey(NamedTuple):
    """What tells the runs of an experiment apart; the implementation of a gradient check is "both"."""

    column: str
    implementation: str
    seed: int


@dataclass(frozen=True)
class Request:
    """Which twins train, with how many seeds from `seed` on, on which images, and where.

    `seeds` None stands for what each experiment says. `quick` asks for a few updates of each on few images.
    """

    implementations: tuple[str, ...] = ("manual", "torch")
    seeds: int | None = None
    seed: int = 0
    data: str = "cifar10"
    data_dir: str = "data"
    device: str = "auto"
    quick: bool = False

    def runs(self, experiment: Experiment) -> dict[RunKey, RunSettings]:
        """All runs of an experiment."""
        runs = {}
        for column in experiment.columns:
            for implementation in self.implementations if experiment.trains else ("both",):
                for seed in range(self.seed, self.seed + self._seed_count(experiment, column)):
                    key = RunKey(column, implementation, seed)
                    runs[key] = self.run_settings(experiment, key)
        return runs

    def _seed_count(self, experiment: Experiment, column: str) -> int:
        if not experiment.trains:
            return 1
        default = experiment.seeds if column == "specified" and not self.quick else 1
        return self.seeds or default

    def run_settings(self, experiment: Experiment, key: RunKey) -> RunSettings:
        """What the run of that key does, whether it is requested or not."""
        settings = experiment.columns[key.column]
        if isinstance(settings, GradientCheck):
            return replace(settings, inputs=min(settings.inputs, QUICK_INPUTS)) if self.quick else settings
        settings = replace(settings, implementation=key.implementation, seed=key.seed)
        settings = replace(settings, data=self.data, data_dir=self.data_dir, device=self.device)
        return quick_settings(settings) if self.quick else settings

    def accepts(self, experiment: Experiment, key: RunKey, run: FinishedRun) -> bool:
        """Whether a finished run is what the experiment says today, so that it need not run again."""
        if key.column not in experiment.columns:
            return False
        if run["settings"] != self.identity(self.run_settings(experiment, key), key.seed):
            return False
        if "measured" in run or run.get("diverged") is not None:
            return True
        return set(experiment.record) <= run.get("rows", {}).keys()

    def identity(self, settings: RunSettings, seed: int) -> dict[str, Any]:
        """What a run does, as its JSON has it: where the images are is a part of it only where they are a user's own."""
        if isinstance(settings, Settings):
            identity = {name: value for name, value in settings.trained.items() if name not in ("verify", "fingerprint")}
        else:
            identity = asdict(settings) | {"seed": seed, "data": self.data}
        if self.data == "folder":
            identity["data_dir"] = self.data_dir
        return json.loads(json.dumps(identity))

    def command(self, experiment: Experiment, key: RunKey) -> str:
        """The command line that repeats a run: alone, where it is a training of full length."""
        if self.quick:
            return f"python reproduce.py --quick {experiment.name}"
        words = [experiment.commands[key.column]]
        if experiment.trains:
            words.append(f"--implementation {key.implementation}")
        words.append(f"--data {self.data}")
        if key.seed:
            words.append(f"--seed {key.seed}")
        return " ".join(words)


def quick_settings(settings: Settings) -> Settings:
    """The same training for a few updates on few images: it only shows that everything runs."""
    return replace(
        settings,
        updates=20,
        epochs=None,
        cycles=None,
        step_size=10,
        images=400,
        batch_size=100,
        record_every=10,
    )
