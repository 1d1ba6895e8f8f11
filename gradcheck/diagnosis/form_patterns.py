"""Suspicions of the form of a gradient alone: where its numbers stand, and what they are multiplied by.

Each function yields suspicions, the simplest first; `claimed` and `reference` are of the tensor's shape.
"""

from collections.abc import Iterator

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.diagnosis.explanation import UNEXPLAINED, Suspicion, projection


def forms(
    claimed: Array, reference: Array, rounding: float, gradients: Arrays, name: str, penalty: Array | None = None
) -> Iterator[Suspicion]:
    """All suspicions of the form.

    `gradients` are the right ones of all tensors, by name; `penalty` is what a penalty adds to this one, if there is one.
    """
    differs = np.abs(claimed - reference) > max(rounding, UNEXPLAINED * np.abs(claimed - reference).max())
    yield from single_entry(claimed, reference, differs)
    yield from lost_precision(claimed, reference)
    for other, gradient in gradients.items():
        # A gradient that is all rounding would be taken for any zero.
        if other != name and gradient.shape == claimed.shape and np.abs(gradient).max() > rounding:
            yield f"it is the gradient of {other}", gradient
    if claimed.any():
        yield "it is clipped at its largest entry", reference.clip(-np.abs(claimed).max(), np.abs(claimed).max())
    yield f"the constant {(claimed - reference).flat[0]:.6g} is added to each entry", reference + (claimed - reference).mean()
    if claimed.ndim > 1 and claimed.shape[-1] == claimed.shape[-2]:
        yield "it is transposed", reference.swapaxes(-1, -2)
    if claimed.ndim > 2:
        yield "its last two axes are reversed, as of a kernel that is not flipped", reference[..., ::-1, ::-1]
    for axis in range(claimed.ndim):
        yield from single_line(claimed, differs, axis, rounding, penalty)
    if claimed.ndim == 2:
        yield from permuted_lines(claimed, reference)


def single_entry(claimed: Array, reference: Array, differs: Array) -> Iterator[Suspicion]:
    """One entry alone is wrong."""
    where = np.argwhere(differs)
    if len(where) == 1 and claimed.size > 1:
        index = tuple(where[0])
        factor = factor_in_words(claimed[index], reference[index])
        yield f"the single entry [{', '.join(map(str, index))}] is wrong{factor}", claimed


def lost_precision(claimed: Array, reference: Array) -> Iterator[Suspicion]:
    """All numbers are those of a shorter type."""
    close = np.allclose(claimed, reference, rtol=1e-5, atol=1e-5 * np.abs(reference).max())
    with np.errstate(over="ignore"):
        in_float32, in_float16 = ((claimed.astype(dtype) == claimed).all() for dtype in (np.float32, np.float16))
    if close and in_float32 and not in_float16:  # round numbers are both
        yield "its numbers are float32: somewhere the precision is lost", claimed


def single_line(claimed: Array, differs: Array, axis: int, rounding: float, penalty: Array | None) -> Iterator[Suspicion]:
    """One row (axis 0), column or slice alone is wrong, in more than one entry."""
    if claimed.ndim < 2 or claimed.shape[axis] < 2 or np.count_nonzero(differs) < 2:
        return
    lines = np.flatnonzero(differs.any(axis=tuple(other for other in range(claimed.ndim) if other != axis)))
    if len(lines) != 1:
        return
    word = ("row", "column")[axis] if claimed.ndim == 2 else f"axis {axis}, index"
    line = f"{word} {lines[0]} alone is"
    if not np.take(claimed, lines[0], axis).any():
        yield f"{line} zero", claimed
    if penalty is not None and np.abs(np.take(claimed - penalty, lines[0], axis)).max() <= rounding:
        yield f"{line} zero, apart from the penalty", claimed
    yield f"{line} wrong", claimed


def permuted_lines(claimed: Array, reference: Array) -> Iterator[Suspicion]:
    """The rows of a matrix, or its columns, stand in another order."""
    for axis, word in ((0, "rows"), (1, "columns")):
        order = order_of_lines(claimed, reference, axis)
        if order is not None:
            moved = [str(k) for k in np.flatnonzero(order != np.arange(len(order)))]
            yield f"its {word} are permuted: {', '.join(moved[:6])}{'...' if len(moved) > 6 else ''}", claimed


def order_of_lines(claimed: Array, reference: Array, axis: int) -> Array | None:
    """The order of the reference's rows (axis 0) or columns that gives `claimed`, or None."""
    lines, right_lines = (np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1) for g in (claimed, reference))
    fingerprint = np.random.default_rng(0).standard_normal(lines.shape[1])
    order = np.empty(len(lines), int)
    order[np.argsort(lines @ fingerprint)] = np.argsort(right_lines @ fingerprint)
    close = np.abs(lines - right_lines[order]).max() <= UNEXPLAINED * np.abs(claimed - reference).max()
    return order if close else None


def factor_in_words(wrong: float, right: float) -> str:
    """ ", (1 + 1.0e-06) times what it should be": few digits, which are the same at every lambda."""
    if not right:
        return ""
    ratio = wrong / right
    return f", {f'(1 {ratio - 1:+.1e})' if abs(ratio - 1) < 1e-2 else f'{ratio:.4g}'} times what it should be"


def other_factor(claimed: Array, reference: Array) -> Iterator[Suspicion]:
    """It is multiplied by any other factor, by regression."""
    c = projection(claimed, reference)
    yield f"it is multiplied by {c:.6g}" if abs(c - 1) > 1e-4 else f"it is multiplied by (1 {c - 1:+.1e})", c * reference
