"""Labels that are smoothed on one side only, in the cost or in its gradient, or by different shares.

Smoothed by a share e, labels y of K classes are (1 - e) * y + e / K. What a gradient is of is found by the share that fits it.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gradcheck.arrays import Array
from gradcheck.diagnosis.lookup_slips import LOOKUPS, positions_in
from gradcheck.diagnosis.operations import Call, Fit, Slip, carries, flat, with_derivative
from gradcheck.torch_if_there import imported_torch, is_tensor

# How far numbers may be off that are the same.
SAME = 1e-6


class Labels(NamedTuple):
    """Labels: which class is the right one (True along `axis`), what each sums to, and the share by which they are smoothed."""

    hard: Array
    axis: int
    total: float
    share: float

    def smoothed(self, share: float) -> Array:
        """The same, smoothed by another share."""
        return self.total * ((1 - share) * self.hard + share / self.hard.shape[self.axis])


def smoothings(operation: str, call: Call) -> Iterator[Slip]:
    """All of one operation: with an array of labels, with indices of labels, or with both parts of a smoothed cost."""
    for place, value in enumerate(flat(call.arguments)):
        labels = None if carries(value) else labels_in(value)
        if labels is not None:
            yield "", Fit(partial(with_labels, place=place, labels=labels), partial(in_words, of_cost=labels.share))
    if operation in ("cross_entropy", "nll_loss"):
        share = float(call.keywords.get("label_smoothing", 0))
        yield "", Fit(cross_entropy, partial(in_words, of_cost=share))
    elif operation in ("add", "subtract") and call.carriers() == [0, 1] and not call.keywords:
        for place in (0, 1):
            yield "", Fit(partial(of_one_term, place=place), partial(of_one_term_in_words, place=place))
    else:
        yield from picked_labels(operation, call)


def labels_in(value: Any) -> Labels | None:
    """The labels that an array is: along an axis one entry is the largest, all others are equal, and all labels alike."""
    if not isinstance(value, np.ndarray) and not is_tensor(value):
        return None
    array = np.real(np.asarray(value.detach().cpu() if is_tensor(value) else value)).astype(float)
    for axis in reversed(range(array.ndim)):
        if array.shape[axis] < 2 or array.size < 3:
            continue
        totals = array.sum(axis=axis)
        total = float(totals.flat[0])
        if not total or not np.allclose(totals, total, rtol=SAME, atol=0):
            continue
        shares, classes = array / total, array.shape[axis]
        off = float(shares.min())
        hard = shares > off + SAME
        smooth = off + hard * (1 - classes * off)
        if off > -SAME and (hard.sum(axis=axis) == 1).all() and np.allclose(shares, smooth, rtol=0, atol=SAME):
            return Labels(hard, axis, total, off * classes)
    return None


def with_labels(call: Call, share: float, place: int, labels: Labels) -> Any:
    """What the operation returns with labels smoothed by this share."""
    value, changed = call.at(place), labels.smoothed(share)
    return call.replacing(place, value.new_tensor(changed) if is_tensor(value) else changed.astype(value.dtype)).result()


def cross_entropy(call: Call, share: float) -> Any:
    """PyTorch's cross-entropy with labels smoothed by this share, of logits or of the logarithms of probabilities."""
    torch = imported_torch()
    assert torch is not None
    keywords = call.keywords | {"label_smoothing": share}
    return torch.nn.functional.cross_entropy(*call.arguments, **keywords)


def picked_labels(operation: str, call: Call) -> Iterator[Slip]:
    """Of each label's class an entry is picked, as by `logp[np.arange(n), labels]`, or that of one label, in a loop."""
    places = call.carriers()
    if len(places) != 1 or operation not in LOOKUPS:
        return
    for axis in reversed(range(np.ndim(call.at(places[0])))):
        if lines_of_picked(operation, call, places[0], axis) is not None:
            change = partial(with_picked, operation=operation, place=places[0], axis=axis)
            yield "", Fit(change, partial(in_words, of_cost=0.0))


def lines_of_picked(operation: str, call: Call, place: int, axis: int) -> Array | None:
    """Where among all lines along an axis those are that one entry each was picked from; None where that is not so.

    All lines are picked from, not all at the same index, or a single one is.
    """
    positions, shape = positions_in(operation, call, place), np.shape(call.at(place))
    if positions is None or not positions.size:
        return None
    indices = np.unravel_index(positions.ravel(), shape)
    others = np.arange(np.prod(shape) // shape[axis]).reshape([1 if k == axis else size for k, size in enumerate(shape)])
    lines = np.broadcast_to(others, shape)[indices]
    if lines.size > 1 and (lines.size != others.size or np.unique(indices[axis]).size < 2):
        return None
    return lines if np.unique(lines).size == lines.size else None


def with_picked(call: Call, share: float, operation: str, place: int, axis: int) -> Any:
    """What is picked, with the derivative of labels that are smoothed, of logits, log-probabilities or probabilities."""
    lines = lines_of_picked(operation, call, place, axis)
    assert lines is not None
    z, y = call.at(place), call.result()
    value, derivative, picked, of_picked = (np.asarray(part) for part in (z.real, z.imag, y.real, y.imag))
    are_probabilities = (value > 0).all() and np.allclose(value.sum(axis=axis), 1, rtol=SAME)
    uniform = (derivative / value if are_probabilities else derivative).mean(axis=axis).ravel()[lines].reshape(picked.shape)
    changed = (1 - share) * of_picked + share * (uniform * picked if are_probabilities else uniform)
    return with_derivative(y, z.imag.new_tensor(changed) if is_tensor(z) else changed)


def of_one_term(call: Call, factor: float, place: int) -> Any:
    """A sum whose derivative is that of one of its terms alone, times a factor."""
    changed = call.without(1 - place).result()
    return with_derivative(changed, factor * changed.imag)


def of_one_term_in_words(factor: float, place: int) -> str | None:
    """A cost that is smoothed by a share e weights its terms with 1 - e and e."""
    share = 1 - 1 / factor if factor > 1 else 0.0
    if share < 1e-3 or abs(float(f"{share:.3g}") - share) > SAME * share:
        return None
    path = f"the path through {{operands[{1 - place}]}} in {{text}} is missing, and the one through {{operands[{place}]}}"
    return f"{path} is divided by 1 - {share:.3g}, as where the cost smooths labels by {share:.3g} and the gradient does not"


def in_words(share: float, of_cost: float) -> str | None:
    """The sentence on labels that the cost smooths by one share and the gradient by another; None where they are none."""
    if not -SAME < share < 1 or abs(share - of_cost) < SAME:
        return None
    if of_cost < SAME:
        return f"the labels of the cost are hard in {{text}}, and the gradient has them smoothed by {share:.4g}"
    other = "takes them hard" if share < SAME else f"by {share:.4g}"
    return f"the cost smooths the labels in {{text}} by {of_cost:.4g}, and the gradient {other}"
