"""Costs that are hard on the oracles of a pair of which nothing is known: 0 at the parameters, kinks, steps, flat minima."""

import numpy as np
import pytest

from gradcheck import check


def real(array):
    """What leaves central differences alone."""
    return np.real(array)


def counts(result):
    (row,) = result.tensors
    return {verdict: row[verdict] for verdict in ("pass", "fail", "kink", "undecided") if row[verdict]}


AT_ZERO = {
    "a difference": (lambda w: np.exp(w).sum() - 4, np.exp),
    "a logarithm": (lambda w: np.log(np.exp(w).mean()), lambda w: np.exp(w) / np.exp(w).sum()),
    "odd": (lambda w: (np.sin(w) * np.cos(w)).sum(), lambda w: np.cos(2 * w)),
}


@pytest.mark.parametrize("name", AT_ZERO)
@pytest.mark.parametrize("part", [real, np.asarray], ids=["differences", "complex step"])
def test_a_cost_that_is_0_at_zeros(name, part):
    cost, gradient = AT_ZERO[name]
    result = check({"w": np.zeros(12)}, lambda p: cost(part(p["w"])), lambda p: {"w": gradient(p["w"])})
    assert counts(result) == {"pass": 12}
    assert ("complex-step" in result.tensors[0]["oracles"]) == (part is not real)
    result = check({"w": np.zeros(12)}, lambda p: cost(part(p["w"])), lambda p: {"w": 1.0001 * gradient(p["w"])})
    assert counts(result) == {"fail": 12}


@pytest.mark.parametrize(("slope", "verdict"), [(1.0, "pass"), (1.25, "fail")])
def test_a_kink_at_half_a_round_step(slope, verdict):
    def cost(p):
        return (np.maximum(real(p["w"]) - 1.05, 0) / 2 + real(p["w"])).sum()

    result = check({"w": np.ones(3)}, cost, lambda p: {"w": np.full(3, slope)})
    assert result.verdict == verdict
    assert result.tensors[0]["undecided"] == 0


def test_a_sine_whose_period_divides_a_round_step():
    result = check(
        {"w": np.ones(3)}, lambda p: np.sin(20 * np.pi * real(p["w"])).sum(), lambda p: {"w": np.full(3, 20 * np.pi)}
    )
    assert counts(result) == {"pass": 3}


def test_a_flat_minimum_is_no_cost_in_steps():
    minimum = np.random.default_rng(0).standard_normal(5)

    def cost(p):
        return 1 + ((real(p["w"]) - minimum) ** 4).sum()

    result = check({"w": minimum.copy()}, cost, lambda p: {"w": 4 * (p["w"] - minimum) ** 3})
    assert not any(note.startswith("A COST IN STEPS") for note in result.notes)
    assert result.tensors[0]["fail"] == 0
