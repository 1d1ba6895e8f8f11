"""Which entry stands for a tensor in an oracle's row of the result: one that shows why the tensor has its verdict."""

from collections.abc import Mapping

import numpy as np

from gradcheck.arrays import Array
from gradcheck.result import Comparison, WorstEntry, finite_or_none
from gradcheck.verdict import Judgement, Judgements, accusing, index_of

NO_ENTRY: WorstEntry = {"index": None, "claimed": None, "reference": None, "rel_error": None, "allowed": None}

# Which entries have each verdict, (entries,) each, as `verdict.verdict_masks` makes them.
Masks = Mapping[str, Array]


def against_oracle(
    judgement: Judgement, masks: Masks, switched: bool, claimed: Array, reference: Array, shape: tuple[int, ...], entries: Array
) -> Comparison:
    """The row of an oracle. What it says does not count where it is outvoted, or right all the same at an exact tie.

    The worst entry is one of those that it makes fail; in a tensor without any, one that is undecided; then one that it
    confirms. `switched` is that of the subject; for its index, `shape` is that of the tensor and `entries` (entries,) the flat
    indices of those compared.
    """
    wrong = accusing(judgement, switched) & masks["fail"]  # (cases, entries)
    right = judgement.decided & judgement.agrees & (masks["pass"] | masks["kink"])
    undecided = np.broadcast_to(masks["undecided"] & ~masks["fail"].any(), right.shape)
    shown = next((where for where in (wrong, undecided) if where.any()), right)
    return summary(judgement, shown, wrong | right, claimed, reference, shape, entries)


def summary(
    judgement: Judgement,
    shown: Array,
    counted: Array,
    claimed: Array,
    reference: Array,
    shape: tuple[int, ...],
    entries: Array,
) -> Comparison:
    """The largest errors of the entries that are `counted`, and the worst entry of those that may be `shown`, as JSON has
    them: None stands for what is not finite.

    All are (cases, entries). The worst is furthest past what is allowed, or nearest to it.
    """
    j = judgement
    return {
        "max_abs_error": finite_or_none(np.max(j.absolute, where=counted, initial=0)),
        "max_rel_error": finite_or_none(np.max(j.error, where=counted, initial=0)),
        "worst": worst_entry(j, shown, claimed, reference, shape, entries) if shown.any() else NO_ENTRY,
    }


def worst_entry(
    judgement: Judgement, shown: Array, claimed: Array, reference: Array, shape: tuple[int, ...], entries: Array
) -> WorstEntry:
    ratios = np.where(shown, judgement.over_allowed(), -1.0)
    case, entry = np.unravel_index(ratios.argmax(), ratios.shape)
    return {
        "index": index_of(entries[entry], shape),
        "claimed": finite_or_none(claimed[case, entry]),
        "reference": finite_or_none(reference[case, entry]),
        "rel_error": finite_or_none(judgement.error[case, entry]),
        "allowed": finite_or_none(judgement.allowed[case, entry]),
    }


def worst_over_allowed(judgements: Judgements, masks: Masks) -> Array:
    """|claimed - reference| over what is allowed, the worst of all oracles that count and all cases: (entries,).

    Not a number where an entry is undecided, 0 where only an exact tie makes it right, and over 1 where it fails.
    """
    decided = {oracle: np.where(j.decided, j.over_allowed(), 0.0).max(axis=0) for oracle, j in judgements.items()}
    agreed = [np.where((j.decided & j.agrees).all(axis=0), decided[oracle], 0.0) for oracle, j in judgements.items()]
    wrong = np.maximum(np.max(list(decided.values()), axis=0), np.nextafter(1, 2))
    return np.select([masks["fail"], masks["undecided"]], [wrong, np.nan], np.max(agreed, axis=0))
