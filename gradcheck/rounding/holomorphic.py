"""Whether a cost stays a complex function of complex parameters, which the complex step needs, or takes a modulus somewhere.

`abs`, `norm`, `var`, `sign`, conjugates and factorisations have no complex derivative: what passes through them is lost to
the complex step, and may be too little for a difference quotient to miss it. The real part is allowed: code branches on it,
and shifts logits by their largest.
"""

import numpy as np

from gradcheck.errors import UserError
from gradcheck.rounding.numpy_noise import as_method, plain, strip

UFUNCS = {np.absolute, np.conjugate, np.sign}
FUNCTIONS = {np.linalg.norm, np.var, np.std, np.nanvar, np.nanstd, np.cov, np.corrcoef, np.angle, np.vdot}
# Factors of A are those of A^H A or of its hermitian part, and are divided by moduli.
LINALG = (
    "cholesky",
    "eigh",
    "eigvalsh",
    "svd",
    "svdvals",
    "qr",
    "pinv",
    "lstsq",
    "slogdet",
    "cond",
    "matrix_norm",
    "vector_norm",
)
FUNCTIONS |= {getattr(np.linalg, name) for name in LINALG if hasattr(np.linalg, name)}


def refuse(name):
    raise UserError(f"{name} takes the modulus or the conjugate, and has no complex derivative")


class Watched(np.ndarray):
    """A complex array that refuses these functions, as all do that are computed from it."""

    var, std = as_method(np.var), as_method(np.std)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **keywords):
        if ufunc in UFUNCS and any(map(np.iscomplexobj, inputs)):
            refuse(f"np.{ufunc.__name__}")
        if out is not None:
            keywords["out"] = tuple(map(plain, out))
        return watched(getattr(ufunc, method)(*map(plain, inputs), **keywords))

    def __array_function__(self, function, types, arguments, keywords):
        if function in FUNCTIONS:
            refuse(f"np.{function.__name__}")
        return watched(function(*strip(arguments), **strip(keywords)))


def watched(value):
    """The same value, complex arrays as Watched ones."""
    if isinstance(value, list | tuple):
        return type(value)(map(watched, value))
    return np.asarray(value).view(Watched) if isinstance(value, np.ndarray | np.generic) and np.iscomplexobj(value) else value
