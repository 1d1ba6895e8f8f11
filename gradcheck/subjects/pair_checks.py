"""What a pair has to be, and what its functions have to return, in sentences where it is something else."""

import inspect
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import UserError
from gradcheck.faults import kind_of, listed, numbers
from gradcheck.torch_if_there import array_of, is_tensor

A_NUMBER = "it has to be a single number"


def check_types(pair: Any) -> None:
    """Raises UserError where something of a `Pair` is of the wrong type."""
    if not isinstance(pair.parameters, dict):
        raise UserError(f"parameters is {kind_of(pair.parameters)}; it has to be a dict of arrays by name")
    if not pair.parameters:
        raise UserError("parameters is empty; it has to be a dict of arrays by name")
    for name in pair.parameters:
        if not isinstance(name, str):
            raise UserError(f"parameters has the name {name!r}, {kind_of(name)}; names have to be strings")
        if not name.isprintable():
            raise UserError(f"parameters has the name {name!r}; names have to be printable")
    for name in ("cost", "gradients", "reference"):
        function = getattr(pair, name)
        if function is not None or name != "reference":
            check_function(name, function)


def check_tolerance(tolerance: Any, names: Sequence[str]) -> None:
    """Raises UserError where a tolerance is not a number between 0 and 1 by the name of a parameter."""
    if not isinstance(tolerance, Mapping):
        example = f'{{"{names[0]}": 1e-6}}'
        raise UserError(f"tolerance is {kind_of(tolerance)}; it has to be a dict of numbers by parameter, such as {example}")
    for name, value in tolerance.items():
        if name not in names:
            raise UserError(f"tolerance has the name {name!r}, which is no parameter; the parameters are {listed(names)}")
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
            raise UserError(
                f"tolerance of {name} is {value!r}; it has to be a number over 0 and under 1, a share of the largest derivative"
            )


def check_function(name: str, function: Any) -> None:
    """Raises UserError where it can't be called with the parameters alone."""
    if not callable(function):
        raise UserError(f"{name} is {kind_of(function)}; it has to be a function of parameters")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of what is written in C, nothing may be known
        return
    try:
        signature.bind({})
    except TypeError as error:
        code = getattr(inspect.unwrap(function), "__code__", None)
        where = f" in {Path(code.co_filename).name}, line {code.co_firstlineno}," if code else ""
        raise UserError(
            f"{name}{signature}{where} can't be called with one argument, a dict of the parameters; make it {name}(parameters)"
        ) from error


def check_parameter(name: str, value: Any, in_torch: bool) -> None:
    """Raises UserError where a parameter is no array or tensor of finite float64 or float32 numbers."""
    if is_tensor(value) != in_torch:
        raise UserError(f"parameter {name}: all have to be arrays, or all tensors")
    if not in_torch and not isinstance(value, np.ndarray):
        raise UserError(f"parameter {name} is {kind_of(value)}; it has to be a NumPy array or a PyTorch tensor")
    if isinstance(value, np.matrix | np.ma.MaskedArray):
        raise UserError(f"parameter {name} is {kind_of(value)}; it has to be a plain array, as np.asarray({name}) is")
    if in_torch and (str(value.layout) != "torch.strided" or value.device.type == "meta"):
        raise UserError(f"parameter {name} is a sparse tensor, or one without numbers; it has to be a dense one")
    if str(value.dtype).removeprefix("torch.") not in ("float64", "float32"):
        raise UserError(f"parameter {name} has dtype {value.dtype}; it has to be float64 or float32, in native byte order")
    array = numpy_of(value)
    if not array.size:
        raise UserError(f"parameter {name} is empty: its shape is {array.shape}")
    if not np.isfinite(array).all():
        raise UserError(f"parameter {name} is not finite everywhere")


def a_number(what: str, value: Any) -> float | complex:
    """A float, or a complex number where the value is one. Raises UserError where it is no single number."""
    array = None if isinstance(value, list | tuple) else numbers(value)
    if array is None:
        raise UserError(f"{what} is {kind_of(value)}; {A_NUMBER}")
    if array.shape:
        raise UserError(f"{what} has shape {array.shape}; {A_NUMBER}{', as its sum or its mean is' if array.size > 1 else ''}")
    if array.dtype.kind not in "fiubc":
        raise UserError(f"{what} has dtype {array.dtype}; {A_NUMBER}")
    return complex(array) if array.dtype.kind == "c" else float(array)


def numpy_of(value: Any) -> Array:
    """An array of the same numbers, without a copy if it can."""
    return array_of(value) if is_tensor(value) else np.asanyarray(value)
