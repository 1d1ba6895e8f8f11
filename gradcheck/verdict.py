"""From errors to verdicts: one for each entry, counts for each tensor, one word for a network and for a run.

An entry agrees with an oracle when |claimed - reference| <= rounding + uncertainty: what floating-point rounding may do to that
very entry (see `rounding/`), and the oracle's own error there. Nothing is added but what the user asks for. An entry is

    fail       where an oracle that could decide disagrees, or a number is not finite; but none alone fails what an exact
               oracle confirms, and at an exact tie what lies between the one-sided derivatives is no error
    undecided  where no oracle could decide: what it allows is infinite or large against the tensor's derivatives, or
               a ReLU is active in float32 and not in float64
    kink       where the difference stencil first used crossed a kink, and the entry agrees all the same
    pass       otherwise
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import OneSided
from gradcheck.result import TensorRow, Tie, Verdict, finite_or_none

# For display alone: the relative error of an entry is taken against no less than its rounding divided by this, so that
# 1e-30 against 2e-30, where all is rounding, does not read as an error of 0.3.
RESOLVED = {"float64": 1e-11, "float32": 1e-4}

# An oracle that knows the derivatives of a tensor no better than to this share of their size is no judge of them.
DECISIVE = 1e-2

# The oracles that have no error but rounding.
EXACT_ORACLES = ("autograd", "complex-step")

# From best to worst: a tensor, a network and a run are as good as the worst of their parts.
VERDICTS = ("pass", "kink", "undecided", "fail")


class Judgement(NamedTuple):
    """The claimed gradient against one oracle, each (cases, entries).

    `absolute` and symmetric relative `error`, what was `allowed` of the latter, the smallest relative error that would have
    been `visible`, whether the oracle `decided`, and whether the two agree.
    """

    absolute: Array
    error: Array
    allowed: Array
    visible: Array
    decided: Array
    agrees: Array

    def over_allowed(self) -> Array:
        """|claimed - reference| over what is allowed, (cases, entries); infinity where it is not finite."""
        with np.errstate(invalid="ignore", divide="ignore"):
            finite = np.where(self.absolute == 0, 0.0, self.error / self.allowed)
            return np.where(np.isfinite(self.absolute), finite, np.inf)


Judgements = Mapping[str, Judgement]


def compare(
    claimed: Array,
    reference: Array,
    uncertainty: Array,
    rounding: Array,
    resolved: float,
    size: Array | float,
    *,
    tolerated: Array | float = 0.0,
) -> Judgement:
    """Compares each entry of `claimed` with `reference`, which is known up to `uncertainty`; all are (cases, entries).

    `rounding` is what rounding may change in `claimed`, `resolved` that of its dtype in RESOLVED. `size`, which may be
    (cases, 1), is the size of the derivatives here: an oracle that allows more than DECISIVE of it decides nothing, unless the
    claim is that far away. `tolerated` is allowed on top because somebody asked for it, and does not make an oracle unsure.
    Errors are relative to the entry; where it is smaller than what is allowed, as where it is 0, to `size`.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        absolute = np.abs(claimed - reference)
        sum_of_both = np.abs(claimed) + np.abs(reference)
        known_to = rounding + uncertainty
        allowed = known_to + tolerated
        # The smallest normal number stands in where everything is exactly zero.
        scale = np.maximum(sum_of_both, np.maximum(rounding / resolved, np.finfo(np.float64).tiny))
        scale = np.where(allowed > sum_of_both, np.fmax(scale, size), scale)
        finite = np.isfinite(claimed)
        # Where all derivatives are 0, no tolerance is small against them: 0 by an exact oracle is decided all the same.
        decided = (known_to <= DECISIVE * np.fmax(size, absolute)) | ~finite
        decided |= (claimed == 0) & (reference == 0) & (uncertainty == 0)
        agrees = (absolute <= allowed) & finite & np.isfinite(reference)
        # What differs already is at most what is allowed, where the entry is right.
        visible = (allowed + np.minimum(absolute, allowed)) / np.abs(reference)
        # Division may round the two to the same number.
        beyond = np.where(absolute > allowed, np.nextafter(allowed / scale, np.inf), 0.0)
        return Judgement(absolute, np.maximum(absolute / scale, beyond), allowed / scale, visible, decided, agrees)


def judge_ties(claimed: Array, tie: OneSided, exact: Sequence[Array], rounding: Array | float) -> tuple[Array, Array]:
    """Which entries at an exact tie are right there, and which are wrong: (entries,) each; the rest lies at no tie.

    `claimed` (cases, entries) is right within the one-sided derivatives in all cases; `rounding` is what rounding may change
    in it. `exact` are the derivatives by the exact oracles: where several ReLUs are tied, the two conventions, all inactive
    (that of the oracle) and all active (left + right less that), need not lie between the one-sided derivatives, and are right
    as well.
    """
    ends = [tie.left, tie.right]
    for derivative in exact:
        ends += [derivative, tie.left + tie.right - derivative]
    slack = tie.slack + rounding
    with np.errstate(invalid="ignore"):
        inside = (claimed >= np.min(ends, axis=0) - slack) & (claimed <= np.max(ends, axis=0) + slack)  # (cases, entries)
    known = np.isfinite(tie.left + tie.right + slack)  # a further kink on one side leaves that side unknown
    return inside.all(axis=0), (known & ~inside).any(axis=0)


def first_tie(claimed: Array, tie: OneSided, where: Array, shape: tuple[int, ...], entries: Array) -> Tie | None:
    """The first entry at a tie of those `where` (entries,) is true, with both one-sided derivatives, or None.

    For its index, `shape` is that of the tensor and `entries` (entries,) the flat indices of those compared.
    """
    if not where.any():
        return None
    entry = where.argmax()
    case = np.isfinite(tie.left[:, entry]).argmax()
    return {
        "index": index_of(entries[entry], shape),
        "claimed": finite_or_none(claimed[case, entry]),
        "left": finite_or_none(tie.left[case, entry]),
        "right": finite_or_none(tie.right[case, entry]),
    }


def accusing(judgement: Judgement, switched: bool = False) -> Array:
    """Where the oracle says that the claim is wrong, (cases, entries); where a ReLU is `switched`, of no finite entry."""
    return judgement.decided & ~judgement.agrees & (~np.isfinite(judgement.absolute) | (not switched))


def verdict_masks(
    judgements: Judgements, crossed: Array, right_ties: Array, wrong_ties: Array, switched: bool = False, of_twins: bool = False
) -> dict[str, Array]:
    """Which of a tensor's entries have each verdict, the worst of all cases: (entries,) each.

    `judgements` are by oracle; `crossed` (entries,) says where a difference crossed a kink, `right_ties` and `wrong_ties`
    (entries,) are those of `judge_ties`. `switched` says that a ReLU is active in claimed's dtype and not in float64, or the
    reverse: then no finite entry can fail. Where an exact oracle confirms the claim, another that stands against it, or a
    difference quotient, does not fail the entry, but both together do. A difference quotient against the only exact oracle
    there is leaves the entry undecided. `of_twins` says that what autograd differentiates is under test as well: then each
    exact oracle fails the entry by itself.
    """
    confirms = {oracle: (j.decided & j.agrees).all(axis=0) for oracle, j in judgements.items()}  # (entries,) each
    accuses = {oracle: accusing(j, switched).any(axis=0) for oracle, j in judgements.items()}  # (entries,) each
    exact, differences = ([o for o in judgements if (o in EXACT_ORACLES) is is_exact] for is_exact in (True, False))
    nowhere = np.zeros(len(crossed), bool)
    exact_accuses, exact_confirms = (np.any([of[o] for o in exact] or [nowhere], axis=0) for of in (accuses, confirms))
    difference_accuses = np.any([accuses[o] for o in differences] or [nowhere], axis=0)
    fail = (
        exact_accuses & (~exact_confirms | difference_accuses | of_twins) | difference_accuses & ~exact_confirms
    ) & ~right_ties
    fail |= wrong_ties
    settled = np.any([nowhere, *confirms.values()], axis=0) | right_ties
    if len(exact) == 1:
        # One exact oracle against a difference that could decide: there is no third to say which of them is wrong.
        settled &= right_ties | ~difference_accuses
    return {
        "pass": ~fail & settled & ~crossed,
        "kink": ~fail & settled & crossed,
        "undecided": ~fail & ~settled,
        "fail": fail,
    }


def visible_errors(judgements: Judgements, reference: Array) -> Array:
    """The smallest relative error that would have been visible in each entry, by the best oracle, in the worst case.

    (entries,); infinity where no oracle could decide, or the derivative, `reference` (cases, entries), is 0 or all rounding.
    """
    with np.errstate(invalid="ignore"):
        by_oracle = [np.where(j.decided & np.isfinite(j.visible), j.visible, np.inf) for j in judgements.values()]
        best = np.min(by_oracle, axis=0)  # (cases, entries)
    # A case in which the derivative is exactly 0 says nothing of relative errors, unless it is so in all.
    best = np.where(reference == 0, -1.0, best).max(axis=0)  # (entries,)
    return np.where(best < 0, np.inf, best)


def alone_masks(derivatives: Mapping[str, Array], judgements: Judgements, rounding: Array | float) -> dict[str, Array]:
    """At which entries the claim, or one oracle, stands alone against all others: (entries,) each.

    `derivatives` (cases, entries) and `judgements` are by oracle. Only exact oracles vote against the claim or each other; a
    difference quotient is alone where it could decide, and disagrees with a claim that they confirm.
    """
    if not all(oracle in derivatives for oracle in EXACT_ORACLES):
        return {}
    first, second = (derivatives[oracle] for oracle in EXACT_ORACLES)
    agrees_with_first, agrees_with_second = (judgements[oracle].agrees for oracle in EXACT_ORACLES)
    # Where a sample left one out, there is no vote.
    both_vote = judgements[EXACT_ORACLES[0]].decided & judgements[EXACT_ORACLES[1]].decided
    with np.errstate(invalid="ignore"):
        oracles_agree = (np.abs(first - second) <= rounding) & both_vote
    alone = {
        "claimed": ~agrees_with_first & ~agrees_with_second & oracles_agree,
        EXACT_ORACLES[0]: ~agrees_with_first & agrees_with_second & ~oracles_agree & both_vote,
        EXACT_ORACLES[1]: agrees_with_first & ~agrees_with_second & ~oracles_agree & both_vote,
    }
    for oracle, j in judgements.items():
        if oracle not in EXACT_ORACLES:
            alone[oracle] = j.decided & ~j.agrees & agrees_with_first & agrees_with_second & both_vote
    return {name: where.any(axis=0) for name, where in alone.items()}


def index_of(entry: int, shape: tuple[int, ...]) -> list[int]:
    """The index of a flat `entry` in a tensor of `shape`, as JSON has it: empty for a scalar."""
    return [int(place) for place in np.unravel_index(entry, shape)] if shape else []


def verdict_of_tensor(row: TensorRow) -> Verdict:
    """The verdict on a tensor from its row: of its entries, of the directions over what a sample left out, of Taylor."""
    directions, taylor = row["directions"], row["taylor"]
    if row["fail"] or (directions and directions["fail"]) or (taylor and taylor["verdict"] == "fail"):
        return "fail"
    counts = {"pass": row["pass"], "kink": row["kink"], "undecided": row["undecided"]}
    return overall(verdict for verdict, count in counts.items() if count)


def overall(verdicts: Iterable[str]) -> Verdict:
    """One verdict for a whole: "fail" if any part fails, else "undecided" if any is, else "pass": a kink is verified.

    Example:
        >>> overall(["pass", "kink", "undecided"])
        'undecided'
    """
    worst = max(verdicts, key=VERDICTS.index)
    if worst == "fail":
        return "fail"
    return "undecided" if worst == "undecided" else "pass"
