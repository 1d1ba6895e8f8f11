"""One tensor of a subject: what the oracles say at its entries, compared with what is claimed; its row of the result."""

import contextlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck import verdict
from gradcheck.arrays import Array
from gradcheck.derivations.estimate import Estimate, OneSided, largest_known
from gradcheck.derivations.taylor import taylor_test, unit_directions
from gradcheck.derivations.truth import Truth, truth_of
from gradcheck.errors import OutOfTime
from gradcheck.report.sentences import alone_note, tolerance_note
from gradcheck.result import Comparison, DirectionEntry, Directions, Taylor, TensorRow, Tie, finite_or_none
from gradcheck.subject import Case, Subject
from gradcheck.worst import against_oracle, worst_over_allowed

# Of so many tensors each takes the Taylor test along one direction.
MANY_TENSORS = 16


class TensorCheck:
    """The check of `tensor` at `entries`, flat indices, ascending.

    `estimates` holds what each oracle says there, the most exact first; `size` (cases, 1) is what an uncertainty is large
    against, the size of the derivatives. `tolerance` is what is allowed beyond rounding, if it was asked for, as a share of the
    tensor's largest derivative. Arrays are (cases, entries) but where their comment says otherwise.
    """

    def __init__(
        self,
        subject: Subject,
        tensor: str,
        entries: Array,
        cases: Sequence[Case],
        estimates: Mapping[str, Estimate],
        size: Array,
        tolerance: float | None = None,
    ) -> None:
        self.subject, self.tensor, self.entries, self.cases, self.size = subject, tensor, entries, cases, size
        self.estimates, self.tolerance = estimates, tolerance
        self.shape = subject.parameters[tensor].shape
        self.claimed = self._at_entries([case.claimed for case in cases])
        self.rounding = self._at_entries([case.rounding for case in cases])
        self.resolved = verdict.RESOLVED[subject.dtype]

    def _at_entries(self, arrays: Sequence[Mapping[str, Array]]) -> Array:
        return np.array([np.ravel(each[self.tensor])[self.entries] for each in arrays], np.float64)

    @cached_property
    def judgements(self) -> dict[str, verdict.Judgement]:
        """The claimed gradient against each oracle."""
        return {
            oracle: self._compare(self.claimed, found, self.rounding, self.tolerated)
            for oracle, found in self.estimates.items()
        }

    def _compare(self, claimed: Array, found: Estimate, rounding: Array, tolerated: Array) -> verdict.Judgement:
        return verdict.compare(
            claimed, found.derivative, found.uncertainty, rounding, self.resolved, self.size, tolerated=tolerated
        )

    @cached_property
    def tolerated(self) -> Array:
        """By how much an entry may be off because that was asked for, (cases, 1)."""
        if self.tolerance is None or not self.estimates:
            return np.zeros((len(self.cases), 1))
        return self.tolerance * largest_known(next(iter(self.estimates.values())))

    @cached_property
    def masks(self) -> dict[str, Array]:
        """Which entries have each verdict, (entries,) each."""
        crossed = np.any([np.zeros(len(self.entries), bool), *(found.crossed for found in self.estimates.values())], axis=0)
        _, inside, outside = self._tie
        return verdict.verdict_masks(self.judgements, crossed, inside, outside, self.subject.switched, self.subject.of_twins)

    @property
    def derivatives(self) -> dict[str, Array]:
        return {oracle: found.derivative for oracle, found in self.estimates.items()}

    @property
    def best(self) -> Array:
        """The derivative by the most exact oracle."""
        return next(iter(self.estimates.values())).derivative

    @cached_property
    def visible_errors(self) -> Array:
        """The smallest relative error that would have been seen in each entry, (entries,)."""
        if not self.judgements:
            return np.full(len(self.entries), np.inf)
        return verdict.visible_errors(self.judgements, self.best)

    def row(self, with_taylor: bool, seed: int) -> TensorRow:
        """The row of the result, without a diagnosis; `seed` draws the directions of the Taylor test."""
        visible = self.visible_errors
        counts = {each: int(mask.sum()) for each, mask in self.masks.items()}
        row: Any = {
            "name": self.tensor,
            "shape": list(self.shape),
            "entries": int(np.prod(self.shape)),
            "checked": sum(counts.values()) - counts["undecided"],
            **counts,
            "diagnosis": None,
            "tie": self._example_of_tie(self._tie[2]),
            "between": self._example_of_tie(self._right_by_tie_alone()),
            "alone": self._count_alone(),
            "sensitivity": finite_or_none(np.max(visible, where=np.isfinite(visible), initial=0) or np.inf),
            "tolerance": self.tolerance,
            "oracles": {oracle: self._against(oracle) for oracle in self.judgements},
            "directions": self._along_directions(),
            "taylor": None,
        }
        if with_taylor:
            row["taylor"] = self._along_taylor(row, seed)
        return row | {"verdict": verdict.verdict_of_tensor(row)}

    def row_without_gradient(self) -> TensorRow:
        """The row where no gradient came: nothing was compared, and all entries fail."""
        size = int(np.prod(self.shape))
        row: Any = {
            **{"name": self.tensor, "shape": list(self.shape), "entries": size, "checked": size},
            **{"pass": 0, "kink": 0, "undecided": 0, "fail": size, "verdict": "fail"},
            **{"diagnosis": None, "tie": None, "between": None, "alone": {}, "sensitivity": None},
            **{"tolerance": self.tolerance, "oracles": {}, "directions": None, "taylor": None},
        }
        return row

    def _against(self, oracle: str) -> Comparison:
        """The row of an oracle."""
        judgement, derivative = self.judgements[oracle], self.derivatives[oracle]
        return against_oracle(judgement, self.masks, self.subject.switched, self.claimed, derivative, self.shape, self.entries)

    @cached_property
    def _tie(self) -> tuple[OneSided | None, Array, Array]:
        """The one-sided derivatives where there are some, and which entries (entries,) lie between them, and which beyond."""
        for found in self.estimates.values():
            if found.tie is not None:
                exact = [self.derivatives[oracle] for oracle in verdict.EXACT_ORACLES if oracle in self.estimates]
                return found.tie, *verdict.judge_ties(self.claimed, found.tie, exact, self.rounding + self.tolerated)
        return None, np.zeros(len(self.entries), bool), np.zeros(len(self.entries), bool)

    def _right_by_tie_alone(self) -> Array:
        """Which entries (entries,) lie between one-sided derivatives and are confirmed by no oracle."""
        confirmed = [(judgement.decided & judgement.agrees).all(axis=0) for judgement in self.judgements.values()]
        return self._tie[1] & ~np.any([np.zeros(len(self.entries), bool), *confirmed], axis=0)

    def _example_of_tie(self, where: Array) -> Tie | None:
        """The first of these entries (entries,), which lie at ties; None where there is none."""
        tie = self._tie[0]
        return None if tie is None else verdict.first_tie(self.claimed, tie, where, self.shape, self.entries)

    @cached_property
    def _alone(self) -> dict[str, Array]:
        """At which entries (entries,) the claim, or one oracle, stands alone; at a tie several derivatives are right."""
        _, inside, _ = self._tie
        alone = verdict.alone_masks(self.derivatives, self.judgements, self.rounding)
        return {voter: where & ~inside for voter, where in alone.items()}

    def _count_alone(self) -> dict[str, int]:
        """At how many entries: of those that fail, if any do. The claim and an exact oracle can only fail entries then."""
        fail = self.masks["fail"]
        voting = fail if fail.any() else ~fail
        counts = {
            voter: int((where if voter == "central-difference" else where & voting).sum())
            for voter, where in self._alone.items()
        }
        return {voter: count for voter, count in counts.items() if count}

    def notes(self) -> Iterator[str]:
        """What was loosened, and exact oracles that a pair is right without, in sentences."""
        if self.tolerance is not None:
            yield tolerance_note(self.tensor, self.tolerance, float(self.tolerated.max()))
        verified = self.masks["pass"] | self.masks["kink"]
        for oracle, alone in self._alone.items():
            where = alone & verified
            if oracle in verdict.EXACT_ORACLES and where.any():
                yield alone_note(self.tensor, oracle, int(where.sum()), float(self.judgements[oracle].error[:, where].max()))

    def _along_directions(self) -> Directions | None:
        """What sampled entries leave out, seen along random directions; None where every entry is looked at."""
        directions = self.subject.directions(self.tensor)  # (D, entries of the tensor)
        if directions is None:
            return None
        decided, wrong = self._judge(directions)
        entry = self._wrong_entry(directions[wrong.argmax()]) if wrong.any() else None
        return {"checked": int(decided.sum()), "fail": int(wrong.sum()), "entry": entry}

    def _judge(self, directions: Array) -> tuple[Array, Array]:
        """Which directions (D, entries of the tensor) could be decided, and along which the claim is wrong: (D,) each."""
        along = self.subject.along(self.tensor, directions)
        if along is None:
            return np.zeros(len(directions), bool), np.zeros(len(directions), bool)
        claimed = np.array([directions @ np.ravel(case.claimed[self.tensor]) for case in self.cases])  # (cases, D)
        variances = [directions**2 @ np.ravel(case.rounding[self.tensor]) ** 2 for case in self.cases]
        tolerated = self.tolerated * np.abs(directions).sum(axis=1)  # (cases, D)
        c = self._compare(claimed, along, np.sqrt(variances), tolerated)
        decided, wrong = c.decided, c.decided & ~c.agrees  # (cases, D)
        return np.all(decided, axis=0), np.any(wrong, axis=0)

    def _wrong_entry(self, direction: Array) -> DirectionEntry | None:
        """An entry that makes a direction fail, with both values, by halving it; None where neither half of it fails."""
        entries = np.flatnonzero(direction)
        while len(entries) > 1:
            halves = np.array_split(entries, 2)
            parts = np.zeros((2, direction.size))
            for part, half in zip(parts, halves, strict=True):
                part[half] = direction[half] / np.sqrt((direction[half] ** 2).sum())
            _, wrong = self._judge(parts)
            if not wrong.any():
                return None
            entries = halves[wrong.argmax()]
        alone = np.zeros((1, direction.size))
        alone[0, entries] = 1.0
        return {
            "index": [int(i) for i in np.unravel_index(entries[0], self.shape)],
            "claimed": finite_or_none(np.ravel(self.cases[0].claimed[self.tensor])[entries[0]]),
            "reference": finite_or_none(along.derivative[0, 0]) if (along := self.subject.along(self.tensor, alone)) else None,
        }

    def _along_taylor(self, row: TensorRow, seed: int) -> Taylor:
        """The Taylor test."""
        costs_along, rounding = self.subject.taylor(self.tensor)
        directions = unit_directions(self.shape, [seed, zlib.crc32(self.tensor.encode())])
        if len(self.subject.parameters) > MANY_TENSORS:
            directions = directions[:1]
        claimed, uncertainty = (
            np.asarray(of[self.tensor], np.float64) for of in (self.cases[-1].claimed, self.cases[-1].rounding)
        )
        # Beyond ten times what all entries may be off together, the slope is 1.9.
        uncertainty = uncertainty + 10 * np.sqrt(claimed.size) * self.tolerated[-1]
        try:
            found = taylor_test(claimed, uncertainty, directions, costs_along, rounding)
        except OutOfTime:
            return {"verdict": "inconclusive", "reason": "the time was over before it", "steps": [], "directions": []}
        if found["verdict"] == "fail" and (why := self._why_no_failure(row, directions)):
            found["verdict"], found["reason"] = "inconclusive", why
        return found

    def _why_no_failure(self, row: TensorRow, directions: Array) -> str | None:
        """Why a claim that fails the Taylor test is not wrong for that, or None: the test can't tell a kink from an error."""
        if self.subject.switched:
            return "a ReLU is active in float32 and not in float64"
        if row["fail"]:
            return None
        if row["oracles"] and not row["undecided"] and row["checked"] == row["entries"]:
            return "every entry is confirmed without a step: a kink is near"
        flat = directions.reshape(len(directions), -1)
        if self.subject.along(self.tensor, flat) is None or self._judge(flat)[1].any():
            return None
        return "a difference along the direction does not confirm it: a kink is near, or the cost rounds"

    def picture(self, row: TensorRow) -> dict[str, Any]:
        """What the page draws: the error of each entry over what is allowed, nan where it is not checked; and at the worst
        entry by the first oracle that has one the error of each step."""
        errors = np.full(int(np.prod(self.shape)), np.nan)
        if not self.judgements:
            return {"errors": errors.reshape(self.shape), "sweep": None}
        errors[self.entries] = worst_over_allowed(self.judgements, self.masks)
        shown = [found["worst"]["index"] for found in row["oracles"].values()]
        index = next((each for each in shown if each is not None), verdict.index_of(self.entries[0], self.shape))
        entry = int(np.ravel_multi_index(index, self.shape)) if index else 0
        exact = float(self.best[-1][np.searchsorted(self.entries, entry)])
        drawn: dict[str, Any] = {"errors": errors.reshape(self.shape), "sweep": None}
        with contextlib.suppress(OutOfTime):
            drawn["sweep"] = {"index": index, **self.subject.sweep(self.tensor, entry, exact)}
        return drawn

    def truth(self) -> Truth | None:
        """What is known of the right gradient; None where no oracle was asked."""
        if not self.estimates:
            return None
        deciding = {oracle: judgement.decided for oracle, judgement in self.judgements.items()}
        return truth_of(self.estimates, deciding, self.rounding, self.entries, self.shape)
