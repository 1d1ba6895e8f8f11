"""Whether a cost stays a complex function of complex parameters, which the complex step needs, or takes a modulus somewhere.

`abs`, `norm`, `var`, `sign`, conjugates and factorisations have no complex derivative: what passes through them is lost to
the complex step, and may be too little for a difference quotient to miss it. The real part is allowed: code branches on it,
and shifts logits by their largest.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import UserError
from gradcheck.rounding.numpy_noise import as_method, plain, rebuilt, with_plain_arrays

UFUNCS = {np.absolute, np.conjugate, np.sign}
FUNCTIONS: set[Callable[..., Any]] = {
    *(np.linalg.norm, np.var, np.std, np.nanvar, np.nanstd),
    *(np.cov, np.corrcoef, np.angle, np.vdot),
}
# Factors of A are those of A^H A or of its hermitian part, and are divided by moduli. Not every NumPy has all of them.
LINALG = "cholesky eigh eigvalsh svd svdvals qr pinv lstsq slogdet cond matrix_norm vector_norm"
FUNCTIONS |= {getattr(np.linalg, name) for name in LINALG.split() if hasattr(np.linalg, name)}


def refuse(name: str) -> NoReturn:
    """Raises UserError: the function of this name has no complex derivative."""
    raise UserError(f"{name} takes the modulus or the conjugate, and has no complex derivative")


class HolomorphicArray(np.ndarray):
    """A complex array that refuses functions without a complex derivative, as all arrays do that are computed from it."""

    var: Any = as_method(np.var)
    std: Any = as_method(np.std)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] | None = None, **keywords: Any
    ) -> Any:
        if ufunc in UFUNCS and any(map(np.iscomplexobj, inputs)):
            refuse(f"np.{ufunc.__name__}")
        if out is not None:
            keywords["out"] = tuple(map(plain, out))
        return holomorphic_only(getattr(ufunc, method)(*map(plain, inputs), **keywords))

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        if function in FUNCTIONS:
            refuse(f"np.{function.__name__}")
        return holomorphic_only(function(*with_plain_arrays(arguments), **with_plain_arrays(keywords)))


def holomorphic_only(value: Any) -> Any:
    """The same value, with its complex arrays as HolomorphicArrays."""
    if isinstance(value, list | tuple):
        return rebuilt(value, [*map(holomorphic_only, value)])
    if isinstance(value, np.ndarray | np.generic) and np.iscomplexobj(value):
        array: Array = np.asarray(value)
        return array.view(HolomorphicArray)
    return value
