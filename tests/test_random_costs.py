"""Random costs: no right gradient is called wrong, every planted error is found, and the truth that says so is true."""

from itertools import islice

import numpy as np
import pytest
from conftest import call

from benchmarks import random_costs
from benchmarks.cost_kinds import KINDS
from benchmarks.cost_operations import OPS
from benchmarks.cost_pairs import arrays, draw, draw_kinds, plant, require_right, visible_entries
from benchmarks.cost_source import FORMS, Expression
from benchmarks.cost_truth import MANY_DIGITS, Digits, Dual, NoTruth, truth_of

# Entries that a cost of the tests may have, in all its parameters.
MOST = 12
PARTS, OF_EACH = 8, 25


def small_seeds():
    """The seeds of costs with few entries, ascending."""
    return (seed for seed in range(10_000) if sum(a.size for a in draw_kinds(seed)[1].parameters.values()) <= MOST)


SEEDS = list(islice(small_seeds(), PARTS * OF_EACH))

# In these no oracle sees the planted error: a derivative of 1e-300, of which too few bits are left on the way, and cos(w**9) of
# a w of 1e12, where complex numbers overflow.
BEYOND_FLOAT64 = {173, 211}


def kinds_of(seed):
    """The kinds of a cost; none where it is left out."""
    try:
        return draw(seed).kinds
    except NoTruth:
        return ()


@pytest.mark.parametrize("part", range(PARTS))
def test_right_gradients_pass_and_planted_errors_are_found(part):
    """Of each part one may be undecided."""
    rows = [random_costs.check_seed(seed) for seed in SEEDS[part::PARTS]]
    found = random_costs.not_as_it_should(rows)
    missed = [row for row in found.missed if row["seed"] not in BEYOND_FLOAT64]
    assert not found.alarms + missed, "\n".join(random_costs.listed(found))
    assert len(found.undecided) <= 1, "\n".join(random_costs.listed(found))


def test_costs_are_of_every_kind_form_and_operation():
    drawn = [draw_kinds(seed) for seed in range(400)]
    assert {kind for *_, kinds in drawn for kind in kinds} == set(KINDS)
    assert {node.op for _, expression, _ in drawn for node in expression.nodes} == set(OPS)
    assert {kind for seed in SEEDS[:100] for kind in kinds_of(seed)} >= {*FORMS, "at a kink", "constant"}


def test_a_cost_is_that_of_its_seed():
    first, again = draw(11), draw(11)
    assert first.source == again.source
    assert all((first.truth.allowed[name] == again.truth.allowed[name]).all() for name in first.truth.allowed)


def value(expression, parameters):
    """The cost in 400 digits, at parameters that have them."""
    duals = {name: Dual(Digits(), array, None) for name, array in parameters.items()}
    return expression(duals).value[()]


def quotient(expression, parameters, name, entry, step):
    """The difference quotient of one entry from the point to `step` off it, in 400 digits."""
    exact = {name: Digits().array(array) for name, array in parameters.items()}
    moved = exact[name].copy()
    moved.flat[entry] += step
    return (value(expression, exact | {name: moved}) - value(expression, exact)) / step


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_what_quotients_in_many_digits_say(kind):
    """From either side: at a kink they differ."""
    step = MANY_DIGITS.mpf(10) ** -40
    seeds = [seed for seed in SEEDS if kind in draw_kinds(seed)[2]][:8]
    for seed in seeds:
        expression = draw_kinds(seed)[1]
        with np.errstate(all="ignore"):
            try:
                truth = truth_of(expression, expression.parameters, np.random.default_rng(seed))
            except NoTruth:
                continue
            for name, array in expression.parameters.items():
                for entry in range(array.size):
                    for side, sign in ((truth.right, 1), (truth.left, -1)):
                        expected = float(quotient(expression, expression.parameters, name, entry, sign * step))
                        assert side[name].flat[entry] == pytest.approx(expected, rel=1e-12, abs=1e-14), (seed, name, entry)


def test_sides_differ_at_a_tie():
    cost = Expression()
    cost.apply("sum", cost.apply("relu", cost.parameter([0.0, 1.0, -1.0])))
    truth = truth_of(cost, cost.parameters, np.random.default_rng(0))
    assert truth.left["w"].tolist() == [0.0, 1.0, 0.0]
    assert truth.right["w"].tolist() == [1.0, 1.0, 0.0]
    assert truth.has_ties
    require_right({"w": np.array([0.5, 1.0, 0.0])}, truth)
    with pytest.raises(NoTruth, match="outside the one-sided derivatives"):
        require_right({"w": np.array([1.5, 1.0, 0.0])}, truth)


def test_a_wrong_gradient_is_not_right():
    for seed in SEEDS[:40]:
        drawn = draw(seed)
        planted = plant(drawn)
        if planted is not None:
            with np.errstate(all="ignore"), pytest.raises(NoTruth):
                require_right(arrays(planted[2](drawn.parameters)), drawn.truth)


def test_rounding_of_a_bad_forward_is_known():
    """log(1 - sigmoid(w)) at 30 has lost all but a few digits, at 1 none: 1e-3 is visible in the second one alone."""
    cost = Expression()
    w = cost.parameter([34.0, 1.0])
    cost.apply("sum", cost.apply("log", cost.apply("from one", cost.apply("sigmoid", w))))
    truth = truth_of(cost, cost.parameters, np.random.default_rng(0))
    assert truth.right["w"] == pytest.approx(-1 / (1 + np.exp([-34.0, -1.0])), rel=1e-12)
    assert truth.allowed["w"][0] > 1e-3 > 1e-12 > truth.allowed["w"][1]


@pytest.mark.parametrize(
    ("steps", "point", "why"),
    [
        ([("floor", None)], 2.0, "lies on a jump"),
        ([("scale", 3.0), ("shift", -0.3), ("relu", None)], 0.1, "lies within rounding"),
        ([("exp", None), ("exp", None)], 10.0, "overflows"),
    ],
)
def test_what_nobody_can_know_is_left_out(steps, point, why):
    cost = Expression()
    x = cost.parameter(point)
    with np.errstate(all="ignore"):
        for op, number in steps:
            x = cost.apply(op, x, k=number)
        with pytest.raises(NoTruth, match=why):
            truth_of(cost, cost.parameters, np.random.default_rng(0))


def test_a_planted_entry_is_visible_and_the_only_one():
    drawn = next(each for each in map(draw, SEEDS) if len(visible_entries(each)) > 3)
    name, entry, gradients = plant(drawn)
    assert (name, entry) in visible_entries(drawn)
    right, wrong = (arrays(found(drawn.parameters)) for found in (drawn.gradients, gradients))
    ratio = wrong[name].flat[entry] / right[name].flat[entry]
    assert ratio == pytest.approx(1.001)
    right[name].flat[entry] = wrong[name].flat[entry]
    assert all((right[other] == wrong[other]).all() for other in right)


def test_command_counts_and_names_the_seeds(capsys, monkeypatch):
    right = {"seed": 5, "kinds": ("tied", "numpy"), "left_out": None, "right": "pass", "why_right": ""}
    planted = {"entry": "w[3]", "moves": 0.5, "planted": "pass", "why_planted": "nothing was wrong"}
    alarm = {"seed": 7, "kinds": ("smooth", "torch"), "left_out": None, "right": "fail", "why_right": "w, 1 of 3 entries"}
    rows = [right | planted, alarm, {"seed": 6, "kinds": ["flat"], "left_out": "the point lies on a jump"}]
    monkeypatch.setattr(random_costs, "check_all", lambda seeds, kinds, advance: rows)
    code, out, _ = call(random_costs.main, capsys, "--costs", 3, "--seed", 5)
    assert code == 1
    assert "a false alarm: seed 7, smooth, torch\n  fail: w, 1 of 3 entries" in out
    assert "an error missed: seed 5, tied, numpy; planted in w[3], 5e-01 last digits of the cost\n  pass: nothing was" in out
    assert "left out: 1, the point lies on a jump" in out
    assert "of 2 right gradients 1 fail and 0 (0.0%) are undecided; of 1 with an error of 0.001 1 are missed" in out
    monkeypatch.setattr(random_costs, "check_all", lambda seeds, kinds, advance: [right])
    assert call(random_costs.main, capsys, "--costs", 1)[0] == 0


def test_command_checks_the_kinds_that_are_asked_for(capsys):
    seeds = {kind: next(seed for seed in SEEDS if draw_kinds(seed)[2] == [kind]) for kind in ("tied", "smooth")}
    assert random_costs.check_seed(seeds["tied"], ("tied",))["seed"] == seeds["tied"]
    assert random_costs.check_seed(seeds["smooth"], ("tied",)) is None
    code, _, err = call(random_costs.main, capsys, "--kinds", "nothing")
    assert code == 2
    assert "nothing" in err


def test_command_shows_one_cost(capsys):
    seed = next(seed for seed in SEEDS if draw_kinds(seed)[2] == ["smooth"])
    code, out, _ = call(random_costs.main, capsys, "--only", seed)
    assert code == 0
    assert draw(seed).source in out
    assert "may be off by" in out
    assert "times 1 + 0.001:" in out
    assert "PASS" in out
    assert "FAIL" in out
