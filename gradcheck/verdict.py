"""From errors to verdicts: one for each entry, counts for each tensor, one word for a network and for a run.

An entry agrees with an oracle when |hand - reference| <= max(RTOL (|hand| + |reference|), uncertainty), where the
uncertainty is the rounding of `rounding.py` plus the oracle's own. Written as a symmetric relative error,

    |hand - reference| / max(|hand| + |reference|, floor) <= RTOL,    floor = rounding / RTOL,

for an oracle without an error of its own. An entry is

    fail       where an oracle that could decide disagrees, or a number is not finite; but a central difference fails nothing
               that autograd and the complex step both confirm
    undecided  where no oracle could decide: its uncertainty is infinite or large against the tensor's derivatives, or
               a ReLU is active in float32 and not in float64
    kink       where the difference stencil first used crossed a ReLU kink, and the entry agrees all the same
    pass       otherwise
"""

from typing import NamedTuple

import numpy as np

RTOL = {"float64": 1e-11, "float32": 1e-4}

# An oracle that knows the derivatives of a tensor no better than to this share of their size is no judge of them.
DECISIVE = 1e-2

# The oracles that have no error but rounding.
EXACT = ("autograd", "complex-step")

# From best to worst: a tensor, a network and a run are as good as the worst of their parts.
VERDICTS = ("pass", "kink", "undecided", "fail")


class Comparison(NamedTuple):
    """Hand against one oracle, each (lambdas, entries): `absolute` and symmetric relative `error`, what was `allowed` of
    the latter, whether the oracle `decided`, and whether the two agree."""

    absolute: np.ndarray
    error: np.ndarray
    allowed: np.ndarray
    decided: np.ndarray
    agrees: np.ndarray


def compare(hand, reference, uncertainty, rounding, rtol, size):
    """Each entry of `hand` against `reference`, both (lambdas, entries); `rounding` and `size` are (lambdas, 1).

    `size` is that of the derivatives here: an oracle that is uncertain by more than DECISIVE of it decides nothing.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        absolute = np.abs(hand - reference)
        sum_of_both = np.abs(hand) + np.abs(reference)
        # The smallest normal number stands in where everything is exactly zero.
        scale = np.maximum(sum_of_both, np.maximum(rounding / rtol, np.finfo(np.float64).tiny))
        allowed = np.maximum(rtol * sum_of_both, rounding + uncertainty)
        finite = np.isfinite(hand)
        decided = (uncertainty + rounding <= DECISIVE * size) | ~finite
        agrees = (absolute <= allowed) & finite & np.isfinite(reference)
        return Comparison(absolute, absolute / scale, allowed / scale, decided, agrees)


def count(comparisons, crossed, switched=False):
    """The verdicts of a tensor's entries, as a dict of counts; the worst over lambdas. `crossed` is (entries,).

    `comparisons` is a dict by oracle. `switched` says that a ReLU is active in hand's dtype and not in float64, or the
    reverse: then no finite entry can fail. Where hand and both exact oracles agree, a difference quotient that does not is out
    of its depth, and fails nothing.
    """
    outvoted = np.zeros(len(crossed), bool)
    if all(oracle in comparisons for oracle in EXACT):
        outvoted = np.all([(comparisons[o].decided & comparisons[o].agrees).all(axis=0) for o in EXACT], axis=0)
    wrong = [c.decided & ~c.agrees & (~np.isfinite(c.absolute) | (not switched)) for c in comparisons.values()]
    fail = np.any([w.any(axis=0) for w in wrong], axis=0) & ~outvoted
    settled = np.any([(c.decided & c.agrees).all(axis=0) for c in comparisons.values()], axis=0)
    masks = {
        "pass": ~fail & settled & ~crossed,
        "fail": fail,
        "kink": ~fail & settled & crossed,
        "undecided": ~fail & ~settled,
    }
    return {verdict: int(mask.sum()) for verdict, mask in masks.items()}


def votes(hand, derivatives, comparisons, rounding, rtol):
    """Who stands alone against all others, as a dict of counts of entries, without those that never do.

    `derivatives` and `comparisons` are dicts by oracle. Only exact derivations vote against hand or each other; a central
    difference is alone where it could decide, and disagrees with a hand gradient that they confirm.
    """
    if not all(oracle in derivatives for oracle in EXACT):
        return {}
    first, second = (derivatives[oracle] for oracle in EXACT)
    nothing = np.zeros_like(hand)
    with np.errstate(invalid="ignore"):
        oracles_agree = compare(first, second, nothing, rounding, rtol, np.inf).agrees
    with_first, with_second = (comparisons[oracle].agrees for oracle in EXACT)
    alone = {
        "hand": ~with_first & ~with_second & oracles_agree,
        EXACT[0]: ~with_first & with_second & ~oracles_agree,
        EXACT[1]: with_first & ~with_second & ~oracles_agree,
    }
    for oracle, c in comparisons.items():
        if oracle not in EXACT:
            alone[oracle] = c.decided & ~c.agrees & with_first & with_second
    counts = {voter: int(where.any(axis=0).sum()) for voter, where in alone.items()}
    return {voter: entries for voter, entries in counts.items() if entries}


def summary(comparison, hand, reference, shape, entries):
    """The worst errors over all decided entries and lambdas, as JSON has them: None stands for what is not finite.

    "worst" is the entry furthest past its tolerance, or nearest to it; for its index, `shape` is that of the tensor and
    `entries` the flat indices of those compared.
    """
    c = comparison
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(c.absolute == 0, 0.0, c.error / c.allowed)
    ratio = np.where(np.isfinite(c.absolute), ratio, np.inf)
    ratio = np.where(c.decided, ratio, -1.0)
    at = np.unravel_index(ratio.argmax(), ratio.shape)
    index = np.unravel_index(entries[at[1]], shape) if shape else ()
    return {
        "max_abs_error": _number(np.max(c.absolute, where=c.decided, initial=0)),
        "max_rel_error": _number(np.max(c.error, where=c.decided, initial=0)),
        "worst": {
            "index": [int(i) for i in index],
            "manual": _number(hand[at]),
            "reference": _number(reference[at]),
            "rel_error": _number(c.error[at]),
            "allowed": _number(c.allowed[at]),
        },
    }


def _number(value):
    return float(value) if np.isfinite(value) else None


def overall(verdicts):
    """One verdict for a whole: "fail" if any part fails, else "undecided" if any is, else "pass": a kink is verified."""
    found = max(verdicts, key=VERDICTS.index)
    return "pass" if found == "kink" else found
