"""How each report measured the distance of its gradient from its differences; both are dicts of arrays by tensor."""

import numpy as np

# "A very small positive number" of the course's formula, as report 002 chose it.
EPS = 1e-8


def allclose(claimed, numerical):
    """Report 000: `np.allclose` at two absolute tolerances, with no relative one."""
    return {
        f"allclose, atol {atol}": all(np.allclose(claimed[k], numerical[k], rtol=0, atol=float(atol)) for k in claimed)
        for atol in ("1e-5", "1e-6")
    }


def relative_by_tensor(claimed, numerical):
    """Report 001 with the course's formula: max |a - n| / max(eps, |a| + |n|) of each tensor."""
    return {k: course_error(claimed[k], numerical[k]) for k in claimed}


def relative(claimed, numerical):
    """Report 002: the same over all tensors."""
    return {"max relative": max(relative_by_tensor(claimed, numerical).values())}


def relative_to_larger(claimed, numerical):
    """Report 004: max |a - n| / max(|a|, |n|), where exactly 0 against exactly 0 is no error."""
    errors = []
    for a, n in ((claimed[k], numerical[k]) for k in claimed):
        larger = np.maximum(np.abs(a), np.abs(n))
        errors.append(np.max(np.abs(a - n)[larger > 0] / larger[larger > 0], initial=0))
    return {"max relative": float(max(errors))}


def absolute(claimed, numerical):
    """Report 003: mean, standard deviation and maximum of |a - n|, and the range of a, for W and for b."""
    found = {}
    for name in ("W", "b"):
        a, n = claimed[f"{name}1"], numerical[f"{name}1"]
        found |= {f"{name} {word} error": float(getattr(np.abs(a - n), word)()) for word in ("mean", "std", "max")}
        found |= {f"{name} gradient {word}": float(getattr(a, word)()) for word in ("min", "max", "std")}
    return found


def course_error(a, n):
    """The course's formula for one tensor."""
    return float(np.max(np.abs(a - n) / np.maximum(EPS, np.abs(a) + np.abs(n))))


MEASURES = {f.__name__: f for f in (allclose, relative_by_tensor, relative, relative_to_larger, absolute)}
