"""The Taylor test: along a direction v, what the claimed gradient g leaves of the cost must vanish with the square of the step.

    R(h) = |J(w + h v) - J(w) - h g.v| = O(h^2) for a right gradient, |h (J' - g).v| + O(h^2) for a wrong one

R against h on logarithmic axes is a line of slope 2, or of slope 1. At small steps rounding covers it, at large ones kinks
and higher orders: the test finds the window in between, and where there is none it says so and is inconclusive.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from gradcheck.arrays import Array
from gradcheck.result import Taylor, TaylorDirection, finite_or_none

TAYLOR_STEPS = np.logspace(0, -10, 31)
DIRECTIONS = 2

# A remainder counts where it is so many times the rounding error of the cost.
ABOVE_ROUNDING = 100
# The window starts at the smallest step that counts: there an error of first order is largest against the second.
WINDOW, FEWEST = 7, 4
# Slopes from here up are those of a right gradient, slopes to there those of a wrong one.
RIGHT, WRONG = 1.9, 1.5

# `costs_along(direction, steps) -> costs (steps,), crossed (steps,)`, for a direction of the tensor's shape.
CostsAlong = Callable[[Array, Array], tuple[Array, Array]]


def unit_directions(shape: tuple[int, ...], seed: int | Sequence[int]) -> Array:
    """DIRECTIONS random directions of norm 1 in the space of a tensor, (DIRECTIONS, *shape)."""
    directions = np.random.default_rng(seed).standard_normal((DIRECTIONS, *shape))
    return directions / np.sqrt((directions**2).sum(axis=tuple(range(1, directions.ndim)), keepdims=True))


def taylor_test(gradient: Array, uncertainty: Array, directions: Array, costs_along: CostsAlong, rounding: float) -> Taylor:
    """The Taylor test of one tensor, as JSON has it.

    `gradient` is the claimed one, `uncertainty` what rounding may change in each of its entries, both of the tensor's shape;
    `directions` (D, *shape) are of norm 1. `costs_along(direction, steps)` gives the costs at w + h v and where a kink is known
    to lie in between, (steps,) each; step 0 stands for w itself. `rounding` is the rounding error of a cost.
    """
    found = [along_direction(gradient, uncertainty, direction, costs_along, rounding) for direction in directions]
    verdicts = [direction["verdict"] for direction, _ in found]
    reasons = sorted({reason for _, reason in found if reason is not None})
    verdict: Literal["pass", "fail", "inconclusive"] = (
        "fail" if "fail" in verdicts else "pass" if "pass" in verdicts else "inconclusive"
    )
    return {
        "verdict": verdict,
        "reason": "; ".join(reasons) if verdict == "inconclusive" else None,
        "steps": TAYLOR_STEPS.tolist(),
        "directions": [direction for direction, _ in found],
    }


def along_direction(
    gradient: Array, uncertainty: Array, direction: Array, costs_along: CostsAlong, rounding: float
) -> tuple[TaylorDirection, str | None]:
    """The test along one direction, and why it is inconclusive, where it is."""
    derivative = float((gradient * direction).sum())
    costs, crossed = costs_along(direction, np.concatenate([TAYLOR_STEPS, [0.0]]))
    with np.errstate(over="ignore", invalid="ignore"):
        R = np.abs(costs[:-1] - costs[-1] - TAYLOR_STEPS * derivative)  # (steps,)
    found: TaylorDirection = {
        "verdict": "inconclusive",
        "slope": None,
        "window": None,
        "remainders": [finite_or_none(r) for r in R],
    }
    if not np.isfinite(R).all():
        return found, "a cost or the gradient is not finite"
    visible = ABOVE_ROUNDING * rounding + TAYLOR_STEPS * np.sqrt(((uncertainty * direction) ** 2).sum()) < R  # (steps,)
    window = window_of_steps(visible, crossed)
    if len(window) < FEWEST and not visible.any():
        return found, "the remainder is rounding at every step: the cost is linear along this direction, or flat"
    if len(window) < FEWEST:
        return found, "between rounding and the first kink there are too few steps"
    slope = float(np.polyfit(np.log(TAYLOR_STEPS[window]), np.log(R[window]), 1)[0])
    found["verdict"] = "pass" if slope >= RIGHT else "fail" if slope <= WRONG else "inconclusive"
    found["slope"] = slope
    found["window"] = [float(TAYLOR_STEPS[window].min()), float(TAYLOR_STEPS[window].max())]
    return found, f"the slope, {slope:.2f}, is neither 2 nor 1" if found["verdict"] == "inconclusive" else None


def window_of_steps(visible: Array, crossed: Array) -> list[int]:
    """The places of up to WINDOW steps in a row, from the smallest that is `visible` (steps,) up to the first kink."""
    run: list[int] = []
    for k in np.flatnonzero(visible)[::-1]:
        if crossed[k] or (run and run[-1] - k > 1):
            break
        run.append(int(k))
    return run[:WINDOW]
