"""The error of each kind of difference quotient against its step, at one entry: for the page, no part of a verdict."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradcheck.result import finite_or_none

SWEEP_STEPS = np.logspace(-1, -15, 29)


def quotient_errors(cost: Callable[[complex], Any], exact: float, takes_complex: bool) -> dict[str, list[float | None]]:
    """Relative errors of the derivative `exact` by kind at SWEEP_STEPS, which are under "steps"; None is not finite.

    `cost(step)` is the cost with the entry moved by a real step, or a complex one where it `takes_complex`.
    """
    base = cost(0.0)
    found = {
        "forward-difference": [(cost(h) - base) / h for h in SWEEP_STEPS],
        "central-difference": [(cost(h) - cost(-h)) / (2 * h) for h in SWEEP_STEPS],
    }
    if takes_complex:
        found["complex-step"] = [np.imag(cost(1j * h)) / h for h in SWEEP_STEPS]
    scale = abs(exact) or 1.0
    errors = {kind: [finite_or_none(abs(value - exact) / scale) for value in values] for kind, values in found.items()}
    return {"steps": SWEEP_STEPS.tolist()} | errors
