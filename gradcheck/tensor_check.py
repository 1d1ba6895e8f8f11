"""One tensor of a subject: what the oracles say at its entries, compared with what is claimed; its row of the result."""

import contextlib
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from gradcheck import verdict
from gradcheck.arrays import Array
from gradcheck.derivations.estimate import Estimate, OneSided
from gradcheck.derivations.taylor import taylor_test, unit_directions
from gradcheck.derivations.truth import Truth, truth_of
from gradcheck.errors import OutOfTime
from gradcheck.result import DirectionEntry, Directions, Taylor, TensorRow, finite_or_none
from gradcheck.subject import Case, Subject


class TensorCheck:
    """The check of `tensor` at `entries`, flat indices, ascending.

    `estimates` holds what each oracle says there, the most exact first; `size` (cases, 1) is what an uncertainty is large
    against, the size of the derivatives. Arrays are (cases, entries) but where their comment says otherwise.
    """

    def __init__(
        self,
        subject: Subject,
        tensor: str,
        entries: Array,
        cases: Sequence[Case],
        estimates: Mapping[str, Estimate],
        size: Array,
    ) -> None:
        self.subject, self.tensor, self.entries, self.cases, self.size = subject, tensor, entries, cases, size
        self.estimates = estimates
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
            oracle: verdict.compare(self.claimed, found.derivative, found.uncertainty, self.rounding, self.resolved, self.size)
            for oracle, found in self.estimates.items()
        }

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
        tie, inside, outside = self._tie()
        counts = self._counts(inside, outside)
        row: Any = {
            "name": self.tensor,
            "shape": list(self.shape),
            "entries": int(np.prod(self.shape)),
            "checked": sum(counts.values()) - counts["undecided"],
            **counts,
            "diagnosis": None,
            "tie": None if tie is None else verdict.first_wrong_tie(self.claimed, tie, outside, self.shape, self.entries),
            "alone": verdict.count_alone(self.derivatives, self.judgements, self.rounding),
            "sensitivity": finite_or_none(np.max(visible, where=np.isfinite(visible), initial=0) or np.inf),
            "oracles": {
                oracle: verdict.summary(judgement, self.claimed, self.derivatives[oracle], self.shape, self.entries)
                for oracle, judgement in self.judgements.items()
            },
            "directions": self._along_directions(),
            "taylor": None,
        }
        if with_taylor:
            row["taylor"] = self._along_taylor(row, seed)
        return row | {"verdict": verdict.verdict_of_tensor(row)}

    def _tie(self) -> tuple[OneSided | None, Array, Array]:
        """The one-sided derivatives where there are some, and which entries (entries,) lie between them, and which beyond."""
        for found in self.estimates.values():
            if found.tie is not None:
                exact = [self.derivatives[oracle] for oracle in verdict.EXACT_ORACLES if oracle in self.estimates]
                return found.tie, *verdict.judge_ties(self.claimed, found.tie, exact, self.rounding)
        return None, np.zeros(len(self.entries), bool), np.zeros(len(self.entries), bool)

    def _counts(self, inside: Array, outside: Array) -> dict[str, int]:
        """How many entries there are of each verdict."""
        if not self.judgements:
            return dict.fromkeys(verdict.VERDICTS, 0) | {"undecided": len(self.entries)}
        crossed = np.any([found.crossed for found in self.estimates.values()], axis=0)  # (entries,)
        return verdict.count_verdicts(self.judgements, crossed, inside, outside, self.subject.switched, self.subject.of_twins)

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
        c = verdict.compare(claimed, along.derivative, along.uncertainty, np.sqrt(variances), self.resolved, self.size)
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
        claimed, uncertainty = (
            np.asarray(of[self.tensor], np.float64) for of in (self.cases[-1].claimed, self.cases[-1].rounding)
        )
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
        entry by the first oracle the error of each step."""
        errors = np.full(int(np.prod(self.shape)), np.nan)
        if self.judgements:
            errors[self.entries] = verdict.worst_over_allowed(self.judgements)
        drawn: dict[str, Any] = {"errors": errors.reshape(self.shape), "sweep": None}
        if row["oracles"]:
            index = next(iter(row["oracles"].values()))["worst"]["index"]
            entry = int(np.ravel_multi_index(index, self.shape)) if index else 0
            exact = float(self.best[-1][np.searchsorted(self.entries, entry)])
            with contextlib.suppress(OutOfTime):
                drawn["sweep"] = {"index": index, **self.subject.sweep(self.tensor, entry, exact)}
        return drawn

    def truth(self) -> Truth | None:
        """What is known of the right gradient; None where no oracle was asked."""
        if not self.estimates:
            return None
        deciding = {oracle: judgement.decided for oracle, judgement in self.judgements.items()}
        return truth_of(self.estimates, deciding, self.rounding, self.entries, self.shape)
