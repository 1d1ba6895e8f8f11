"""What the reports measured: their experiments, claims on several of them, and the figures that show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck.errors import UserError
from lab.reports.checks import check_choice
from lab.reports.gradient_check import GradientCheck
from lab.reports.numbers import Number
from lab.reports.result_forms import ExperimentDescription
from lab.training.settings import Settings

COLUMNS = ("specified", "as-run", "what-if")
FIGURE_KINDS = ("curves", "losses", "weights", "probability", "lambda")

# What a run of an experiment does.
RunSettings = Settings | GradientCheck


@dataclass(frozen=True)
class Experiment:
    """One experiment of a report.

    `columns` holds what is run for each of its columns, `commands` the command line that runs it alone; the names of the
    columns are COLUMNS. `numbers` are those of the report, and those shown beside them. `record` names the parts of the data
    that are measured while it trains, `seeds` says how many seeds its column "specified" has.
    """

    name: str
    report: str
    title: str
    columns: dict[str, RunSettings]
    commands: dict[str, str]
    numbers: tuple[Number, ...]
    record: tuple[str, ...]
    seeds: int
    doubts: tuple[str, ...]

    @property
    def trains(self) -> bool:
        return isinstance(self.columns["specified"], Settings)

    def description(self) -> ExperimentDescription:
        """All that tables and pages say of it, for its JSON file."""
        return {
            "name": self.name,
            "report": self.report,
            "title": self.title,
            "trains": self.trains,
            "columns": list(self.columns),
            "numbers": [number.as_json() for number in self.numbers],
            "doubts": list(self.doubts),
        }


@dataclass(frozen=True)
class Claim:
    """A number that has to be equal in several experiments, up to `within`, whatever the report has for each."""

    name: str
    title: str
    number: str
    experiments: tuple[str, ...]
    within: float


@dataclass(frozen=True)
class FigureDescription:
    """A figure: the experiments that it shows (parts of their names will do), their column, and the kind of drawing."""

    name: str
    kind: str
    title: str
    experiments: tuple[str, ...]
    column: str = "specified"

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, FIGURE_KINDS)
        check_choice("column", self.column, COLUMNS)

    def shows(self, experiment: str) -> bool:
        """Whether the experiment of that name is in the figure."""
        return any(name_matches(part, experiment) for part in self.experiments)


@dataclass(frozen=True)
class Catalogue:
    """The experiments by name, the claims and the figures of all reports."""

    experiments: dict[str, Experiment]
    claims: tuple[Claim, ...]
    figures: tuple[FigureDescription, ...]

    def shows_weights(self, experiment: str) -> bool:
        """Whether a figure shows the weights of the experiment of that name."""
        return any(figure.kind == "weights" and figure.shows(experiment) for figure in self.figures)

    def select(self, parts: Sequence[str]) -> list[Experiment]:
        """The experiments whose names have one of these parts (see `name_matches`); all, if there are none.

        Raises UserError where a part matches no experiment.
        """
        unknown = [part for part in parts if not any(name_matches(part, name) for name in self.experiments)]
        if unknown:
            reports = ", ".join(sorted({experiment.report for experiment in self.experiments.values()}))
            raise UserError(f"unknown experiment {unknown[0]!r}; a report ({reports}), a name of --list, or a part of one")
        matching = (name for name in self.experiments if not parts or any(name_matches(part, name) for part in parts))
        return [self.experiments[name] for name in matching]


def name_matches(part: str, name: str) -> bool:
    """Whether `part` is made of whole words of `name`, in order: 004, 004-sens, gradcheck, fig3."""
    return f"-{part}-" in f"-{name}-"
