"""What can be wrong with a gradient before any number of it is looked at, in sentences."""

import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.errors import one_line

# Where code stands that is not of the user: that of Python, of libraries, and of the checker.
LIBRARIES = (
    "<frozen",
    str(Path(__file__).parent),
    *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")},
)


def describe_error(error: BaseException) -> str:
    """What was raised, and where in the user's code: "ValueError in mlp.py, line 12: ..."."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__} in {Path(error.filename).name}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    frame = ([f for f in frames if not f.filename.startswith(LIBRARIES)] or frames)[-1]
    where = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    return f"{where}: {one_line(error)}" if str(error) else where


def holds_real_numbers(array: Any) -> bool:
    """Whether an array, or what becomes one, is of floating numbers, integers or truth values."""
    return np.asarray(array).dtype.kind in "fiub"


def misshapen(gradients: Mapping[str, Any], parameters: Arrays) -> Iterator[str]:
    """A sentence for each gradient that is missing, misshapen or not of numbers, or that belongs to no parameter."""
    for name, array in parameters.items():
        if name not in gradients:
            yield f"the gradient of {name} is missing"
        elif np.shape(gradients[name]) != array.shape:
            yield f"the gradient of {name} has shape {np.shape(gradients[name])}, {name} has {array.shape}"
        elif np.iscomplexobj(gradients[name]):
            yield f"the gradient of {name} is complex"
        elif not holds_real_numbers(gradients[name]):
            yield f"the gradient of {name} has dtype {np.asarray(gradients[name]).dtype}"
    for name in gradients:
        if name not in parameters:
            yield f"{name} has a gradient and is no parameter"


def changed_between_calls(first: Arrays, second: Arrays) -> Iterator[str]:
    """A sentence for each gradient that differs at a second call with the same parameters."""
    for name, gradient in first.items():
        if name not in second or not np.array_equal(gradient, second[name], equal_nan=True):
            yield f"the gradient of {name} is not the same twice: it depends on more than the parameters"


def gradient_or_nan(gradients: Mapping[str, Any], tensor: str, shape: tuple[int, ...]) -> Array:
    """The gradient of a tensor in float64; all not a number if it is missing or misshapen."""
    gradient = np.asarray(gradients.get(tensor, np.nan))
    fits = gradient.shape == shape and holds_real_numbers(gradient)
    return gradient.astype(np.float64) if fits else np.full(shape, np.nan)
