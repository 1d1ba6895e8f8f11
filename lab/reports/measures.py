"""How each report measured the error of its gradient against its differences.

Each measure takes both gradients, claimed and numerical, as dicts of arrays by tensor, and returns its numbers by name.
"""

from collections.abc import Callable

import numpy as np

Gradients = dict[str, np.ndarray]

# "A very small positive number" of the course's formula, as report 002 chose it.
EPS = 1e-8


def allclose(claimed: Gradients, numerical: Gradients) -> dict[str, float]:
    """Report 000: whether `np.allclose` holds at two absolute tolerances, with no relative one."""
    return {
        f"allclose, atol {atol}": all(np.allclose(claimed[k], numerical[k], rtol=0, atol=float(atol)) for k in claimed)
        for atol in ("1e-5", "1e-6")
    }


def relative_by_tensor(claimed: Gradients, numerical: Gradients) -> dict[str, float]:
    """Report 001 with the course's formula: max |a - n| / max(eps, |a| + |n|) of each tensor."""
    return {k: course_error(claimed[k], numerical[k]) for k in claimed}


def relative(claimed: Gradients, numerical: Gradients) -> dict[str, float]:
    """Report 002: the same over all tensors."""
    return {"max relative": max(relative_by_tensor(claimed, numerical).values())}


def relative_to_larger(claimed: Gradients, numerical: Gradients) -> dict[str, float]:
    """Report 004: max |a - n| / max(|a|, |n|), where exactly 0 against exactly 0 is no error."""
    errors = []
    for a, n in ((claimed[k], numerical[k]) for k in claimed):
        larger = np.maximum(np.abs(a), np.abs(n))
        errors.append(np.max(np.abs(a - n)[larger > 0] / larger[larger > 0], initial=0))
    return {"max relative": float(max(errors))}


def absolute(claimed: Gradients, numerical: Gradients) -> dict[str, float]:
    """Report 003: mean, standard deviation and maximum of |a - n|, and the range of a, for W and for b."""
    numbers: dict[str, float] = {}
    for name in ("W", "b"):
        a, n = claimed[f"{name}1"], numerical[f"{name}1"]
        error = np.abs(a - n)
        numbers |= {f"{name} mean error": float(error.mean()), f"{name} std error": float(error.std())}
        numbers |= {f"{name} max error": float(error.max())}
        numbers |= {f"{name} gradient min": float(a.min()), f"{name} gradient max": float(a.max())}
        numbers |= {f"{name} gradient std": float(a.std())}
    return numbers


def course_error(a: np.ndarray, n: np.ndarray) -> float:
    """The course's formula for one tensor."""
    return float(np.max(np.abs(a - n) / np.maximum(EPS, np.abs(a) + np.abs(n))))


MEASURES: dict[str, Callable[[Gradients, Gradients], dict[str, float]]] = {
    measure.__name__: measure for measure in (allclose, relative_by_tensor, relative, relative_to_larger, absolute)
}
