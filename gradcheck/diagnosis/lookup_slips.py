"""The mistake in the derivative of a lookup, such as `W[index]`: indices that repeat are counted once."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from gradcheck.arrays import Array
from gradcheck.diagnosis.operations import Call, Slip, with_derivative
from gradcheck.torch_if_there import is_tensor

# NumPy's and PyTorch's names of the operations that look up entries of an array.
LOOKUPS = {"getitem", "take", "take_along_axis", "index_select", "embedding", "gather"}


def counted_once(operation: str, call: Call, place: int) -> Iterator[Slip]:
    """Of a lookup in the argument at `place`: of the runs of an index its last alone hands the derivative on, or its first."""
    positions = positions_in(operation, call, place)
    if positions is None or np.unique(positions).size == positions.size:
        return
    words = (
        "the repeated indices of {text} are counted once in the gradient, as by `d[index] += ...`, though "
        f"{most_frequent(positions, np.shape(call.at(place)))}; `np.add.at(d, index, ...)` adds up all of them"
    )
    for mask in (last_ones(positions), first_ones(positions)):
        yield words, partial(masked, mask=mask.reshape(positions.shape))


def positions_in(operation: str, call: Call, place: int) -> Array | None:
    """Where in the argument at `place`, which is flattened, each entry of what a lookup returns comes from."""
    if operation not in LOOKUPS or call.keywords.get("max_norm") is not None:
        return None
    source = call.at(place)
    places = np.arange(float(np.prod(np.shape(source)))).reshape(np.shape(source))
    try:
        found = call.replacing(place, source.real.new_tensor(places) if is_tensor(source) else places).result()
    except Exception:  # it looks up no real numbers
        return None
    return np.asarray(found).astype(int)


def first_ones(positions: Array) -> Array:
    """Which of the positions, one after another, are the first of several equal ones."""
    mask = np.zeros(positions.size, bool)
    mask[np.unique(positions.ravel(), return_index=True)[1]] = True
    return mask


def last_ones(positions: Array) -> Array:
    """Which of the positions, one after another, are the last of several equal ones."""
    return first_ones(positions.ravel()[::-1])[::-1].copy()  # PyTorch takes no array that runs backwards


def masked(call: Call, mask: Array) -> Array:
    """What the operation returns, with the derivative of those entries alone where `mask` is true."""
    found = call.result()
    return with_derivative(found, found.imag * (found.imag.new_tensor(mask) if is_tensor(found) else mask))


def most_frequent(positions: Array, shape: tuple[int, ...]) -> str:
    """In words, which index of an array of this shape is looked up most often; of rows, that of the row."""
    counts = np.bincount(positions.ravel(), minlength=int(np.prod(shape))).reshape(shape)
    top = np.unravel_index(counts.argmax(), shape)
    axes = [axis for axis in range(len(shape)) if (counts != counts.take([0], axis)).any()]
    index = ", ".join(str(top[axis]) for axis in axes)
    subject = f"index {index}" if len(axes) == 1 else f"entry [{index}]" if axes else "every index"
    return f"{subject} occurs {counts.max()} times"
