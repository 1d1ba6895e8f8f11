"""From errors to verdicts: one for each entry, counts for each tensor, one word for a network and for a run.

An entry agrees with an oracle when |claimed - reference| <= rounding + uncertainty: what floating-point rounding may do to that
very entry (`rounding.py`), and the oracle's own error there. No tolerance is chosen by anybody. An entry is

    fail       where an oracle that could decide disagrees, or a number is not finite; but a difference quotient fails nothing
               that autograd and the complex step both confirm, and at an exact tie what lies between the one-sided
               derivatives is no error
    undecided  where no oracle could decide: what it allows is infinite or large against the tensor's derivatives, or
               a ReLU is active in float32 and not in float64
    kink       where the difference stencil first used crossed a kink, and the entry agrees all the same
    pass       otherwise
"""

from typing import NamedTuple

import numpy as np

# For display alone: the relative error of an entry is taken against no less than its rounding divided by this, so that
# 1e-30 against 2e-30, where all is rounding, does not read as an error of 0.3.
RESOLVED = {"float64": 1e-11, "float32": 1e-4}

# An oracle that knows the derivatives of a tensor no better than to this share of their size is no judge of them.
DECISIVE = 1e-2

# The oracles that have no error but rounding.
EXACT_ORACLES = ("autograd", "complex-step")

# From best to worst: a tensor, a network and a run are as good as the worst of their parts.
VERDICTS = ("pass", "kink", "undecided", "fail")


class Comparison(NamedTuple):
    """Hand against one oracle, each (cases, entries): `absolute` and symmetric relative `error`, what was `allowed` of the
    latter, the smallest relative error that would `show`, whether the oracle `decided`, and whether the two agree."""

    absolute: np.ndarray
    error: np.ndarray
    allowed: np.ndarray
    shows: np.ndarray
    decided: np.ndarray
    agrees: np.ndarray


def compare(claimed, reference, uncertainty, rounding, resolved, size):
    """Each entry of `claimed` against `reference`; all are (cases, entries), `size` may be (cases, 1).

    `size` is that of the derivatives here: an oracle that allows more than DECISIVE of it decides nothing.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        absolute = np.abs(claimed - reference)
        sum_of_both = np.abs(claimed) + np.abs(reference)
        # The smallest normal number stands in where everything is exactly zero.
        scale = np.maximum(sum_of_both, np.maximum(rounding / resolved, np.finfo(np.float64).tiny))
        allowed = rounding + uncertainty
        finite = np.isfinite(claimed)
        # Where all derivatives are 0, nothing is small against them: 0 by an exact oracle is decided all the same.
        decided = (allowed <= DECISIVE * size) | ~finite | ((claimed == 0) & (reference == 0) & (uncertainty == 0))
        agrees = (absolute <= allowed) & finite & np.isfinite(reference)
        # What differs already is at most what is allowed, where the entry is right.
        shows = (allowed + np.minimum(absolute, allowed)) / np.abs(reference)
        return Comparison(absolute, absolute / scale, allowed / scale, shows, decided, agrees)


def between(claimed, tie, exact, rounding):
    """Which entries lie at an exact tie: `claimed` (cases, entries) within what is right there in all cases, or beyond it.

    `tie` holds the one-sided derivatives `left`, `right` and their uncertainty `slack`, not a number where there is no tie;
    `rounding` is that of `claimed`.
    `exact` are the derivatives by the exact oracles, a list: where several ReLUs are tied, the two conventions, all inactive
    (theirs) and all active (left + right - theirs), need not lie between the one-sided derivatives, and are right as well.
    """
    ends = [tie.left, tie.right]
    for derivative in exact:
        ends += [derivative, tie.left + tie.right - derivative]
    slack = tie.slack + rounding
    with np.errstate(invalid="ignore"):
        inside = (claimed >= np.min(ends, axis=0) - slack) & (claimed <= np.max(ends, axis=0) + slack)  # (cases, entries)
    known = np.isfinite(tie.left + tie.right + slack)  # a further kink on one side leaves that side unknown
    return inside.all(axis=0), (known & ~inside).any(axis=0)


def beyond_tie(claimed, tie, outside, shape, entries):
    """The first entry that is `outside` (entries,) of what is right at a tie, with both one-sided derivatives, or None."""
    if not outside.any():
        return None
    entry = outside.argmax()
    case = np.isfinite(tie.left[:, entry]).argmax()
    index = [int(i) for i in np.unravel_index(entries[entry], shape)] if shape else []
    sides = {"left": finite_or_none(tie.left[case, entry]), "right": finite_or_none(tie.right[case, entry])}
    return {"index": index, "claimed": finite_or_none(claimed[case, entry])} | sides


def count(comparisons, crossed, inside, outside, switched=False):
    """The verdicts of a tensor's entries, as a dict of counts; the worst over cases. `crossed`, `inside` and `outside`, of
    `between`, are (entries,).

    `comparisons` is a dict by oracle. `switched` says that a ReLU is active in claimed's dtype and not in float64, or the
    reverse: then no finite entry can fail. Where claimed and the exact oracles agree, a difference quotient that does not fails
    nothing: it is out of its depth if there are two of them, and leaves the entry undecided if there is one.
    """
    confirms = {o: (c.decided & c.agrees).all(axis=0) for o, c in comparisons.items()}  # (entries,) each
    wrong = {
        o: (c.decided & ~c.agrees & (~np.isfinite(c.absolute) | (not switched))).any(axis=0) for o, c in comparisons.items()
    }
    exact = [oracle for oracle in EXACT_ORACLES if oracle in comparisons]
    outvoted = np.all([confirms[oracle] for oracle in exact], axis=0) if exact else np.zeros(len(crossed), bool)
    fail = np.any(list(wrong.values()), axis=0) & ~outvoted & ~inside | outside
    settled = np.any(list(confirms.values()), axis=0) | inside
    if len(exact) == 1:
        # One exact oracle against a difference that could decide: nobody is there to say which of them is out of its depth.
        settled &= ~(outvoted & np.any(list(wrong.values()), axis=0))
    masks = {
        "pass": ~fail & settled & ~crossed,
        "fail": fail,
        "kink": ~fail & settled & crossed,
        "undecided": ~fail & ~settled,
    }
    return {verdict: int(mask.sum()) for verdict, mask in masks.items()}


def visible_errors(comparisons, reference):
    """The smallest relative error that would have shown in each entry, whichever oracle sees best, the worst of all cases.

    (entries,); infinity where no oracle could decide, or the derivative, `reference` (cases, entries), is 0 or all rounding.
    """
    with np.errstate(invalid="ignore"):
        best = np.min([np.where(c.decided & np.isfinite(c.shows), c.shows, np.inf) for c in comparisons.values()], axis=0)
    # A case in which the derivative is exactly 0 says nothing of relative errors, unless it is so in all.
    best = np.where(reference == 0, -1.0, best).max(axis=0)
    return np.where(best < 0, np.inf, best)


def ratio(comparison):
    """|claimed - reference| over what is allowed; infinity where it is not finite."""
    c = comparison
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.isfinite(c.absolute), np.where(c.absolute == 0, 0.0, c.error / c.allowed), np.inf)


def worst_ratio(comparisons):
    """|claimed - reference| over what is allowed, the worst of all oracles that could decide and all cases: (entries,)."""
    ratios = np.concatenate([np.where(c.decided, ratio(c), np.nan) for c in comparisons.values()])
    known = ~np.isnan(ratios)
    return np.where(known.any(axis=0), np.max(ratios, axis=0, where=known, initial=0), np.nan)


def votes(derivatives, comparisons, rounding):
    """Who stands alone against all others, as a dict of counts of entries, without those that never do.

    `derivatives` and `comparisons` are dicts by oracle. Only exact derivations vote against claimed or each other; a difference
    quotient is alone where it could decide, and disagrees with a claimed gradient that they confirm.
    """
    if not all(oracle in derivatives for oracle in EXACT_ORACLES):
        return {}
    first, second = (derivatives[oracle] for oracle in EXACT_ORACLES)
    asked = (
        comparisons[EXACT_ORACLES[0]].decided & comparisons[EXACT_ORACLES[1]].decided
    )  # where a sample left one out, nobody votes
    with np.errstate(invalid="ignore"):
        oracles_agree = (np.abs(first - second) <= rounding) & asked
    with_first, with_second = (comparisons[oracle].agrees for oracle in EXACT_ORACLES)
    alone = {
        "claimed": ~with_first & ~with_second & oracles_agree,
        EXACT_ORACLES[0]: ~with_first & with_second & ~oracles_agree & asked,
        EXACT_ORACLES[1]: with_first & ~with_second & ~oracles_agree & asked,
    }
    for oracle, c in comparisons.items():
        if oracle not in EXACT_ORACLES:
            alone[oracle] = c.decided & ~c.agrees & with_first & with_second & asked
    counts = {voter: int(where.any(axis=0).sum()) for voter, where in alone.items()}
    return {voter: entries for voter, entries in counts.items() if entries}


def summary(comparison, claimed, reference, shape, entries):
    """The worst errors over all decided entries and cases, as JSON has them: None stands for what is not finite.

    "worst" is the entry furthest past its tolerance, or nearest to it; for its index, `shape` is that of the tensor and
    `entries` the flat indices of those compared.
    """
    c = comparison
    ratios = np.where(c.decided, ratio(c), -1.0)
    at = np.unravel_index(ratios.argmax(), ratios.shape)
    index = np.unravel_index(entries[at[1]], shape) if shape else ()
    return {
        "max_abs_error": finite_or_none(np.max(c.absolute, where=c.decided, initial=0)),
        "max_rel_error": finite_or_none(np.max(c.error, where=c.decided, initial=0)),
        "worst": {
            "index": [int(i) for i in index],
            "claimed": finite_or_none(claimed[at]),
            "reference": finite_or_none(reference[at]),
            "rel_error": finite_or_none(c.error[at]),
            "allowed": finite_or_none(c.allowed[at]),
        },
    }


def finite_or_none(value):
    """A float for JSON, which has no others than finite ones."""
    return float(value) if np.isfinite(value) else None


def of_tensor(row):
    """The verdict on a tensor from its row: of its entries, of the directions over what a sample left out, of Taylor."""
    if any(part and part["fail"] for part in (row, row["directions"])) or (row["taylor"] or {}).get("verdict") == "fail":
        return "fail"
    return overall(verdict for verdict in VERDICTS if row[verdict])


def overall(verdicts):
    """One verdict for a whole: "fail" if any part fails, else "undecided" if any is, else "pass": a kink is verified."""
    found = max(verdicts, key=VERDICTS.index)
    return "pass" if found == "kink" else found
