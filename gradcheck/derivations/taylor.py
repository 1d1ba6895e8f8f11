"""The Taylor test: along a direction v, what the claimed gradient g leaves of the cost must vanish with the square of the step.

    R(h) = |J(w + h v) - J(w) - h g.v| = O(h^2) for a right gradient, |h (J' - g).v| + O(h^2) for a wrong one

R against h on logarithmic axes is a line of slope 2, or of slope 1. At small steps rounding covers it, at large ones kinks
and higher orders: the window in between is chosen by itself, and where there is none the test says so and is inconclusive.
"""

import numpy as np

TAYLOR_STEPS = np.logspace(0, -10, 31)
DIRECTIONS = 2

# A remainder counts where it is so many times the rounding error of the cost.
ABOVE_ROUNDING = 100
# The window starts at the smallest step that counts: there an error of first order is largest against the second.
WINDOW, FEWEST = 7, 4
# Slopes from here up are those of a right gradient, slopes to there those of a wrong one.
RIGHT, WRONG = 1.9, 1.5


def unit_directions(shape, seed):
    """DIRECTIONS random directions of norm 1 in the space of a tensor."""
    directions = np.random.default_rng(seed).standard_normal((DIRECTIONS, *shape))
    return directions / np.sqrt((directions**2).sum(axis=tuple(range(1, directions.ndim)), keepdims=True))


def taylor_test(gradient, uncertainty, directions, costs_along, rounding):
    """The Taylor test of one tensor, as JSON has it.

    `gradient` is the claimed one, `uncertainty` what rounding may change in each of its entries, both of the tensor's shape.
    `costs_along(direction, steps) -> costs (steps,), crossed (steps,)` gives the costs at w + h v and where a kink is known to
    lie in between; step 0 stands for w itself. `rounding` is the rounding error of a cost.
    """
    found = [remainders(gradient, uncertainty, direction, costs_along, rounding) for direction in directions]
    verdicts = [each["verdict"] for each in found]
    reasons = sorted({each.pop("reason") for each in found} - {None})
    verdict = "fail" if "fail" in verdicts else "pass" if "pass" in verdicts else "inconclusive"
    return {
        "verdict": verdict,
        "reason": "; ".join(reasons) if verdict == "inconclusive" else None,
        "steps": TAYLOR_STEPS.tolist(),
        "directions": found,
    }


def remainders(gradient, uncertainty, direction, costs_along, rounding):
    slope = float((gradient * direction).sum())
    costs, crossed = costs_along(direction, np.concatenate([TAYLOR_STEPS, [0.0]]))
    with np.errstate(over="ignore", invalid="ignore"):
        R = np.abs(costs[:-1] - costs[-1] - TAYLOR_STEPS * slope)  # (steps,)
    result = {"verdict": "inconclusive", "reason": None, "slope": None, "window": None}
    result["remainders"] = [float(r) if np.isfinite(r) else None for r in R]
    if not np.isfinite(R).all():
        return result | {"reason": "a cost or the gradient is not finite"}
    visible = ABOVE_ROUNDING * rounding + TAYLOR_STEPS * np.sqrt(((uncertainty * direction) ** 2).sum()) < R
    # The run of steps that ends at the smallest one that counts, upwards to the first kink.
    run = []
    for k in np.flatnonzero(visible)[::-1]:
        if crossed[k] or (run and run[-1] - k > 1):
            break
        run.append(k)
    if len(run) < FEWEST:
        if not visible.any():
            reason = "the remainder is rounding at every step: the cost is linear along this direction, or flat"
        else:
            reason = "between rounding and the first kink there are too few steps"
        return result | {"reason": reason}
    window = run[:WINDOW]
    fitted = float(np.polyfit(np.log(TAYLOR_STEPS[window]), np.log(R[window]), 1)[0])
    verdict = "pass" if fitted >= RIGHT else "fail" if fitted <= WRONG else "inconclusive"
    reason = f"the slope, {fitted:.2f}, is neither 2 nor 1" if verdict == "inconclusive" else None
    bounds = [float(TAYLOR_STEPS[window].min()), float(TAYLOR_STEPS[window].max())]
    return result | {"verdict": verdict, "reason": reason, "slope": fitted, "window": bounds}
