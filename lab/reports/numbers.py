"""The numbers of a report: what it says, between what bounds ours meets it, and how it is read off a run."""

from dataclasses import asdict, dataclass

import numpy as np

from gradcheck.errors import UserError
from lab.data.parts import PARTS

QUANTITIES = ("accuracy", "loss", "cost")
STATISTICS = ("final", "best", "top5", "escape")
# Ten classes told apart by chance cost log 10 each; a loss below this has left that plateau.
ESCAPED = np.log(10) - 0.05


@dataclass(frozen=True)
class Number:
    """`name` as in `experiments.toml`; `reported` as the report has it; `low` to `high` meets it, both None if not counted.

    Accuracies are in percent. `why` says why it is not met, where it is not.
    """

    name: str
    reported: object
    low: float | None
    high: float | None
    why: str = ""

    @property
    def counted(self):
        return self.low is not None

    def met_by(self, value):
        """Whether a measured value, None where there is none, meets the report's."""
        return value is not None and self.low <= round(value, 9) <= self.high

    def as_json(self):
        return asdict(self)


def reported_number(name, reported, tolerances, why=""):
    """The Number of one entry of `reported`; `tolerances`: "accuracy" in percentage points, and "loss". Raises UserError."""
    given = reported if isinstance(reported, dict) else {"value": reported}
    unknown = given.keys() - {"value", "low", "high"}
    if unknown or "value" not in given:
        raise UserError(f"{name}: a reported number has value, low and high, not {', '.join(sorted(unknown)) or 'only bounds'}")
    value, low, high = given["value"], given.get("low", 0.0), given.get("high")
    if isinstance(value, bool):
        low = high = value
    elif high is None:
        kind = "accuracy" if "accuracy" in name else "loss"
        if kind not in tolerances or isinstance(value, str):
            raise UserError(f"{name} needs a tolerance{'' if kind == 'accuracy' else '-loss'}, or low and high")
        low, high = round(value - tolerances[kind], 9), round(value + tolerances[kind], 9)
    return Number(name, value, low, high, why)


def check_name(name, record):
    """Raises UserError where no such number can be read off a training that records the parts `record`."""
    part, quantity, statistic = parsed(name)
    for word, known in ((part, PARTS), (quantity, QUANTITIES), (statistic, STATISTICS)):
        if word not in known:
            raise UserError(f"{name!r}: {word!r} is none of {', '.join(known)}")
    if statistic != "final" and part not in record:
        raise UserError(f"{name!r} is taken over the updates: record {part!r}")


def parsed(name):
    """(part, quantity, statistic) of "val accuracy top5"; "final" where no statistic is named."""
    words = name.split()
    return (*words, "final")[:3] if len(words) in (2, 3) else (name, "", "")


def value_of(name, run):
    """The number of that name in a training run, a dict of its JSON file; None where the run diverged or has no such number.

    An escape that never comes is infinitely late.
    """
    part, quantity, statistic = parsed(name)
    if run["diverged"] is not None:
        return None
    factor = 100 if quantity == "accuracy" else 1
    if statistic == "final":
        return run[part][quantity] * factor
    recorded = np.array(run["rows"][part][quantity]) * factor
    if statistic == "escape":
        escaped = np.flatnonzero(recorded < ESCAPED)
        return float(run["rows"]["update"][escaped[0]]) if len(escaped) else float("inf")
    best = np.sort(recorded)[::-1] if quantity == "accuracy" else np.sort(recorded)
    return float(best[0] if statistic == "best" else best[:5].mean())
