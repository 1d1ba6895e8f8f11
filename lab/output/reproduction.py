"""What a reproduction found, judged from its JSON files: each number of a report beside ours, met or explained."""

import statistics
from typing import NamedTuple

from rich.markup import escape

from gradcheck.report.tables import table_with
from lab.output.training import PARTS
from lab.reports.numbers import QUANTITIES, Number, parsed, value_of

COLUMNS = {"specified": "as specified", "as-run": "as run", "what-if": "what if"}
# How a number of a report fares, from best to worst, and the words and colours for it.
VERDICTS = {
    "specified": ("as specified", "green"),
    "as-run": ("as run", "cyan"),
    "explained": ("explained", "yellow"),
    "open": ("NOT MET", "bold red"),
    "to come": ("to come", "dim"),
}


STATISTICS = {"final": "", "best": ", best", "top5": ", five best", "escape": " falls at update"}


class Row(NamedTuple):
    """A number of a report as tables show it: `cells` has a text by column and twin, `verdict` is a key of VERDICTS or None."""

    experiment: str
    title: str
    number: str
    reported: str
    allowed: str
    cells: dict
    verdict: str | None
    why: str


def measured(content, name, column):
    """The number `name` of an experiment in a column, by twin: the values of all seeds, None for a run that diverged."""
    found = {}
    for run in content["runs"]:
        if run["column"] == column:
            value = value_of(name, run) if content["trains"] else run["measured"][name]
            found.setdefault(run["implementation"], []).append(value)
    return found


def met(number, found):
    """Whether every twin's mean over its seeds meets the number."""
    return bool(found) and all(None not in values and number.met_by(statistics.fmean(values)) for values in found.values())


def verdict(content, number):
    """A key of VERDICTS, or None where the number is not counted."""
    if not number.counted:
        return None
    found = {column: measured(content, number.name, column) for column in content["columns"]}
    for column in ("specified", "as-run"):
        if met(number, found.get(column, {})):
            return column
    if not all(found.values()):
        return "to come"
    return "explained" if number.why else "open"


def rows_of(content):
    """A Row for each number of an experiment."""
    rows = []
    for each in map(of_json, content["numbers"]):
        cells = {
            column: {twin: format_values(each.name, values) for twin, values in measured(content, each.name, column).items()}
            for column in COLUMNS
        }
        reported = (
            format_values(each.name, [each.reported], exact=False) if not isinstance(each.reported, str) else each.reported
        )
        number = in_words(each.name) if content["trains"] else each.name
        rows.append(
            Row(content["name"], content["title"], number, reported, bounds_text(each), cells, verdict(content, each), each.why)
        )
    return rows


def bounds_text(number):
    """Between what bounds the report's number is met, as text."""
    if not number.counted:
        return ""
    low, high = (format_values(number.name, [bound], exact=False) for bound in (number.low, number.high))
    return low if number.low == number.high else f"to {high}" if number.low == 0 else f"{low} to {high}"


def in_words(name):
    """ "val accuracy top5" as people say it."""
    part, quantity, statistic = parsed(name)
    return f"{PARTS[part]} {quantity}{STATISTICS[statistic]}"


def of_json(number):
    return Number(**number)


def format_values(name, values, exact=True):
    """Values of a number as text: their mean, with the standard deviation where there are several."""
    if None in values:
        return "diverged"
    mean = statistics.fmean(values)
    if isinstance(values[0], bool):
        return "yes" if mean == 1 else "no"
    if "escape" in name:
        return ", ".join("never" if value == float("inf") else f"{value:.0f}" for value in values)
    _, quantity, _ = parsed(name)
    if quantity not in QUANTITIES:
        return f"{mean:.2f}" if "gradient" in name else f"{mean:.1e}" if exact else f"{mean:.2e}"
    digits = 2 if quantity == "accuracy" else 3
    if not exact:
        return f"{mean:g}" if isinstance(values[0], int) or quantity != "accuracy" else f"{mean:.2f}"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread}"


def counts(contents):
    """How many numbers there are of each verdict, as a dict with all of VERDICTS."""
    found = [row.verdict for content in contents for row in rows_of(content)]
    return {word: found.count(word) for word in VERDICTS}


def headline(contents):
    """How the numbers fare, in a sentence."""
    found, images = counts(contents), {run["settings"]["data"] for content in contents for run in content["runs"]}
    total = sum(found.values())
    others = ", ".join(sorted(images - {"cifar10"}))
    text = f"on {others} images, which no report used: " if others else ""
    text += f"{found['specified']} of {total} numbers within tolerance as specified, {found['as-run']} more as run"
    if found["explained"]:
        text += (
            f", the rest ({found['explained']}) explained"
            if not (found["open"] or found["to come"])
            else f", {found['explained']} explained"
        )
    if found["open"]:
        text += f"; {found['open']} NOT MET AND NOT EXPLAINED"
    if found["to come"]:
        text += f"; {found['to come']} to come"
    return text


def claims_of(catalogue, contents):
    """(title, by twin the spread, None where a run diverged, whether it holds) of the claims whose experiments are finished."""
    by_name, found = {content["name"]: content for content in contents}, []
    for claim in catalogue.claims:
        each = [measured(by_name[name], claim.number, "specified") for name in claim.experiments if name in by_name]
        twins = set.intersection(*map(set, each)) if len(each) == len(claim.experiments) else ()
        spreads = {twin: spread([values[twin] for values in each]) for twin in sorted(twins)}
        if spreads:
            holds = all(apart is not None and apart <= claim.within for apart in spreads.values())
            found.append((claim.title, spreads, holds))
    return found


def spread(experiments):
    """How far the means of experiments, each a list of values, are apart; None where one diverged."""
    if any(None in values for values in experiments):
        return None
    means = [statistics.fmean(values) for values in experiments]
    return max(means) - min(means)


def experiments_table(contents):
    """The terminal's table: a row for each number."""
    table = table_with(None, ("experiment", "number"), ("reported", "specified: NumPy", "PyTorch", "as run: NumPy", "PyTorch"))
    table.add_column("verdict", no_wrap=True)
    for content in contents:
        for k, row in enumerate(rows_of(content)):
            cells = [text for column in ("specified", "as-run") for text in side_by_side(row.cells[column])]
            table.add_row(
                escape(row.experiment) if k == 0 else "", row.number, escape(row.reported), *cells, styled(row.verdict)
            )
    return table


def side_by_side(cells):
    """The texts of the NumPy and of the PyTorch twin; what both share stands once."""
    return (cells["both"], "") if "both" in cells else (cells.get("manual", ""), cells.get("torch", ""))


def styled(verdict):
    if verdict is None:
        return ""
    word, colour = VERDICTS[verdict]
    return f"[{colour}]{word}[/]"


def list_table(experiments, finished):
    """What there is, and what of it is finished: `finished` has (runs finished, runs asked for) by name."""
    table = table_with(None, ("experiment", "what", "columns"), ("numbers", "runs finished"))
    for each in experiments:
        count, asked = finished[each.name]
        columns = ", ".join(COLUMNS[column] for column in each.columns)
        done = f"{count} of {asked}"
        numbers = sum(number.counted for number in each.numbers)
        table.add_row(each.name, escape(each.title), columns, str(numbers), f"[green]{done}[/]" if count == asked else done)
    return table
