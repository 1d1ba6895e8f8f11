"""The rows of a tensor in a terminal: one for each judge, with the verdict on those that it rests on.

A judge is an oracle, or what else can make a tensor fail: an exact tie, random directions, the Taylor test.
"""

from collections.abc import Iterator
from typing import NamedTuple

from rich.markup import escape

from gradcheck.faults import counted
from gradcheck.report.sentences import accuses, in_brackets, never_came, scientific
from gradcheck.result import Directions, Taylor, TensorRow, Tie, WorstEntry

SHORT = {"autograd": "autograd", "complex-step": "complex", "central-difference": "central"}
STYLE = {"pass": "green", "fail": "bold red", "undecided": "yellow", "note": "bold yellow"}

# Relative error, what is allowed, index, claimed and reference.
Cells = tuple[str, str, str, str, str]
EMPTY: Cells = ("", "", "", "", "")
NOTHING: Cells = ("-", "-", "-", "-", "-")
MOST_DIGITS = 17


class Judge(NamedTuple):
    """Its name, what it found, and the verdict that it would give: "fail", "undecided" or "pass", or "" where it has no say."""

    name: str
    cells: Cells
    says: str


def tensor_rows(tensor: TensorRow) -> Iterator[tuple[str, Cells, str]]:
    """The name of each judge of the tensor, what it found, and what it is marked with."""
    judges = [Judge("-", NOTHING, "fail")] if never_came(tensor) else [*oracles_of(tensor), *other_judges(tensor)]
    marked = [k for k, judge in enumerate(judges) if judge.says == tensor["verdict"]]
    if tensor["verdict"] != "fail":
        marked = marked[:1] or [0]
    for k, judge in enumerate(judges or [Judge("", EMPTY, "")]):
        yield judge.name, judge.cells, verdict_cell(tensor, k == marked[0]) if k in marked else ""
    if tensor["tolerance"] is not None:
        yield styled("tolerance", "note"), ("", styled(f"{tensor['tolerance']:g}", "note"), "", "", ""), ""


def oracles_of(tensor: TensorRow) -> Iterator[Judge]:
    for oracle, found in tensor["oracles"].items():
        yield Judge(SHORT[oracle], worst_cells(found["worst"], tensor["tolerance"]), what_it_says(tensor, found["worst"]))


def what_it_says(tensor: TensorRow, worst: WorstEntry) -> str:
    """The verdict on an oracle's worst entry."""
    error, allowed = worst["rel_error"], worst["allowed"]
    if worst["index"] is None:
        return ""
    if error is not None and allowed is not None and error <= allowed:
        return "pass"
    return "fail" if accuses(tensor, worst) else "undecided"


def other_judges(tensor: TensorRow) -> Iterator[Judge]:
    if tensor["tie"]:
        yield Judge("tie", tie_cells(tensor["tie"], "beyond"), "fail")
    if tensor["between"]:
        yield Judge("tie", tie_cells(tensor["between"], "between"), "pass")
    if tensor["directions"]:
        yield Judge("directions", direction_cells(tensor["directions"]), "fail" if tensor["directions"]["fail"] else "")
    if tensor["taylor"]:
        yield Judge("Taylor", taylor_cells(tensor["taylor"]), "fail" if tensor["taylor"]["verdict"] == "fail" else "")


def worst_cells(worst: WorstEntry, tolerance: float | None = None) -> Cells:
    """An oracle's worst entry, of a tensor with this tolerance."""
    if worst["index"] is None:
        return NOTHING
    index, claimed, reference = in_brackets(worst["index"]), scientific(worst["claimed"], 4), scientific(worst["reference"], 4)
    return *error_and_allowed(worst, tolerance), index, claimed, reference


def error_and_allowed(worst: WorstEntry, tolerance: float | None = None) -> tuple[str, str]:
    """Both with two digits, or with so many that an error that is larger also reads as larger.

    Who allows more than the size of the derivatives, unless that was asked for, knows nothing.
    """
    error, allowed = worst["rel_error"], worst["allowed"]
    if allowed is None or (allowed > 1 and tolerance is None):
        return scientific(error), "unknown"
    larger = error is not None and error > allowed
    digits = 2
    while larger and digits < MOST_DIGITS and scientific(error, digits) == scientific(allowed, digits):
        digits += 1
    return scientific(error, digits), scientific(allowed, digits)


def tie_cells(tie: Tie, place: str) -> Cells:
    """An entry, where it lies of the derivatives from the left and from the right, and these."""
    sides = f"{short(tie['left'])} to {short(tie['right'])}"
    return "", place, in_brackets(tie["index"]), scientific(tie["claimed"], 4), sides


def direction_cells(directions: Directions) -> Cells:
    """How many directions are wrong, in place of an error, and an entry that makes one wrong."""
    wrong, entry = f"{directions['fail']} of {directions['checked']}", directions["entry"]
    if entry is None:
        return wrong, "", "", "", ""
    return wrong, "", in_brackets(entry["index"]), scientific(entry["claimed"], 4), scientific(entry["reference"], 4)


def taylor_cells(taylor: Taylor) -> Cells:
    """The slope of the Taylor test in place of an error; 2 is what it should be."""
    slopes = [each["slope"] for each in taylor["directions"] if each["slope"] is not None]
    return f"slope {min(slopes):.2f}" if slopes else "slope -", "", "", "", ""


def verdict_cell(tensor: TensorRow, first: bool) -> str:
    """The verdict, in the first row that has it with how many entries it concerns."""
    verdict = tensor["verdict"]
    if verdict == "pass":
        return styled("pass" + (f", {counted(tensor['kink'], 'kink')}" if tensor["kink"] else ""), "pass")
    return styled(verdict.upper() + (f" {tensor[verdict]:,}" if first and tensor[verdict] else ""), verdict)


def short(value: float | None) -> str:
    """One side of an exact tie; None is a number that is not finite."""
    return "not finite" if value is None else f"{value:.3g}"


def styled(text: str, verdict: str) -> str:
    """Text in the colour of a verdict."""
    return f"[{STYLE[verdict]}]{escape(text)}[/]"
