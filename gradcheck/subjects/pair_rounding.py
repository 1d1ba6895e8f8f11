"""What rounding may change in each entry of a pair's gradient."""

from collections.abc import Callable

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.faults import describe_error, gradient_or_nan
from gradcheck.rounding.draws import SAFETY, UNIT
from gradcheck.rounding.numpy_noise import rounding_uncertainty_of_numpy
from gradcheck.subjects.pair import Calls
from gradcheck.torch_if_there import imported_torch


def rounding_of_pair(
    calls: Calls, broken: list[str], notes: list[str], scale: Callable[[str], float], at: Arrays | None = None
) -> dict[str, Array]:
    """The rounding uncertainty of the gradient by tensor, and that of the "cost" where a reference computes it.

    It is that at the parameters, or `at` others. Measured on the reference if there is one, so that a backward which loses
    digits shows; else on the claimed gradient itself, of which `broken` parts are not known. Where it raises beside the
    parameters nothing is known, and a note says so. Where nothing but the parameters can be rounded, what is computed may round
    by a digit of `scale(tensor)`, the size of a derivative by a tensor.
    """
    try:
        with np.errstate(invalid="ignore"):  # where the gradient is infinite, which fails it
            return measured(calls, broken, notes, scale, at or calls.parameters)
    except Exception as error:
        which = "reference" if calls.has_reference else "backward pass"
        notes.append(f"ROUNDING UNKNOWN: beside the parameters the {which} raised {describe_error(error)}")
        return {name: np.full(array.shape, np.inf) for name, array in calls.parameters.items()}


def measured(
    calls: Calls, broken: list[str], notes: list[str], scale: Callable[[str], float], inputs: Arrays
) -> dict[str, Array]:
    dtype, has_reference = calls.dtype, calls.has_reference
    if broken and not (has_reference or (calls.first and calls.first.gradients)):  # nothing came
        return {name: np.zeros(array.shape) for name, array in inputs.items()}

    def claimed(arrays: dict[str, Array]) -> dict[str, Array]:
        found = calls.claimed(arrays, dtype)
        return {name: gradient_or_nan(found, name, array.shape) for name, array in arrays.items()} if broken else found

    if not has_reference and not calls.in_torch:
        alone: list[Exception | None] = []
        found = rounding_uncertainty_of_numpy(claimed, inputs, dtype, alone.append)
        notes += [plain_arrays(error) for error in alone if error is not None]
        if alone and imported_torch():  # the arrays may be on their way to PyTorch
            from gradcheck.rounding.torch_noise import rounding_uncertainty

            alone.clear()
            found = rounding_uncertainty(claimed, inputs, dtype, lambda: alone.append(None))
        return {name: each + SAFETY * UNIT[dtype] * scale(name) for name, each in found.items()} if alone else found
    from gradcheck.rounding.torch_noise import rounding_uncertainty

    gradient = (lambda arrays: calls.reference(arrays, dtype)) if has_reference else claimed
    return rounding_uncertainty(gradient, inputs, dtype)


def plain_arrays(error: Exception) -> str:
    return f"ROUNDING OF THE PARAMETERS ALONE: on arrays that round at random the backward pass raised {describe_error(error)}"
