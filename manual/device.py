"""Where the arrays of the NumPy twin live: NumPy's in memory, CuPy's on a GPU, behind the same NumPy functions."""

import numpy as np

from gradcheck.errors import UserError


def array_module(device):
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


def take_rows(array, rows, out):
    """array[rows], written into `out`."""
    # NumPy fills a copy of `out` first unless it need not watch for wrong rows; CuPy has no such choice and never does.
    mode = {} if hasattr(array, "get") else {"mode": "clip"}
    return np.take(array, rows, axis=0, out=out, **mode)


def to_numpy(array):
    """The same numbers in NumPy; CuPy's arrays say `get` for it."""
    return array.get() if hasattr(array, "get") else array
