"""What is asked for: which runs an experiment has, and what a finished run must have been asked to do to be kept."""

import json
from dataclasses import asdict, dataclass, replace

from lab.training.settings import Settings

# A pass that only shows that everything runs.
QUICK = {"updates": 20, "epochs": None, "cycles": None, "step_size": 10, "images": 400, "batch_size": 100, "record_every": 10}
# And of each image in its gradient checks.
QUICK_INPUTS = 100


@dataclass(frozen=True)
class Order:
    """Which twins, seeds and images. `seeds` None stands for what each experiment says; `quick` for a few updates of each."""

    twins: tuple[str, ...] = ("manual", "torch")
    seeds: int | None = None
    seed: int = 0
    data: str = "cifar10"
    data_dir: str = "data"
    device: str = "auto"
    quick: bool = False

    def runs(self, experiment):
        """All runs of an experiment: Settings or a GradientCheck by (column, implementation, seed)."""
        found = {}
        for column in experiment.columns:
            most = experiment.seeds if column == "specified" and not self.quick else 1
            seeds = range(self.seed, self.seed + (self.seeds or most if experiment.trains else 1))
            for key in ((column, twin, seed) for twin in (self.twins if experiment.trains else ("both",)) for seed in seeds):
                found[key] = self.run(experiment, key)
        return found

    def run(self, experiment, key):
        """The run of that key, whether it is asked for or not; None where the experiment has no such column."""
        column, twin, seed = key
        asked = experiment.columns.get(column)
        if asked is None or not experiment.trains:
            return replace(asked, inputs=min(asked.inputs, QUICK_INPUTS)) if asked and self.quick else asked
        place = {"data": self.data, "data_dir": self.data_dir, "device": self.device}
        return replace(asked, implementation=twin, seed=seed, **place, **(QUICK if self.quick else {}))

    def fits(self, experiment, key, run):
        """Whether a finished run, a dict of its JSON file, is what is asked for today, so that it need not run again."""
        asked = self.run(experiment, key)
        recorded = set() if run.get("diverged") is not None or not experiment.trains else set(experiment.record)
        return asked is not None and run["settings"] == self.identity(asked, key[2]) and recorded <= run.get("rows", {}).keys()

    def identity(self, asked, seed):
        """What a run is asked to do, as a dict for JSON: where the images are tells only those of a folder apart."""
        if isinstance(asked, Settings):
            about = {name: value for name, value in asked.trained.items() if name not in ("verify", "fingerprint")}
        else:
            about = asdict(asked) | {"seed": seed, "data": self.data}
        return json.loads(json.dumps(about | ({"data_dir": self.data_dir} if self.data == "folder" else {})))

    def command(self, experiment, key):
        """The command line that repeats a run: alone, where it is a training of full length."""
        column, implementation, seed = key
        if self.quick:
            return f"python reproduce.py --quick {experiment.name}"
        words = [experiment.commands[column]]
        words += [f"--implementation {implementation}"] if experiment.trains else []
        words += [f"--data {self.data}"] + ([f"--seed {seed}"] if seed else [])
        return " ".join(words)
