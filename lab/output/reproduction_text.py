"""The numbers of a reproduction as text: what a report has, what allows for it, and what was measured.

Names and values are those of trainings where `trains` is true, and of gradient checks where it is not.
"""

import statistics
from collections.abc import Sequence

from lab.output.training import PARTS
from lab.reports.numbers import Number, parse_name

STATISTICS = {"final": "", "best": ", best", "top5": ", five best", "escape": " falls at update"}


def number_label(name: str, trains: bool) -> str:
    """What a table calls the number: "val accuracy top5" is validation accuracy, five best."""
    if not trains:
        return name
    part, quantity, statistic = parse_name(name)
    return f"{PARTS[part]} {quantity}{STATISTICS[statistic]}"


def reported_text(name: str, value: float | str, trains: bool) -> str:
    """A number as a report has it, or a bound of what is allowed."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return yes_or_no(value)
    if not trains:
        return f"{value:.2f}" if "gradient" in name else f"{value:.2e}"
    _, quantity, statistic = parse_name(name)
    if statistic == "escape":
        return update_text(value)
    return f"{value:.2f}" if quantity == "accuracy" and not isinstance(value, int) else f"{value:g}"


def allowed_text(number: Number, trains: bool) -> str:
    """From where to where the number is met; nothing for one that is only shown."""
    if number.low is None or number.high is None:
        return ""
    low, high = (reported_text(number.name, bound, trains) for bound in (number.low, number.high))
    if number.low == number.high:
        return low
    return f"to {high}" if number.low == 0 else f"{low} to {high}"


def measured_text(name: str, values: Sequence[float | None], trains: bool) -> str:
    """The values of a number, one for each seed: their mean, and their standard deviation where there are several."""
    measured = [value for value in values if value is not None]
    if len(measured) < len(values):
        return "diverged"
    mean = statistics.fmean(measured)
    if isinstance(measured[0], bool):
        return yes_or_no(mean == 1)
    if not trains:
        return f"{mean:.2f}" if "gradient" in name else f"{mean:.1e}"
    _, quantity, statistic = parse_name(name)
    if statistic == "escape":
        return ", ".join(map(update_text, measured))
    digits = 2 if quantity == "accuracy" else 3
    deviation = f" ± {statistics.stdev(measured):.{digits}f}" if len(measured) > 1 else ""
    return f"{mean:.{digits}f}{deviation}"


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def update_text(update: float) -> str:
    return "never" if update == float("inf") else f"{update:.0f}"
