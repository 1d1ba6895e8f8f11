"""Where the arrays of the NumPy twin live: NumPy's in memory, CuPy's on a GPU, behind the same NumPy functions."""

from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import UserError


def array_module(device: str) -> Any:
    """NumPy for "cpu", CuPy for "cuda". Raises UserError where CuPy is missing."""
    if device == "cpu":
        return np
    try:
        import cupy
    except ImportError as error:
        raise UserError(
            "the manual twin on a GPU needs CuPy: pip install cupy-cuda12x (or cupy-cuda13x), or take --device cpu"
        ) from error
    return cupy


def take_rows(array: Array, rows: Array, out: Array) -> Array:
    """array[rows], written into `out`."""
    if hasattr(array, "get"):
        return np.take(array, rows, axis=0, out=out)
    # By default NumPy fills a copy of `out` first, to leave it alone where a row is wrong. CuPy has no such mode, and no need.
    return np.take(array, rows, axis=0, out=out, mode="clip")


def to_numpy(array: Any) -> Array:
    """The same numbers in NumPy; CuPy's arrays have the method `get` for it."""
    return array.get() if hasattr(array, "get") else array
