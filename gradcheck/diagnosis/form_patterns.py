"""Suspicions of the form of a gradient alone: where its numbers stand, and what they are multiplied by.

Each function yields suspicions, the simplest first; `claimed` and `reference` are of the tensor's shape.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from gradcheck.arrays import Array
from gradcheck.diagnosis.explanation import UNEXPLAINED, Suspicion, projection

# The bits of a float32 that are 0 in all numbers so short that they are no sign of it.
LOW_BITS = np.uint32(0x3F)

# Shares that dropout commonly drops; 1/2 is a factor of its own.
DROPPED = (0.1, 0.2, 0.25, 0.3, 0.4, 0.6, 0.7)


def forms(
    claimed: Array, reference: Array, rounding: float, gradients: Mapping[str, Array], name: str, penalty: Array | None = None
) -> Iterator[Suspicion]:
    """All suspicions of the form of a tensor of which every entry is known.

    `gradients` are the right ones of all tensors, by name; `penalty` is what a penalty adds to this one, if there is one.
    """
    differs = where_wrong(claimed, reference, rounding)
    yield from single_entry(claimed, reference, differs)
    yield from lost_precision(claimed, reference, rounding)
    for other, gradient in gradients.items():
        # A gradient that is all rounding would be taken for any zero, and one number for any other.
        if other != name and gradient.shape == claimed.shape and claimed.size > 1 and np.abs(gradient).max() > rounding:
            yield Suspicion(f"it is the gradient of {other}", gradient)
    yield from clipped(claimed, reference)
    yield from added_constant(claimed, reference)
    if claimed.ndim > 1 and claimed.shape[-1] == claimed.shape[-2]:
        yield Suspicion("it is transposed", reference.swapaxes(-1, -2))
    if claimed.ndim > 2:
        yield Suspicion("its last two axes are reversed, as of a kernel that is not flipped", reference[..., ::-1, ::-1])
    for axis in range(claimed.ndim):
        yield from single_line(claimed, differs, axis, rounding, penalty)
    if claimed.ndim == 2:
        yield from permuted_lines(claimed, reference)


def where_wrong(claimed: Array, reference: Array, rounding: Array | float) -> Array:
    """Where the two differ by more than rounding and than what an explanation may leave."""
    error = np.abs(claimed - reference)
    return error > np.maximum(rounding, UNEXPLAINED * error.max())


def single_entry(claimed: Array, reference: Array, differs: Array) -> Iterator[Suspicion]:
    """One entry alone is wrong."""
    where = np.argwhere(differs)
    if len(where) == 1 and claimed.size > 1:
        index = tuple(where[0])
        factor = factor_in_words(claimed[index], reference[index])
        yield Suspicion(f"the single entry [{', '.join(map(str, index))}] is wrong{factor}", claimed, vague=True)


def lost_precision(claimed: Array, reference: Array, rounding: float) -> Iterator[Suspicion]:
    """All numbers are those of a shorter type, and use its last bits; where rounding is as coarse they are of that type."""
    size = np.abs(reference).max()
    close = np.allclose(claimed, reference, rtol=1e-5, atol=1e-5 * size)
    if not close or rounding > 1e-2 * np.finfo(np.float32).eps * size:
        return
    with np.errstate(over="ignore"):
        in_float32 = claimed.astype(np.float32)
    long = np.count_nonzero(in_float32.view(np.uint32) & LOW_BITS)  # round numbers are float32 as well
    if (in_float32 == claimed).all() and long > 1:
        yield Suspicion("its numbers are float32: somewhere the precision is lost", claimed)


def clipped(claimed: Array, reference: Array) -> Iterator[Suspicion]:
    """Several entries are at a bound, and several below it: with fewer, any wrong entry would be called a clipped one."""
    bound = np.abs(claimed).max()
    at_bound, below = np.abs(reference) > bound, (np.abs(reference) < bound) & (reference != 0)
    if min(np.count_nonzero(at_bound), np.count_nonzero(below)) > 1:
        yield Suspicion("it is clipped at its largest entry", reference.clip(-bound, bound), fitted=1)


def added_constant(claimed: Array, reference: Array) -> Iterator[Suspicion]:
    """The same number is added to each entry."""
    constant = (claimed - reference).mean()
    yield Suspicion(f"the constant {constant:.6g} is added to each entry", reference + constant, fitted=1)


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
        yield Suspicion(f"{line} zero", claimed)
    if penalty is not None and np.abs(np.take(claimed - penalty, lines[0], axis)).max() <= rounding:
        yield Suspicion(f"{line} zero, apart from the penalty", claimed)
    yield Suspicion(f"{line} wrong", claimed, vague=True)


def permuted_lines(claimed: Array, reference: Array) -> Iterator[Suspicion]:
    """The rows of a matrix, or its columns, stand in another order."""
    for axis, word in ((0, "rows"), (1, "columns")):
        order = order_of_lines(claimed, reference, axis)
        if order is not None:
            moved = [str(k) for k in np.flatnonzero(order != np.arange(len(order)))]
            yield Suspicion(f"its {word} are permuted: {', '.join(moved[:6])}{'...' if len(moved) > 6 else ''}", claimed)


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


def times(c: float, words: str, reference: Array) -> Suspicion:
    """It is multiplied by c."""
    return Suspicion(f"it is multiplied by {words}", c * reference, amplifies=abs(c))


def other_factor(claimed: Array, reference: Array) -> Iterator[Suspicion]:
    """It is multiplied by any other factor, by regression."""
    c = projection(claimed, reference)
    whole = round(1 / c) if c else 0
    short = f"1/{whole}" if abs(whole) > 1 and abs(whole * c - 1) < 1e-6 else f"{c:.6g}"
    words = short if abs(c - 1) > 1e-4 else f"(1 {c - 1:+.1e})"
    yield times(c, words, reference)._replace(fitted=1, vague=True)


def dropout_scales() -> Iterator[tuple[float, str]]:
    """What a gradient is multiplied by where dropout's scale is missing, too much or squared: (number, words)."""
    for p in DROPPED:
        for power, words in ((1, "1 - p"), (-1, "1/(1 - p)"), (-2, "1/(1 - p) squared")):
            yield (1 - p) ** power, f"{(1 - p) ** power:.6g}, as {words} of a dropout with p = {p} would"


def factor_and_term(claimed: Array, reference: Array, parameter: Array, name: str) -> Iterator[Suspicion]:
    """It is a * reference + b * parameter: a factor that a penalty has not, or the penalty of another cost."""
    both = np.stack([np.ravel(reference), np.ravel(parameter)], axis=1)  # (entries, 2)
    sizes = np.maximum(np.abs(both).max(axis=0), np.finfo(float).tiny)
    found, _, rank, _ = np.linalg.lstsq(both / sizes, np.ravel(claimed), rcond=1e-6)
    if rank == 2:
        a, b = found / sizes
        words = (
            f"it is {a:.6g} * the right gradient {'-' if b < 0 else '+'} {abs(b):.6g} * {name}: a factor is wrong, and so is a "
            f"term in {name}, such as a penalty, or the factor is not on it"
        )
        yield Suspicion(words, a * reference + b * parameter, fitted=2, amplifies=abs(a))
