"""What a reproduction found, number by number, as the tables of the terminal and of the pages show it; and its headline."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from gradcheck.report.tables import table_with
from lab.output.reproduction_text import allowed_text, measured_text, number_label, reported_text
from lab.reports.catalogue import Experiment
from lab.reports.numbers import Number
from lab.reports.result_forms import ExperimentForm
from lab.reports.verdicts import Verdict, count_verdicts, values_by_twin, verdict_of

COLUMNS = {"specified": "as specified", "as-run": "as run", "what-if": "what if"}
# The words for a verdict, and their colours.
VERDICT_WORDS: dict[Verdict, tuple[str, str]] = {
    "specified": ("as specified", "green"),
    "as-run": ("as run", "cyan"),
    "explained": ("explained", "yellow"),
    "open": ("NOT MET", "bold red"),
    "to come": ("to come", "dim"),
}


class NumberRow(NamedTuple):
    """A number of a report as tables show it: `cells` holds what was measured as text, by column and twin."""

    experiment: str
    title: str
    number: str
    reported: str
    allowed: str
    cells: dict[str, dict[str, str]]
    verdict: Verdict | None
    why: str


def number_rows(content: ExperimentForm) -> list[NumberRow]:
    """A row for each number of an experiment."""
    return [number_row(content, Number(**number)) for number in content["numbers"]]


def number_row(content: ExperimentForm, number: Number) -> NumberRow:
    trains = content["trains"]
    cells = {}
    for column in COLUMNS:
        values = values_by_twin(content, number.name, column)
        cells[column] = {twin: measured_text(number.name, seeds, trains) for twin, seeds in values.items()}
    return NumberRow(
        experiment=content["name"],
        title=content["title"],
        number=number_label(number.name, trains),
        reported=reported_text(number.name, number.reported, trains),
        allowed=allowed_text(number, trains),
        cells=cells,
        verdict=verdict_of(content, number),
        why=number.why,
    )


def headline(contents: Sequence[ExperimentForm]) -> str:
    """How the numbers fare, in a sentence."""
    counts = count_verdicts(contents)
    images = {run["settings"]["data"] for content in contents for run in content["runs"]}
    others = ", ".join(sorted(images - {"cifar10"}))
    text = f"on {others} images, which no report used: " if others else ""
    text += f"{counts['specified']} of {sum(counts.values())} numbers within tolerance as specified"
    text += f", {counts['as-run']} more as run"
    if counts["explained"]:
        complete = not (counts["open"] or counts["to come"])
        text += f", the rest ({counts['explained']}) explained" if complete else f", {counts['explained']} explained"
    if counts["open"]:
        text += f"; {counts['open']} NOT MET AND NOT EXPLAINED"
    if counts["to come"]:
        text += f"; {counts['to come']} to come"
    return text


def experiments_table(contents: Sequence[ExperimentForm]) -> Table:
    """The terminal's table: a row for each number."""
    table = table_with(None, ("experiment", "number"), ("reported", "specified: NumPy", "PyTorch", "as run: NumPy", "PyTorch"))
    table.add_column("verdict", no_wrap=True)
    for content in contents:
        for k, row in enumerate(number_rows(content)):
            name = escape(row.experiment) if k == 0 else ""
            cells = [text for column in ("specified", "as-run") for text in twin_cells(row.cells[column])]
            table.add_row(name, row.number, escape(row.reported), *cells, verdict_markup(row.verdict))
    return table


def twin_cells(cells: Mapping[str, str]) -> tuple[str, str]:
    """The cells of the NumPy and of the PyTorch twin; a gradient check of one against the other fills the first."""
    if "both" in cells:
        return cells["both"], ""
    return cells.get("manual", ""), cells.get("torch", "")


def verdict_markup(verdict: Verdict | None) -> str:
    """The words for a verdict in their colour, as rich has it."""
    if verdict is None:
        return ""
    words, colour = VERDICT_WORDS[verdict]
    return f"[{colour}]{words}[/]"


def list_table(experiments: Sequence[Experiment], finished: Mapping[str, tuple[int, int]]) -> Table:
    """What there is, and what of it is finished: `finished` has (runs finished, runs requested) by name."""
    table = table_with(None, ("experiment", "what", "columns"), ("numbers", "runs finished"))
    for experiment in experiments:
        count, requested = finished[experiment.name]
        columns = ", ".join(COLUMNS[column] for column in experiment.columns)
        numbers = sum(number.has_bounds for number in experiment.numbers)
        progress = f"{count} of {requested}"
        if count == requested:
            progress = f"[green]{progress}[/]"
        table.add_row(experiment.name, escape(experiment.title), columns, str(numbers), progress)
    return table
