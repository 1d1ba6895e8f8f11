"""The numbers of a report: what it says, between what bounds ours meets it, and how it is read off a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradcheck.errors import UserError
from lab.data.parts import PARTS
from lab.reports.checks import check_choice
from lab.reports.result_forms import NumberForm, TrainingOutcome

QUANTITIES = ("accuracy", "loss", "cost")
STATISTICS = ("final", "best", "top5", "escape")
# Ten classes told apart by chance cost log 10 each; a loss below this has left that plateau.
ESCAPED = np.log(10) - 0.05


@dataclass(frozen=True)
class Number:
    """`name` as in `experiments.toml`; `reported` as the report has it; from `low` to `high` it is met.

    Accuracies are in percent. A number without bounds is only shown. `why` says why it is not met, where it is not.
    """

    name: str
    reported: float | str
    low: float | None
    high: float | None
    why: str = ""

    @property
    def has_bounds(self) -> bool:
        return self.low is not None

    def is_met_by(self, value: float | None) -> bool:
        """Whether a measured value, None where there is none, lies within the bounds."""
        if value is None or self.low is None or self.high is None:
            return False
        return self.low <= round(value, 9) <= self.high

    def as_json(self) -> NumberForm:
        return {"name": self.name, "reported": self.reported, "low": self.low, "high": self.high, "why": self.why}


def reported_number(name: str, reported: Any, tolerances: Mapping[str, float], why: str = "") -> Number:
    """The Number of one entry of `reported` in experiments.toml: a value, or a table of value, low and high.

    `tolerances` holds "accuracy", in percentage points, and "loss". Raises UserError.
    """
    table = reported if isinstance(reported, dict) else {"value": reported}
    unknown = table.keys() - {"value", "low", "high"}
    if unknown:
        raise UserError(f"{name}: a reported number has value, low and high, not {', '.join(sorted(unknown))}")
    if "value" not in table:
        raise UserError(f"{name}: the value is missing")
    value, low, high = table["value"], table.get("low", 0.0), table.get("high")
    if isinstance(value, bool):
        return Number(name, value, value, value, why)
    if high is not None:
        return Number(name, value, low, high, why)
    kind, option = ("accuracy", "tolerance") if "accuracy" in name else ("loss", "tolerance-loss")
    if kind not in tolerances or isinstance(value, str):
        raise UserError(f"{name} needs a {option}, or low and high")
    return Number(name, value, round(value - tolerances[kind], 9), round(value + tolerances[kind], 9), why)


class NumberName(NamedTuple):
    """The name of a number of a training, taken apart: "val accuracy top5"."""

    part: str
    quantity: str
    statistic: str = "final"


def parse_name(name: str) -> NumberName:
    """The parts of a name; its statistic is "final" where it names none. Raises UserError where there is no such number."""
    words = name.split()
    if len(words) not in (2, 3):
        raise UserError(f"{name!r} is not the name of a number: PART QUANTITY, or PART QUANTITY STATISTIC")
    found = NumberName(*words)
    check_choice(f"{name!r}:", found.part, PARTS)
    check_choice(f"{name!r}:", found.quantity, QUANTITIES)
    check_choice(f"{name!r}:", found.statistic, STATISTICS)
    return found


def check_recorded(name: str, recorded: tuple[str, ...]) -> None:
    """Raises UserError where a training that records the parts `recorded` has no such number."""
    part, _, statistic = parse_name(name)
    if statistic != "final" and part not in recorded:
        raise UserError(f"{name!r} is taken over the updates: record {part!r}")


def value_of(name: str, run: TrainingOutcome) -> float | None:
    """The number of that name in a training; None where it diverged. An escape that never comes is infinitely late."""
    if run["diverged"] is not None:
        return None
    part, quantity, statistic = parse_name(name)
    factor = 100 if quantity == "accuracy" else 1
    if statistic == "final":
        final = {"train": run.get("train"), "val": run.get("val"), "test": run.get("test")}[part]
        return None if final is None else final[quantity] * factor
    rows = run["rows"]
    columns = {"train": rows.get("train"), "val": rows.get("val"), "test": rows.get("test")}[part]
    if columns is None:
        return None
    return statistic_of(statistic, np.array(columns[quantity]) * factor, rows.get("update", []), highest=quantity == "accuracy")


def statistic_of(statistic: str, recorded: np.ndarray, updates: list[int], highest: bool) -> float:
    """The best, the mean of the five best, or the update of the escape, of what was recorded (R,) at `updates`.

    `highest` says whether the highest is the best, or the lowest.
    """
    if statistic == "escape":
        escaped = np.flatnonzero(recorded < ESCAPED)
        return float(updates[escaped[0]]) if len(escaped) else float("inf")
    best = np.sort(recorded)[::-1] if highest else np.sort(recorded)  # (R,)
    return float(best[0] if statistic == "best" else best[:5].mean())
