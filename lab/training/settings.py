"""What a training run is asked to do, and what that means for a number of images."""

from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import NamedTuple

from gradcheck.errors import UserError
from lab.data.datasets import SOURCES, SPLITS
from lab.data.parts import NORMALISATIONS
from lab.training.schedules import cyclical, step_decay
from networks import Network

IMPLEMENTATIONS = ("manual", "torch", "both")
SCHEDULES = ("cyclical", "constant", "step")
# By default a cyclical learning rate rises for so many epochs, as in the course's assignments, and a run has two cycles.
EPOCHS_A_STEP, CYCLES = 5, 2
# By default the other schedules run for so many epochs: the one-layer assignment.
EPOCHS = 40
# By default a cycle has so many records, and an epoch one; a shorter run has as many as a cycle.
RECORDS_A_CYCLE = 10

# What may be said anew when a run goes on: where it runs and what is checked, not what is trained.
CHANGEABLE = ("implementation", "device", "data_dir")
CHOICES = {
    "implementation": IMPLEMENTATIONS,
    "data": SOURCES,
    "split": tuple(SPLITS),
    "augment": (None, "flip"),
    "normalise": NORMALISATIONS,
    "schedule": SCHEDULES,
    "dtype": ("float32", "float64"),
    "device": ("auto", "cpu", "cuda"),
    "verify": ("subset", "full", "off"),
}
WHOLE_NUMBERS = ("batch_size", "seed")


@dataclass(frozen=True)
class Settings:
    """The options of `train.py`. None stands for what depends on the data: see `training_plan`, and `run.resolve_settings`.

    Raises UserError where an option is none of its choices.
    """

    network: Network
    implementation: str = "manual"
    data: str = "synthetic"
    data_dir: str = "data"
    split: str = "small"
    images: int | None = None
    batch_size: int = 100
    batches_per_epoch: int | None = None
    shuffle: bool = True
    augment: str | None = None
    normalise: str = "train"
    init: str = "he"
    init_bias: float = 0.0
    lam: float | tuple = 0.0
    schedule: str = "cyclical"
    lr_min: float = 1e-5
    lr_max: float = 0.1
    step_size: int | None = None
    lr: float = 0.001
    decay_every: int | None = None
    decay_at: tuple = ()
    cycles: int | None = None
    epochs: int | None = None
    updates: int | None = None
    record_every: int | None = None
    seed: int = 0
    dtype: str = "float32"
    device: str = "auto"
    verify: str = "subset"
    fingerprint: int | None = None

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}; choose from {', '.join(map(str, choices))}")
        for name in WHOLE_NUMBERS:
            if not isinstance(getattr(self, name), int):
                raise UserError(f"{name} is {getattr(self, name)!r}, which is no whole number")

    @property
    def twins(self):
        """The names of the twins that train."""
        return ("manual", "torch") if self.implementation == "both" else (self.implementation,)

    @property
    def trained(self):
        """The settings that say what is trained, apart from those that may change when a run goes on."""
        return {name: value for name, value in asdict(self).items() if name not in CHANGEABLE}

    def as_json(self):
        return asdict(self)

    @classmethod
    def from_json(cls, json):
        """The settings that `as_json` wrote. Raises UserError where they are not such settings."""
        try:
            network = dict(json["network"])
            network["hidden"] = tuple(network["hidden"])
            lists = {name: tuple(value) for name, value in json.items() if isinstance(value, list)}
            settings = cls(**(json | lists | {"network": Network(**network)}))
        except (KeyError, TypeError) as error:
            raise UserError(f"these are no settings of train.py: {error}") from error
        missing = [field.name for field in fields(cls) if field.name not in json]
        if missing:
            raise UserError(f"these settings of train.py lack {missing[0]}")
        return settings


class TrainingPlan(NamedTuple):
    """What the settings mean for n training images, in updates; `lr(t)` is the learning rate of update t."""

    batch_size: int
    per_epoch: int
    updates: int
    record_every: int
    lr: partial


def training_plan(settings, n):
    """The TrainingPlan for n training images. Raises UserError where they are too few."""
    s = settings
    batch_size = s.batch_size if s.batches_per_epoch is None else n // s.batches_per_epoch
    if not 1 <= batch_size <= n:
        wanted = f"--batch-size {s.batch_size}" if s.batches_per_epoch is None else f"--batches-per-epoch {s.batches_per_epoch}"
        raise UserError(f"{wanted} does not fit the {n:,} images of the training part")
    s.network.check_batch(batch_size)
    per_epoch = s.batches_per_epoch or n // batch_size
    if s.schedule == "cyclical":
        step_size = s.step_size or EPOCHS_A_STEP * per_epoch
        record_every = max(1, round(2 * step_size / RECORDS_A_CYCLE))
        updates = 2 * step_size * (s.cycles or CYCLES)
        lr = partial(cyclical, lr_min=s.lr_min, lr_max=s.lr_max, step_size=step_size)
    else:
        record_every, updates = per_epoch, EPOCHS * per_epoch
        epochs = s.updates // per_epoch + 1 if s.updates else s.epochs or EPOCHS
        every = range(s.decay_every, epochs, s.decay_every) if s.decay_every else ()
        lr = partial(step_decay, lr=s.lr, decay_at=tuple(epoch * per_epoch for epoch in (*every, *s.decay_at)))
    if s.epochs or s.updates:
        updates = s.updates or s.epochs * per_epoch
    record_every = s.record_every or min(record_every, max(1, updates // RECORDS_A_CYCLE))
    return TrainingPlan(batch_size, per_epoch, updates, record_every, lr)
