"""Real functions that NumPy does not continue to complex numbers, beside the real line: what the complex step needs of them.

`abs`, norms, variances, conjugates, signs and roundings are of real numbers in a cost, and NumPy takes a modulus, or nothing at
all, of complex ones. Each function here takes z = x + ih and returns f(x) + ih f'(x) to first order in h. What is not here and
has no complex derivative, such as a factorisation, is refused.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import UserError


def refuse(name: str) -> NoReturn:
    """Raises UserError: the function of this name has no complex derivative."""
    raise UserError(f"{name} takes the modulus or the conjugate, and has no complex derivative")


def sign_of(z: Array) -> Array:
    """1 or -1: at 0 that of the right, so that a slope that is infinite there does not pass for 0."""
    return np.where(np.real(z) >= 0, 1.0, -1.0)


def absolute(z: Array) -> Array:
    return z * sign_of(z)


def constant_in_pieces(jumping: Callable[..., Any]) -> Callable[..., Array]:
    """Of a function that jumps and is constant in between: its derivative is 0."""
    return lambda z, *others: jumping(np.real(z), *map(np.real, others)) + 0j


def hypot(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y)


def arctan2(y: Array, x: Array) -> Array:
    turned = np.real(x) * np.imag(y) - np.real(y) * np.imag(x)
    return np.arctan2(np.real(y), np.real(x)) + 1j * turned / (np.real(x) ** 2 + np.real(y) ** 2)


def logaddexp(x: Array, y: Array) -> Array:
    value = np.logaddexp(np.real(x), np.real(y))
    return value + 1j * (np.exp(np.real(x) - value) * np.imag(x) + np.exp(np.real(y) - value) * np.imag(y))


def cbrt(z: Array) -> Array:
    return sign_of(z) * absolute(z) ** (1 / 3)


def log1p(z: Array) -> Array:
    return np.log1p(np.real(z)) + 1j * np.imag(z) / (1 + np.real(z))


def expm1(z: Array) -> Array:
    return np.expm1(np.real(z)) + 1j * np.imag(z) * np.exp(np.real(z))


def expit(z: Array) -> Array:
    exp = np.exp(-absolute(z))
    return np.where(np.real(z) >= 0, 1, exp) / (1 + exp)


# By the names of ufuncs.
UFUNCS: dict[str, Callable[..., Any]] = {
    "absolute": absolute,
    "fabs": absolute,
    "conjugate": np.positive,
    "hypot": hypot,
    "arctan2": arctan2,
    "logaddexp": logaddexp,
    "cbrt": cbrt,
    "log1p": log1p,  # NumPy's own loses the real part where that is small
    "expm1": expm1,
    "expit": expit,  # of scipy.special
}
UFUNCS |= {
    jumping.__name__: constant_in_pieces(jumping)
    for jumping in (np.sign, np.floor, np.ceil, np.trunc, np.rint, np.heaviside, np.floor_divide)
}


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """`getattr(ufunc, method)(*inputs, **keywords)`, continued where an input is complex; all arrays are plain ones."""
    continued = UFUNCS.get(ufunc.__name__) if method == "__call__" and any(map(np.iscomplexobj, inputs)) else None
    if continued is None:
        return without_overflow(getattr(ufunc, method)(*inputs, **keywords))
    value = without_overflow(continued(*inputs))
    if "out" not in keywords:
        return value
    (out,) = keywords["out"]
    np.copyto(out, value, where=keywords.get("where", True))
    return out


def without_overflow(value: Any) -> Any:
    """The value, without an imaginary part where the real one is infinite: 1 / (1 + exp(800)) is 0 then, as without one."""
    if not np.iscomplexobj(value) or not np.isinf(np.real(value)).any():
        return value
    if not isinstance(value, np.ndarray):
        return type(value)(value.real)
    value.imag[np.isinf(value.real)] = 0
    return value


def continued_ufunc(ufunc: np.ufunc, method: str) -> Callable[..., Any]:
    """`call_ufunc` of a ufunc and one of its methods, as a function."""
    return lambda *inputs, **keywords: call_ufunc(ufunc, method, inputs, keywords)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    x = np.asarray(x)
    of_vectors = x.ndim == 1 or isinstance(axis, int)
    if ord is None or ord == "fro" or (ord == 2 and of_vectors):
        return np.sqrt((x * x).sum(axis=axis, keepdims=keepdims))
    if not of_vectors or ord == 0:
        refuse("np.linalg.norm of a matrix")
    if np.isinf(ord):
        return (absolute(x).max if ord > 0 else absolute(x).min)(axis=axis, keepdims=keepdims)
    return (absolute(x) ** ord).sum(axis=axis, keepdims=keepdims) ** (1 / ord)


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    a = np.asarray(a, dtype)
    mean = a.mean(axis=axis, keepdims=True, where=where) if mean is None else mean
    squares = np.sum((a - mean) ** 2, axis, keepdims=keepdims, where=where)
    count = np.sum(np.broadcast_to(where, a.shape), axis, keepdims=keepdims)
    return put(squares / (count - (ddof if correction is None else correction)), out)


def std(*arguments: Any, **keywords: Any) -> Any:
    found = np.sqrt(var(*arguments, **{name: value for name, value in keywords.items() if name != "out"}))
    return put(found, keywords.get("out"))


def put(value: Any, out: Any) -> Any:
    """The value, in `out` where that is an array."""
    if out is None:
        return value
    out[...] = value
    return out


def vdot(a: Any, b: Any) -> Any:
    return (np.ravel(a) * np.ravel(b)).sum()


FUNCTIONS: dict[Any, Callable[..., Any]] = {np.linalg.norm: norm, np.var: var, np.std: std, np.vdot: vdot} | {
    rounding: constant_in_pieces(rounding) for rounding in (np.round, np.around, np.fix)
}
# Factors of A are those of A^H A or of its hermitian part, and are divided by moduli. Not every NumPy has all of them.
LINALG = "cholesky eigh eigvalsh svd svdvals qr pinv lstsq slogdet cond matrix_norm vector_norm"
REFUSED = {np.nanvar, np.nanstd, np.cov, np.corrcoef, np.angle} | {
    getattr(np.linalg, name) for name in LINALG.split() if hasattr(np.linalg, name)
}


def call_function(function: Any, arguments: Any, keywords: Any) -> Any:
    """`function(*arguments, **keywords)`, a function of NumPy, of plain arrays, some complex. Raises UserError if refused."""
    if function in REFUSED:
        refuse(f"{function.__module__.replace('numpy', 'np')}.{function.__name__}")
    return FUNCTIONS.get(function, function)(*arguments, **keywords)


def continued_function(function: Any) -> Callable[..., Any]:
    """`call_function` of a function."""
    return lambda *arguments, **keywords: call_function(function, arguments, keywords)
