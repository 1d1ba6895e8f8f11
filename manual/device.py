"""Where the arrays of the NumPy twin live: NumPy's in memory, CuPy's on a GPU, behind the same NumPy functions."""

import numpy as np

from errors import UserError


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


def to_numpy(array):
    """The same numbers in NumPy; CuPy's arrays say `get` for it."""
    return array.get() if hasattr(array, "get") else array
