"""What is asked for: which runs an experiment has, and what a finished run must have been asked to do to be kept."""

import json
from dataclasses import asdict, dataclass, replace

from training.settings import Settings

# A pass that only shows that everything runs.
QUICK = {"updates": 20, "epochs": None, "cycles": None, "step_size": 10, "images": 400, "batch_size": 100, "record_every": 10}


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
        for column, asked in experiment.columns.items():
            if not experiment.trains:
                found[column, "both", self.seed] = asked
                continue
            count = self.seeds or (experiment.seeds if column == "specified" and not self.quick else 1)
            for twin in self.twins:
                for seed in range(self.seed, self.seed + count):
                    found[column, twin, seed] = self.settings(asked, twin, seed)
        return found

    def settings(self, asked, twin, seed):
        place = {"data": self.data, "data_dir": self.data_dir, "device": self.device}
        return replace(asked, implementation=twin, seed=seed, **place, **(QUICK if self.quick else {}))

    def identity(self, asked, seed):
        """What a finished run must have been asked to do, as a dict for JSON, so that it need not run again."""
        if isinstance(asked, Settings):
            about = {name: value for name, value in asked.trained.items() if name not in ("verify", "fingerprint")}
        else:
            about = asdict(asked) | {"seed": seed, "data": self.data}
        return json.loads(json.dumps(about))

    def command(self, experiment, key):
        """The command line that repeats a run alone."""
        column, implementation, seed = key
        words = [experiment.commands[column]]
        words += [f"--implementation {implementation}"] if experiment.trains else []
        words += [f"--data {self.data}"] + ([f"--seed {seed}"] if seed else [])
        return " ".join(words)
