"""Complex arrays through which NumPy code computes its complex derivative, with `continuation.py` for what NumPy does not.

The real part is allowed: code branches on it, and shifts logits by their largest.
"""

from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.rounding.continuation import call_function, call_ufunc
from gradcheck.rounding.numpy_noise import as_method, plain, rebuilt, with_plain_arrays


class HolomorphicArray(np.ndarray):
    """A complex array of which functions keep their derivative or are refused, as are all arrays computed from it."""

    var: Any = as_method(np.var)
    std: Any = as_method(np.std)
    round: Any = as_method(np.round)
    conj: Any = as_method(np.conjugate)
    conjugate: Any = as_method(np.conjugate)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] | None = None, **keywords: Any
    ) -> Any:
        if out is not None:
            keywords["out"] = tuple(map(plain, out))
        return as_holomorphic(call_ufunc(ufunc, method, tuple(map(plain, inputs)), keywords))

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        return as_holomorphic(call_function(function, with_plain_arrays(arguments), with_plain_arrays(keywords)))

    def __getitem__(self, index: Any) -> Any:
        """As of any array; a single number is an array of no dimensions, whose modulus is continued too."""
        return as_holomorphic(super().__getitem__(index))


def as_holomorphic(value: Any) -> Any:
    """The same value, with its complex arrays as HolomorphicArrays."""
    if isinstance(value, list | tuple):
        return rebuilt(value, [*map(as_holomorphic, value)])
    if isinstance(value, np.ndarray | np.generic) and np.iscomplexobj(value):
        array: Array = np.asarray(value)
        return array.view(HolomorphicArray)
    return value
