"""The form of an experiment's JSON file, `results/NAME.json`."""

from typing import Any, NotRequired, TypedDict, final

# Loss, cost and accuracy (0 to 1) of one part of the data.
Measures = dict[str, float]
# The same at each record, as lists.
MeasureColumns = dict[str, list[float]]


class NumberForm(TypedDict):
    """A number of the report: its name, what the report has, and the bounds between which ours meets it.

    Without bounds it is only shown. `why` says why it is not met, where it is not.
    """

    name: str
    reported: float | str
    low: float | None
    high: float | None
    why: str


class RunForm(TypedDict):
    """What every run says of itself: which it is, the settings that it was made with, and where it was made.

    `column` is "specified", "as-run" or "what-if", `implementation` "manual" or "torch", and "both" for a gradient check;
    `command` repeats the run. `commit` ends in "+" where the code differed from it, and is None where there was no git.
    """

    column: str
    implementation: str
    seed: int
    settings: dict[str, Any]
    command: str
    commit: str | None
    environment: dict[str, Any]


class Rows(TypedDict):
    """The records of a training as columns: of each part that was recorded, the measures at each `update`."""

    update: list[int]
    train: NotRequired[MeasureColumns]
    val: NotRequired[MeasureColumns]
    test: NotRequired[MeasureColumns]


class Histogram(TypedDict):
    """How many test images have their true class at a probability in each of `bins` equal bins, by right and wrong answer."""

    bins: int
    right: list[int]
    wrong: list[int]


class TrainingOutcome(TypedDict):
    """What a training ended with. `diverged` is the update at which it did, or None; the parts are None then.

    `W1` holds the weights of a one-layer network as images: bytes in base64, a row of them each class.
    """

    diverged: int | None
    seconds: float
    train: Measures | None
    val: Measures | None
    test: Measures | None
    rows: Rows
    probability_of_true_class: NotRequired[Histogram]
    W1: NotRequired[str]


# "pass" can't be the name of a class's field.
Passed = TypedDict("Passed", {"pass": int})


class GradientCheckOutcome(Passed):
    """What a report's gradient check measured by its own protocol, and what gradcheck found: counts of entries, and errors."""

    measured: dict[str, float]
    verdict: str
    max_rel_error: dict[str, float | None]
    entries: int
    fail: int
    kink: int
    undecided: int
    seconds: float


@final
class TrainingRun(RunForm, TrainingOutcome):
    """A finished training."""


@final
class GradientCheckRun(RunForm, GradientCheckOutcome):
    """A finished gradient check."""


TaskOutcome = TrainingOutcome | GradientCheckOutcome
FinishedRun = TrainingRun | GradientCheckRun


class ExperimentDescription(TypedDict):
    """What an experiment is: `trains` tells trainings from gradient checks, `doubts` are sentences."""

    name: str
    report: str
    title: str
    trains: bool
    columns: list[str]
    numbers: list[NumberForm]
    doubts: list[str]


class ExperimentForm(ExperimentDescription):
    """A whole file: what the experiment is, and its runs."""

    runs: list[FinishedRun]
