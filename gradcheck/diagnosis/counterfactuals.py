"""Which single mistake in one operation of a cost gives the claimed gradient: the cost is run with each, one after another.

Each answer is true by itself: with that mistake the cost has the claimed derivative, along several random directions.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import COMPLEX_STEP
from gradcheck.diagnosis.explanation import SHARP, UNEXPLAINED
from gradcheck.diagnosis.expressions import expression, line_of, operands
from gradcheck.diagnosis.operation_slips import slips, slips_in_rows
from gradcheck.diagnosis.operations import Call, Change, Fit, Run, Seen, Site, Slip
from gradcheck.diagnosis.pair_patterns import Known

# Directions along which the claim has to be explained.
DIRECTIONS = 3

# Seconds that the search may take for all tensors of a pair.
SECONDS = 5.0

# `cost_along(tensor, direction, step, run)`: the cost that far along a direction in a tensor, as `run` evaluates it.
CostAlong = Callable[[str, Array, complex, Run], complex]


class Mistake(NamedTuple):
    """A change at a site, in those of its runs that are in `which`; `words` hold {text} for the operation's."""

    words: str
    site: Site
    change: Change | Fit
    which: range


class Line(NamedTuple):
    """A direction in a tensor: what is claimed along it, what is right, and how far both may be off."""

    direction: Array
    claimed: float
    reference: float
    rounding: float

    def as_good_as(self, derivative: float, other: float) -> bool:
        """Whether two derivatives are the same against the error, as `explains` says of gradients."""
        error = abs(self.claimed - self.reference)
        return abs(derivative - other) <= max(UNEXPLAINED * error, min(self.rounding, SHARP * error))

    @property
    def is_wrong(self) -> bool:
        return abs(self.claimed - self.reference) > self.rounding


class Counterfactuals:
    """The search for the mistake in a cost, which `cost_along` evaluates."""

    def __init__(self, cost_along: CostAlong) -> None:
        self.cost_along, self.until = cost_along, time.perf_counter() + SECONDS
        self.found: list[Mistake] = []

    def __call__(self, known: Known) -> str | None:
        """The mistake that explains a tensor at its known entries, in words, or None. One entry would be explained by any."""
        lines = directions_of(known)
        if known.claimed.size < 2 or not all(line.is_wrong for line in lines):
            return None
        honest = Run()
        if not self._is_derived(known.name, lines[0], honest):
            return None
        for mistake in chain(list(self.found), mistakes(honest.seen)):
            if time.perf_counter() > self.until:
                return None
            definite = self._fitted(mistake, known, lines[0])
            if definite is not None and self._explains(definite, known.name, lines):
                self.found.append(definite)
                return f"{known.name}: {in_words(definite, honest.seen)}"
        return None

    def _is_derived(self, tensor: str, line: Line, honest: Run) -> bool:
        """Whether the cost runs so, and to the derivative that the oracle found."""
        try:
            right = self._derivative(tensor, line, honest)
        except Exception:  # it does not run on a subclass of ndarray
            return False
        return line.as_good_as(right, line.reference)

    def _fitted(self, mistake: Mistake, known: Known, line: Line) -> Mistake | None:
        """The mistake with the number in it that a line shows; None where there is none, or too few entries confirm it."""
        fit = mistake.change
        if not isinstance(fit, Fit):
            return mistake
        if known.claimed.size < 3:
            return None
        try:
            none, one = (self._derivative(known.name, line, run_with(mistake, at_number(fit, number))) for number in (0.0, 1.0))
        except Exception:  # what runs in its place does not run everywhere
            return None
        number = (line.claimed - none) / (one - none) if abs(one - none) > line.rounding else float("nan")
        words = fit.words(number) if np.isfinite(number) else None
        return mistake._replace(words=f"{words}{mistake.words}", change=at_number(fit, number)) if words else None

    def _explains(self, mistake: Mistake, tensor: str, lines: Sequence[Line]) -> bool:
        """Whether with this mistake the cost has the claimed derivative along each line."""
        try:
            return all(line.as_good_as(self._derivative(tensor, line, run_with(mistake)), line.claimed) for line in lines)
        except Exception:  # what runs in its place does not run everywhere
            return False

    def _derivative(self, tensor: str, line: Line, run: Run) -> float:
        with np.errstate(all="ignore"):
            return float(np.imag(self.cost_along(tensor, line.direction, 1j * COMPLEX_STEP, run)) / COMPLEX_STEP)


def run_with(mistake: Mistake, change: Change | None = None) -> Run:
    """A run with a mistake whose change is definite, or with another change in its place."""
    definite = mistake.change if change is None else change
    assert not isinstance(definite, Fit)
    return Run(mistake.site, definite, mistake.which)


def at_number(fit: Fit, number: float) -> Change:
    """The change with this number in it."""
    return lambda call: fit.change(call, number)


def directions_of(known: Known) -> list[Line]:
    """Random directions over the known entries of a tensor."""
    rng, lines = np.random.default_rng(0), []
    for weights in rng.standard_normal((DIRECTIONS, len(known.entries))):
        direction = np.zeros(int(np.prod(known.shape)))
        direction[known.entries] = weights
        claimed, reference = (float(weights @ np.ravel(each)) for each in (known.claimed, known.reference))
        lines.append(
            Line(direction.reshape(known.shape), claimed, reference, known.rounding * float(np.sqrt(weights @ weights)))
        )
    return lines


def mistakes(seen: dict[Site, Seen]) -> Iterator[Mistake]:
    """Those of every run of an operation first, then those of one call of the function around it, of the first or the last
    one of several runs, and of the first or the last row."""
    own = {site: each for site, each in seen.items() if len(site.places) == 1}
    of_one_call = {site: each for site, each in seen.items() if each.runs < seen[site._replace(places=site.places[:1])].runs}
    for sites in (own, of_one_call):
        for site, each in sites.items():
            for words, change in as_far_as_they_go(slips(site.operation, each.last)):
                yield Mistake(words, site, change, range(each.runs))
    for site, each in (own | of_one_call).items():
        for call, which, text in some_of(each):
            for words, change in as_far_as_they_go(slips(site.operation, call)):
                yield Mistake(f"{words}, {text}", site, change, which)
    for site, each in own.items():
        for words, change in as_far_as_they_go(slips_in_rows(each.last)):
            yield Mistake(words, site, change, range(each.runs))


def as_far_as_they_go(of_one_call: Iterator[Slip]) -> Iterator[Slip]:
    """The same, up to the first that can't be made: an operation may be anything, and run but in its place."""
    with contextlib.suppress(Exception):
        yield from of_one_call


def some_of(seen: Seen) -> Iterator[tuple[Call, range, str]]:
    """The runs that a loop that is a step short leaves out, or alone goes through, with one of them."""
    runs = seen.runs
    if runs > 1:
        yield seen.first, range(1), f"in the first of its {runs} runs"
        yield seen.last, range(runs - 1, runs), f"in the last of its {runs} runs"
    if runs > 2:
        yield seen.last, range(1, runs), f"in all but the first of its {runs} runs"
        yield seen.first, range(runs - 1), f"in all but the last of its {runs} runs"
        yield seen.first, range(2), f"in the first two of its {runs} runs"
        yield seen.last, range(runs - 2, runs), f"in the last two of its {runs} runs"


def in_words(mistake: Mistake, seen: dict[Site, Seen]) -> str:
    """The sentence, with the operation as it stands in the user's file."""
    code, instruction = mistake.site.places[0]
    text = expression(code, instruction)
    names = operands(text, seen[mistake.site].names)
    quoted = [f"`{name}`" for name in names] + [f"operand {place + 1}" for place in range(len(names), 9)]
    callers = [f"called in line {line_of(*caller)}" for caller in mistake.site.places[1:]]
    where = ", ".join([f"line {line_of(code, instruction)} of {Path(code.co_filename).name}", *callers])
    sentence = mistake.words.format(operands=quoted, text=f"`{text}` ({where})" if text else f"an operation ({where})")
    return f"{sentence}: with that, the cost has the derivative that is claimed"
