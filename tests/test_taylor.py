"""The Taylor test: the slope of a right gradient and of a wrong one, and when it is inconclusive."""

import numpy as np
import pytest

from gradcheck import check
from gradcheck.derivations.taylor import DIRECTIONS, TAYLOR_STEPS, taylor_test, unit_directions

SHAPE = (3, 4)
w = np.random.default_rng(0).standard_normal(SHAPE)
NO_UNCERTAINTY = np.zeros(SHAPE)


def run(cost, gradient, kink=np.inf, rounding=1e-16, uncertainty=NO_UNCERTAINTY):
    """The test of `cost(w)`, which has a kink at that distance."""

    def costs_along(direction, steps):
        return np.array([cost(w + step * direction) for step in steps]), np.asarray(steps) > kink

    return taylor_test(gradient, uncertainty, unit_directions(SHAPE, 0), costs_along, rounding * max(1, abs(cost(w))))


def smooth(w):
    return np.sin(w).sum()


def slopes(found):
    return [direction["slope"] for direction in found["directions"]]


def test_directions_are_of_norm_1_signed_and_of_the_seed():
    directions = unit_directions(SHAPE, 7)
    np.testing.assert_allclose(np.sqrt((directions**2).sum(axis=(1, 2))), np.ones(DIRECTIONS))
    assert (directions < 0).any()
    assert (directions > 0).any()
    assert (directions == unit_directions(SHAPE, 7)).all()
    assert (directions != unit_directions(SHAPE, 8)).any()


def test_slope_2_for_a_right_gradient():
    found = run(smooth, np.cos(w))
    assert found["verdict"] == "pass"
    assert found["reason"] is None
    assert all(1.95 < slope < 2.05 for slope in slopes(found))


@pytest.mark.parametrize("error", [1.0, 1e-2, 1e-4])
def test_slope_1_for_a_wrong_gradient(error):
    wrong = np.cos(w)
    wrong[1, 2] *= 1 + error
    found = run(smooth, wrong)
    assert found["verdict"] == "fail"
    assert min(slopes(found)) < 1.5


def test_a_linear_cost_is_inconclusive_with_a_reason():
    found = run(lambda w: 3 * w.sum(), np.full(SHAPE, 3.0))
    assert (found["verdict"], slopes(found)) == ("inconclusive", [None, None])
    assert found["reason"] == "the remainder is rounding at every step: the cost is linear along this direction, or flat"
    assert run(lambda w: 3 * w.sum(), np.full(SHAPE, 3.01))["verdict"] == "fail"


def test_a_kink_limits_the_window():
    found = run(smooth, np.cos(w), kink=1e-3)
    assert found["verdict"] == "pass"
    assert all(direction["window"][1] <= 1e-3 for direction in found["directions"])
    found = run(smooth, np.cos(w), kink=1e-12)
    assert (found["verdict"], found["reason"]) == (
        "inconclusive",
        "between rounding and the first kink there are too few steps",
    )


def test_a_cost_that_is_not_finite_is_inconclusive():
    found = run(lambda moved: smooth(moved) if np.abs(moved - w).max() < 0.1 else np.nan, np.cos(w))
    assert (found["verdict"], found["reason"]) == ("inconclusive", "a cost or the gradient is not finite")
    assert None in found["directions"][0]["remainders"]


def test_rounding_of_the_gradient_is_no_error_of_it():
    off = 1e-6 * np.ones(SHAPE)
    assert run(smooth, np.cos(w) + off)["verdict"] != "pass"
    assert run(smooth, np.cos(w) + off, uncertainty=2 * off)["verdict"] != "fail"


def test_steps_and_remainders_are_those_of_the_plot():
    found = run(smooth, np.cos(w))
    assert found["steps"] == TAYLOR_STEPS.tolist()
    direction = unit_directions(SHAPE, 0)[1]
    expected = abs(smooth(w + TAYLOR_STEPS[9] * direction) - smooth(w) - TAYLOR_STEPS[9] * (np.cos(w) * direction).sum())
    assert found["directions"][1]["remainders"][9] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.001, "fail")])
def test_of_a_pair(factor, verdict):
    result = check({"w": w}, lambda p: np.sin(p["w"]).sum(), lambda p: {"w": factor * np.cos(p["w"])})
    assert result.tensors[0]["taylor"]["verdict"] == verdict


def test_of_a_pair_with_a_kink_at_its_parameters_is_inconclusive():
    parameters = {"w": np.array([0.0, 1.0, -2.0])}
    result = check(parameters, lambda p: (abs(p["w"]) + p["w"] ** 2).sum(), lambda p: {"w": np.sign(p["w"]) + 2 * p["w"]})
    assert (result.verdict, result.tensors[0]["taylor"]["verdict"]) == ("pass", "inconclusive")
