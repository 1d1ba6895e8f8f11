"""What a training run is asked to do, and what that means for a number of images."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from typing import Any, NamedTuple

from gradcheck.errors import UserError
from lab.data.datasets import SOURCES, SPLITS
from lab.data.parts import NORMALISATIONS
from lab.options import find_device
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

# What may change when a run goes on: where it is computed, not what is trained.
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
INTEGERS = ("batch_size", "seed")


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
    lam: float | tuple[float, ...] = 0.0
    schedule: str = "cyclical"
    lr_min: float = 1e-5
    lr_max: float = 0.1
    step_size: int | None = None
    lr: float = 0.001
    decay_every: int | None = None
    decay_at: tuple[int, ...] = ()
    cycles: int | None = None
    epochs: int | None = None
    updates: int | None = None
    record_every: int | None = None
    seed: int = 0
    dtype: str = "float32"
    device: str = "auto"
    verify: str = "subset"
    fingerprint: int | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(f"{name} is {getattr(self, name)!r}; choose from {', '.join(map(str, choices))}")
        for name in INTEGERS:
            if not isinstance(getattr(self, name), int):
                raise UserError(f"{name} is {getattr(self, name)!r}, which is not an integer")

    @property
    def twins(self) -> tuple[str, ...]:
        """The names of the twins that are trained."""
        return ("manual", "torch") if self.implementation == "both" else (self.implementation,)

    @cached_property
    def lambdas(self) -> tuple[float, ...]:
        """Lambda of each layer. Raises UserError where there are not as many as layers."""
        return self.network.lambdas(self.lam)

    @property
    def trained(self) -> dict[str, Any]:
        """The settings that say what is trained: all but those that may change when a run goes on."""
        return {name: value for name, value in asdict(self).items() if name not in CHANGEABLE}

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> "Settings":
        """The settings that `as_json` wrote. Raises UserError where they are not such settings."""
        try:
            network = dict(json["network"])
            network["hidden"] = tuple(network["hidden"])
            lists = {name: tuple(value) for name, value in json.items() if isinstance(value, list)}
            settings = cls(**({**json} | lists | {"network": Network(**network)}))
        except (KeyError, TypeError) as error:
            raise UserError(f"these are not settings of train.py: {error}") from error
        missing = [field.name for field in fields(cls) if field.name not in json]
        if missing:
            raise UserError(f"these settings of train.py lack {missing[0]}")
        return settings


class TrainingPlan(NamedTuple):
    """What the settings mean for n training images.

    `batch_size` images an update; `per_epoch` updates an epoch; the number of `updates`; a record every `record_every` updates;
    `lr(t)`, the learning rate of update t.
    """

    batch_size: int
    per_epoch: int
    updates: int
    record_every: int
    lr: Callable[[int], float]

    def is_due(self, update: int) -> bool:
        """Whether a record is due after so many updates."""
        return update % self.record_every == 0 or update == self.updates


def training_plan(settings: Settings, n: int | None = None) -> TrainingPlan:
    """The TrainingPlan for n training images, by default those of resolved settings. Raises UserError where n is too small."""
    s, n = settings, settings.images if n is None else n
    if n is None:
        raise ValueError("the number of training images is not known: resolve the settings first")
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
    updates = s.updates or (s.epochs and s.epochs * per_epoch) or updates
    record_every = s.record_every or min(record_every, max(1, updates // RECORDS_A_CYCLE))
    return TrainingPlan(batch_size, per_epoch, updates, record_every, lr)


def device_of(settings: Settings) -> str:
    """ "cpu" or "cuda". With "auto", PyTorch takes a GPU where there is one; the manual twin takes one only when asked to.

    Raises UserError where CUDA is asked for and not there.
    """
    return find_device("cpu" if settings.device == "auto" and "manual" in settings.twins else settings.device)
