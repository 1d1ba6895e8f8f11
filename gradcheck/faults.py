"""What can be wrong with a gradient before any number of it is looked at, in sentences."""

import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.errors import one_line
from gradcheck.torch_if_there import array_of, is_tensor

# Where code stands that is not of the user: that of Python, of libraries, and of the checker.
LIBRARIES = (
    "<frozen",
    str(Path(__file__).parent),
    *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")},
)

# How the sentence on a backward pass begins that changes its own parameters: what it returns may be right elsewhere alone.
IN_PLACE = "gradients changes its parameters in place"
# And the one on a backward pass that returns nothing.
RAISED = "the backward pass raised"


def describe_error(error: BaseException) -> str:
    """What was raised, and where in the user's code, if it was there: "ValueError in mlp.py, line 12: ..."."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__} in {Path(error.filename).name}, line {error.lineno}: {error.msg}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(LIBRARIES)]
    name = type(error).__name__
    where = f"{name} in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else name
    return f"{where}: {one_line(error)}" if one_line(error) != name else where


def kind_of(value: Any) -> str:
    """What a value is, in a sentence: "a list", "an int", "None"."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name.lower().startswith((*'aeiou', 'nd')) else 'a'} {name}"


def numbers(value: Any) -> Array | None:
    """The array that a value is or becomes, as a plain one; None where it becomes none, or where some of it is masked."""
    if isinstance(value, np.ndarray):
        return None if np.ma.is_masked(value) else np.asarray(value)
    try:
        array = array_of(value) if is_tensor(value) else np.asarray(value)
    except Exception:  # whatever an object that is no array does when it is asked for its numbers
        return None
    return array if isinstance(value, np.generic) or array.dtype.kind in "fiubc" else None


def wrong_form(gradient: Any, tensor: str, shape: tuple[int, ...]) -> str | None:
    """What is wrong with the gradient of a tensor of this shape, before a number of it is looked at; None if nothing is."""
    array = numbers(gradient)
    if array is None:
        return f"is {kind_of(gradient)}; it has to be an array of shape {shape}"
    if array.shape != shape:
        return f"has shape {array.shape}, {tensor} has {shape}"
    if array.dtype.kind == "c":
        return "is complex"
    return None if array.dtype.kind in "fiub" else f"has dtype {array.dtype}"


def misshapen(gradients: Mapping[str, Any], parameters: Arrays) -> Iterator[str]:
    """A sentence for each gradient that is missing, misshapen or not of numbers, or that belongs to no parameter."""
    for name, array in parameters.items():
        if name not in gradients:
            yield f"the gradient of {name} is missing"
        elif wrong := wrong_form(gradients[name], name, array.shape):
            yield f"the gradient of {name} {wrong}"
    for name in gradients:
        if name not in parameters:
            yield f"{name} has a gradient and is no parameter"


def never_came(faults: Sequence[str], tensor: str) -> bool:
    """Whether one of these sentences says that no gradient of the tensor came, or none of its form."""
    return any(fault.startswith((RAISED, f"the gradient of {tensor} ")) for fault in faults)


def gradient_or_nan(gradients: Mapping[str, Any], tensor: str, shape: tuple[int, ...]) -> Array:
    """The gradient of a tensor in float64; all not a number if it is missing or misshapen."""
    gradient = gradients.get(tensor)
    array = None if wrong_form(gradient, tensor, shape) else numbers(gradient)
    return np.full(shape, np.nan) if array is None else array.astype(np.float64)


def changes_in_place(who: str, names: list[str]) -> str:
    """A sentence on parameters that a function changes although it is only given them."""
    return f"{who} changes its parameters in place: {listed(names)}; it may only read what it is given"


def counted(count: int, noun: str) -> str:
    """ "1 entry", "1,234 entries", "2 calls"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def listed(names: Sequence[str]) -> str:
    """ "W1, b1 and W2"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
