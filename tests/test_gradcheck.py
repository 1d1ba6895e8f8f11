"""The oracles against plain differences, the verdicts, and the checker on correct networks."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, Problem

import gradcheck
from gradcheck import verdict
from gradcheck.derivations import chain_differences
from gradcheck.derivations.chain_complex_step import complex_step
from gradcheck.derivations.chain_differences import central_difference
from gradcheck.derivations.estimate import CENTRAL_STEP, OneSided
from gradcheck.derivations.plain import difference_quotients
from gradcheck.errors import UserError
from gradcheck.guard import watch
from gradcheck.per_layer import lambda_per_layer
from gradcheck.rounding.draws import SAFETY
from gradcheck.rounding.torch_noise import rounding_uncertainty
from gradcheck.rounding.torch_private import var_mean
from gradcheck.worst import summary
from lab.network_check import check_network
from manual.passes import cost
from networks import NAMED, Network

LAMS = (0.0, 0.1)


def checked(problem, **options):
    return check_network("net", problem.manual, problem.torch, problem.X, problem.y, LAMS, **options)


def counts(result, key):
    return sum(tensor[key] for tensor in result.tensors)


def ignore(entries):
    pass


def all_entries(chain, tensor):
    return np.arange(chain.parameters[tensor].size)


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_central_differences_equal_plain_ones(network, lam):
    p, per_layer = Problem(network), lambda_per_layer(lam, network.depth)
    plain = difference_quotients(lambda q: cost(network, q, p.X, p.y, per_layer), p.manual.parameters, CENTRAL_STEP)
    penalty = p.chain.penalty(per_layer)
    for tensor, expected in plain.items():
        own = lam if tensor.startswith("W") else 0.0
        estimate = central_difference(p.chain, tensor, all_entries(p.chain, tensor), [own], [penalty], ignore)
        assert not estimate.crossed.any()
        # Both round differently: by eps J / h each.
        np.testing.assert_allclose(estimate.derivative[0], expected.ravel(), rtol=0, atol=2e-9, err_msg=tensor)


def test_complex_step_equals_plain_one(network):
    p, h, lam = Problem(network), 1e-100, 0.3
    for tensor, array in p.manual.parameters.items():
        estimate = complex_step(p.chain, tensor, all_entries(p.chain, tensor), [lam if tensor.startswith("W") else 0.0], ignore)
        for entry in range(array.size):
            moved = {name: a.astype(complex) for name, a in p.manual.parameters.items()}
            moved[tensor].ravel()[entry] += 1j * h
            expected = cost(network, moved, p.X, p.y, lambda_per_layer(lam, network.depth)).imag / h
            assert estimate.derivative[0, entry] == pytest.approx(expected, rel=1e-9, abs=1e-14), (tensor, entry)


def test_leading_axis_of_perturbed_parameters(network):
    """The manual forward takes every parameter with a leading axis: the costs are those of one at a time."""
    problems = [Problem(network, seed=seed) for seed in range(3)]
    X, y = problems[0].X, problems[0].y
    stacked = {name: np.stack([p.manual.parameters[name] for p in problems]) for name in problems[0].manual.parameters}
    lam = lambda_per_layer(0.1, network.depth)
    alone = [cost(network, p.manual.parameters, X, y, lam) for p in problems]
    np.testing.assert_allclose(cost(network, stacked, X, y, lam), alone, rtol=1e-12)


def test_uncertainty_covers_the_error_of_central_differences(network):
    p = Problem(network, n=9)
    exact = p.torch.cost_and_gradients(p.X, p.y, 0.0).gradients
    for tensor in p.chain.parameters:
        estimate = central_difference(p.chain, tensor, all_entries(p.chain, tensor), [0.0], [0.0], ignore)
        error = np.abs(estimate.derivative[0] - exact[tensor].ravel())
        assert (error <= estimate.uncertainty[0]).all()
        assert estimate.uncertainty.max() < 1e-7


def test_pieces_cover_every_entry_once(monkeypatch):
    p = Problem(SMALL["bn"])
    whole = complex_step(p.chain, "W1", all_entries(p.chain, "W1"), [0.1], ignore).derivative
    monkeypatch.setattr(gradcheck.derivations.chain, "PIECE", 100)
    assert len(list(p.chain.pieces("W1", np.arange(42)))) == 6
    pieces = complex_step(p.chain, "W1", all_entries(p.chain, "W1"), [0.1], ignore).derivative
    np.testing.assert_allclose(pieces, whole, rtol=1e-12, atol=1e-16)
    some = complex_step(p.chain, "W1", np.array([17, 3]), [0.1], ignore).derivative
    np.testing.assert_allclose(some, whole[:, [17, 3]], rtol=1e-12, atol=1e-16)


def crossed_entries(problem, tensor, step):
    """Plainly: which entries change the pattern of any ReLU at one of the three points of the stencil."""
    patterns = []
    array = problem.manual.parameters[tensor]
    for entry in range(array.size):
        changed = False
        for k in (-1, 1, 2):
            moved = {name: a.copy() for name, a in problem.manual.parameters.items()}
            moved[tensor].ravel()[entry] += k * step
            again = Problem(problem.network, n=len(problem.X))
            again.manual.parameters = moved
            changed |= not again.chain.same_pattern(problem.chain)
        patterns.append(changed)
    return np.array(patterns)


@pytest.mark.parametrize("name", ["relu", "bn"])
def test_kinks_are_found_exactly_and_resolved(monkeypatch, name):
    monkeypatch.setattr(chain_differences, "CENTRAL_STEP", 5e-3)
    p = Problem(SMALL[name], n=8)
    total = 0
    for tensor in p.chain.parameters:
        estimate = central_difference(p.chain, tensor, all_entries(p.chain, tensor), [0.0], [0.0], ignore)
        expected = crossed_entries(p, tensor, 5e-3)
        assert (estimate.crossed == expected).all(), tensor
        total += expected.sum()
    assert total > 3
    result = checked(p)
    assert result.verdict == "pass"
    assert counts(result, "kink") == total
    assert counts(result, "pass") + total == result.parameters


def test_a_smaller_step_resolves_kinks_without_an_exact_oracle(monkeypatch):
    monkeypatch.setattr(chain_differences, "CENTRAL_STEP", 5e-3)
    p = Problem(SMALL["relu"], n=8)
    result = checked(p, oracles=("central-difference",))
    assert result.verdict == "pass"
    assert counts(result, "kink") > 0
    monkeypatch.setattr(chain_differences, "RETRIES", 0)
    result = checked(p, oracles=("central-difference",))
    assert result.verdict == "undecided"
    assert counts(result, "undecided") > 0
    assert counts(result, "fail") == 0


def tie():
    """A pre-activation of exactly 0, which no smaller step can leave."""
    p = Problem(SMALL["relu"])
    p.X[0] = 0.0
    for twin in (p.manual, p.torch):
        twin.load_state(twin.state() | {"b1": np.zeros(6)})
    return p


@pytest.mark.parametrize("oracles", [gradcheck.ORACLES, ("central-difference",)], ids=["all", "differences alone"])
def test_at_an_exact_tie_the_claim_lies_between_the_one_sided_derivatives(oracles):
    result = checked(tie(), oracles=oracles)
    assert result.verdict == "pass"
    assert result.tensors[1]["name"] == "b1"
    assert result.tensors[1]["kink"] == 6


@pytest.mark.parametrize("oracles", [gradcheck.ORACLES, ("central-difference",)], ids=["all", "differences alone"])
@pytest.mark.parametrize(("share", "verdict"), [(1.0, "pass"), (0.3, "pass"), (1.01, "fail"), (-0.01, "fail")])
def test_any_slope_of_the_relu_at_its_kink_is_right_and_no_other(oracles, share, verdict):
    """The tied image passes on `share` of what an active one would: right from 0 to 1."""
    p = tie()
    active = tie()
    for twin in (active.manual, active.torch):
        twin.load_state(twin.state() | {"b1": np.full(6, 1e-14)})
    honest = p.manual.cost_and_gradients

    def other_convention(X, y, lam):
        answer, other = honest(X, y, lam), active.manual.cost_and_gradients(X, y, lam)
        both = answer.gradients["b1"], other.gradients["b1"]
        return answer._replace(gradients=answer.gradients | {"b1": both[0] + share * (both[1] - both[0])})

    p.manual.cost_and_gradients = other_convention
    result = checked(p, oracles=oracles)
    assert result.verdict == verdict
    assert {t["name"] for t in result.tensors if t["fail"]} == ({"b1"} if verdict == "fail" else set())


def test_several_ties_have_both_conventions():
    """Two tied images that pull the same way: neither all active nor all inactive lies between the one-sided derivatives."""
    left, right, off = np.array([[1.0]]), np.array([[1.5]]), np.array([[0.5]])
    tie = OneSided(left, right, np.zeros((1, 1)))
    is_right = {0.5: True, 1.2: True, 2.0: True, 2.1: False, 0.4: False}
    for claimed, right in is_right.items():
        assert verdict.judge_ties(np.array([[claimed]]), tie, [off], 0.0) == (right, not right)
    assert verdict.judge_ties(off, tie, [], 0.0) == (False, True)


def test_tie_allows_for_the_rounding_of_the_claim():
    tie, claimed = OneSided(*np.array([[[1.0]], [[1.5]], [[0.0]]])), np.array([[1.0 - 1e-7]])
    assert verdict.judge_ties(claimed, tie, [], np.array([[1e-6]])) == (True, False)
    assert verdict.judge_ties(claimed, tie, [], np.array([[1e-8]])) == (False, True)


def test_tie_with_one_side_unknown_judges_nothing():
    tie, claimed = OneSided(*np.array([[[1.0]], [[np.nan]], [[1e-9]]])), np.array([[7.0]])
    assert verdict.judge_ties(claimed, tie, [], 0.0) == (False, False)


@pytest.mark.parametrize("seed", range(10))
def test_correct_networks_pass(seed):
    for network in SMALL.values():
        result = checked(Problem(network, n=4 + seed % 10, seed=seed))
        assert result.verdict == "pass", result
        assert counts(result, "checked") == counts(result, "entries") == network.parameter_count


def test_dead_units_pass():
    p = Problem(SMALL["relu"])
    for twin in (p.manual, p.torch):
        twin.load_state(twin.state() | {"b1": np.full(6, -1e3)})
    gradients = p.manual.cost_and_gradients(p.X, p.y, 0.0).gradients
    assert not gradients["W1"].any()
    assert checked(p).verdict == "pass"


def test_float32_is_compared_with_float64():
    for network in SMALL.values():
        p = Problem(network, dtype="float32")
        result = checked(p)
        assert result.verdict == "pass"
        errors = [tensor["oracles"]["autograd"]["max_rel_error"] for tensor in result.tensors]
        assert 1e-9 < max(errors) < 1e-4


def test_relu_that_float32_switches_is_undecided():
    """A pre-activation that is positive in float64 and rounds to 0 in float32: the gradient is another one, and no bug."""
    network = Network("one", hidden=(1,), inputs=2)
    p = Problem(network, n=2, dtype="float32")
    p.X[:] = [[1.0, 2.0**-30], [2.0, 1.0]]
    state = p.manual.state() | {"W1": np.array([[1.0, 1.0]]), "b1": np.array([-1.0])}
    for twin in (p.manual, p.torch):
        twin.load_state(state)
    result = checked(p)
    assert result.verdict == "undecided"
    assert counts(result, "fail") == 0


def compare_entries(claimed, reference, uncertainty=0.0, rounding=1e-16):
    """`claimed` against `reference` (1, entries), in a tensor whose derivatives are of size 1."""
    return verdict.compare(
        claimed, reference, np.full(claimed.shape, uncertainty), np.full(claimed.shape, rounding), 1e-11, 1.0
    )


def count(comparisons, crossed=None, **options):
    """The verdicts of entries none of which is at a tie."""
    entries = next(iter(comparisons.values())).agrees.shape[1]
    crossed = np.zeros(entries, bool) if crossed is None else crossed
    masks = verdict.verdict_masks(comparisons, crossed, *np.zeros((2, entries), bool), **options)
    return {each: int(mask.sum()) for each, mask in masks.items()}


def test_verdict_of_an_entry():
    claimed = np.array([[1.0, 1.0, np.nan, 1.0, np.inf, 0.0, 1e-17]])
    reference = np.array([[1.0, 1.0 + 1e-9, 1.0, np.nan, np.inf, 0.0, -1e-17]])
    comparison = compare_entries(claimed, reference)
    assert comparison.agrees.tolist() == [[True, False, False, False, False, True, True]]
    assert count({"autograd": comparison}) == {"pass": 3, "fail": 4, "kink": 0, "undecided": 0}


def test_nan_fails_though_no_oracle_could_decide():
    claimed, reference = np.array([[np.nan]]), np.array([[1.0]])
    comparison = compare_entries(claimed, reference, uncertainty=np.inf)
    assert count({"autograd": comparison}, np.ones(1, bool))["fail"] == 1


def test_zero_against_non_zero_fails():
    comparison = compare_entries(np.zeros((1, 1)), np.full((1, 1), 1e-8))
    assert not comparison.agrees


def test_overall_verdict():
    assert verdict.overall(["pass", "kink"]) == "pass"
    assert verdict.overall(["pass", "undecided", "kink"]) == "undecided"
    assert verdict.overall(["undecided", "fail", "pass"]) == "fail"


def summed(inputs, dtype=torch.float64):
    """A sum that cancels, and a ReLU near its kink."""
    x = torch.tensor(inputs["x"], dtype=dtype)
    return {"sum": (x * 1e6).sum().numpy(), "relu": torch.relu(x - 1).numpy()}


def test_rounding_uncertainty_is_that_of_the_arithmetic():
    x = {"x": np.array([1.5, 2.5, -4.0])}
    assert 1e-10 < rounding_uncertainty(summed, x, "float64")["sum"] < 1e-6
    assert 1e-1 < rounding_uncertainty(lambda inputs: summed(inputs, torch.float32), x, "float32")["sum"] < 1e2


@pytest.mark.parametrize(("shape", "axes"), [((20_000,), None), ((100, 200), None), ((20_000, 2), (0,))])
def test_rounding_of_a_long_sum_is_that_of_a_loop(shape, axes):
    """In a loop every partial sum is rounded, which adds up to far more than the last digit of the result."""
    x = {"x": np.full(shape, 0.1, np.float32).astype(float)}
    found = rounding_uncertainty(lambda q: {"sum": torch.tensor(q["x"]).float().sum(axes).numpy()}, x, "float32")["sum"].max()
    sum_of_each = x["x"].sum(axes).max()
    error = abs(np.cumsum(np.full(20_000, 0.1, np.float32), dtype=np.float32)[-1] - 20_000 * 0.1)
    assert 3 * SAFETY * 2.0**-24 * sum_of_each < error < found < 1e-2 * sum_of_each


@pytest.mark.parametrize("batch", [(), (2,)])
def test_rounding_of_a_product_is_that_of_a_loop(batch):
    """Where all terms have one sign; where they have not, it stays that of the terms."""
    k, rng = 20_000, np.random.default_rng(0)

    def product(q):
        A, B = (torch.tensor(q[name]).float() for name in "AB")
        return {"AB": (A @ B).numpy()}

    constant = {"A": np.full((*batch, 1, k), np.float32(0.1), float), "B": np.ones((*batch, k, 3))}
    found = rounding_uncertainty(product, constant, "float32")["AB"].max()
    error = abs(np.cumsum(np.full(k, 0.1, np.float32), dtype=np.float32)[-1] - k * 0.1)
    assert 3 * SAFETY * 2.0**-24 * k * 0.1 < error < found < 1e-2 * k * 0.1
    mixed = {name: rng.standard_normal(array.shape) for name, array in constant.items()}
    assert rounding_uncertainty(product, mixed, "float32")["AB"].max() < 100 * SAFETY * 2.0**-24 * np.sqrt(k)


def test_variance_in_pieces_is_that_of_pytorch():
    x = torch.randn(50, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for options in ({"dim": (0, 2)}, {"dim": (0, 2), "correction": 0}, {"dim": 0, "keepdim": True}, {"dim": None}):
        for in_pieces, whole in zip(var_mean(x, **options), torch.var_mean(x, **options), strict=True):
            torch.testing.assert_close(in_pieces, whole, rtol=1e-13, atol=1e-14)


def test_infinity_is_not_rounded():
    def masked(inputs):
        scores = torch.tensor(inputs["x"])
        return {"softmax": scores.masked_fill(scores > 2, -torch.inf).log_softmax(0).exp().numpy()}

    assert (rounding_uncertainty(masked, {"x": np.array([1.0, 1.5, 3.0])}, "float64")["softmax"] < 1e-12).all()


def test_runs_that_switch_a_relu_do_not_count():
    x = {"x": np.array([1.0 + 1e-9, 2.0])}
    assert rounding_uncertainty(summed, x, "float64")["relu"].max() < 1e-13
    # In float32 every such number rounds to 1, and every second run is on the other side.
    assert rounding_uncertainty(lambda inputs: summed(inputs, torch.float32), x, "float32")["relu"].max() < 1e-4


def test_unknown_rounding_leaves_everything_undecided():
    def torn(inputs):
        for _ in range(1 if (inputs["x"] == 1).all() else 2):
            torch.gt(torch.ones(1), 0)
        return {"x": inputs["x"]}

    assert np.isposinf(rounding_uncertainty(torn, {"x": np.ones(2)}, "float64")["x"]).all()
    comparison = compare_entries(np.ones((1, 2)), np.full((1, 2), 7.0), rounding=np.inf)
    assert count({"autograd": comparison})["undecided"] == 2


def test_oracle_that_is_too_uncertain_decides_nothing():
    """A wrong sign within the uncertainty is not verified."""
    comparison = compare_entries(np.full((1, 1), -1.0), np.ones((1, 1)), uncertainty=3.0)
    assert comparison.agrees.all()
    assert count({"autograd": comparison})["undecided"] == 1


def test_worst_entry_is_the_wrong_one():
    """Among entries that are exactly 0 against 0, one planted error: the index and the values that the user is sent to."""
    claimed = np.zeros((2, 12))
    claimed[1, 7] = 1e-3
    comparison = verdict.compare(claimed, np.zeros((2, 12)), np.zeros((2, 12)), np.zeros((2, 12)), 1e-11, np.ones((2, 1)))
    everywhere = np.ones((2, 12), bool)
    worst = summary(comparison, everywhere, everywhere, claimed, np.zeros((2, 12)), (3, 4), np.arange(12))["worst"]
    assert (worst["index"], worst["claimed"], worst["reference"]) == ([1, 3], 1e-3, 0.0)


@pytest.mark.parametrize(("dtype", "error"), [("float64", 3e-11), ("float32", 1e-3)])
def test_smallest_error_that_is_found(dtype, error):
    """An error of a few times the stated tolerance, in one entry: the tolerances are no looser than they say."""
    for network in SMALL.values():
        p = Problem(network, n=9, dtype=dtype)
        gradient = p.torch.cost_and_gradients(p.X, p.y, 0.0).gradients["W1"]
        entry = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        honest = p.manual.cost_and_gradients

        def wrong(X, y, lam, honest=honest, entry=entry):
            answer = honest(X, y, lam)
            answer.gradients["W1"][entry] *= 1 + 2 * error
            return answer

        p.manual.cost_and_gradients = wrong
        result = checked(p, oracles=("autograd", "complex-step"))
        assert result.verdict == "fail"
        assert [(t["name"], t["fail"]) for t in result.tensors if t["fail"]] == [("W1", 1)]
        assert tuple(result.tensors[0]["oracles"]["complex-step"]["worst"]["index"]) == entry


def test_central_difference_alone_finds_a_few_of_its_uncertainties():
    p = Problem(SMALL["relu"], n=9)
    uncertainty = central_difference(p.chain, "b1", all_entries(p.chain, "b1"), [0.0], [0.0], ignore).uncertainty.max()
    honest = p.manual.cost_and_gradients

    def wrong(X, y, lam):
        answer = honest(X, y, lam)
        answer.gradients["b1"] += 4 * uncertainty
        return answer

    p.manual.cost_and_gradients = wrong
    result = checked(p, oracles=("central-difference",))
    assert [t["name"] for t in result.tensors if t["fail"]] == ["b1"]
    assert uncertainty < 1e-8


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda g: g.update(b1=g["b1"][None]), r"the gradient of b1 has shape (1, 6), b1 has (6,)"),
        (lambda g: g.update(b1=g["b1"][:1]), "the gradient of b1 has shape (1,), b1 has (6,)"),
        (lambda g: g.pop("b1"), "the gradient of b1 is missing"),
        (lambda g: g.update(W9=g["W1"]), "W9 has a gradient and is no parameter"),
    ],
)
def test_gradient_of_another_shape_or_name_fails(damage, fault):
    p = Problem(SMALL["relu"])
    honest = p.manual.cost_and_gradients

    def misshapen(X, y, lam):
        answer = honest(X, y, lam)
        damage(answer.gradients)
        return answer

    p.manual.cost_and_gradients = misshapen
    result = checked(p)
    assert (result.verdict, result.faults) == ("fail", [fault])
    b1 = result.tensors[1]
    assert (b1["shape"], b1["entries"]) == ([6], 6)
    assert b1["fail"] == (0 if "W9" in fault else 6)


def test_logits_of_another_shape_fail():
    p = Problem(SMALL["relu"])
    honest = p.manual.cost_and_gradients
    p.manual.cost_and_gradients = lambda X, y, lam: honest(X, y, lam)._replace(logits=np.zeros((10, 5)))
    result = checked(p)
    assert (result.verdict, result.faults) == ("fail", ["the logits have shape (10, 5), those of PyTorch (5, 10)"])


@pytest.mark.parametrize("seed", range(4))
def test_small_batches_of_deep_batch_norm_raise_no_alarm(seed):
    """With two images, batch norm leaves hardly a gradient: what is left must not be taken for an error."""
    network = Network("deep", hidden=(5, 4, 4, 3, 3), batch_norm=True, inputs=7)
    for n in (2, 3):
        assert counts(checked(Problem(network, n=n, seed=seed)), "fail") == 0


def test_dead_units_do_not_hide_the_noise_of_the_others():
    """Most pixels constant, most units dead, logits far larger than the loss: a central difference still knows its error."""
    network = Network("mostly-dead", hidden=(30,), inputs=40)
    for seed in range(3):
        p = Problem(network, n=9, seed=seed)
        p.X[:, 4:] = 0.0
        state = p.manual.state()
        state["b1"][3:] = -100.0
        state["b2"] += 3000.0
        for twin in (p.manual, p.torch):
            twin.load_state(state)
        assert checked(p).verdict == "pass"


def test_data_that_are_not_finite_are_refused():
    p = Problem(SMALL["relu"])
    p.X[2, 3] = np.nan
    with pytest.raises(UserError, match=r"X\[2, 3\] is nan"):
        checked(p)


def test_plain_differences_leave_the_parameters():
    parameters = {"w": np.array([[1.0, -2.0]])}
    before = parameters["w"].copy()
    quotients = difference_quotients(lambda q: float((q["w"] ** 2).sum()), parameters, 1e-5)
    np.testing.assert_allclose(quotients["w"], 2 * before, rtol=1e-9)
    assert (parameters["w"] == before).all()
    one_sided = difference_quotients(lambda q: float((q["w"] ** 2).sum()), parameters, 1e-5, (0, 2))
    np.testing.assert_allclose(one_sided["w"], 2 * before + 2e-5, rtol=1e-9)


@pytest.mark.parametrize("network", SMALL.values(), ids=SMALL)
def test_check_changes_nothing(network):
    p = Problem(network)

    def everything():
        return p.manual.state() | {f"torch {name}": tensor.numpy() for name, tensor in p.torch.state_dict().items()}

    with watch(everything, restore=pytest.fail) as changed:
        assert checked(p).faults == []
    assert changed == []


@pytest.mark.parametrize("what", ["parameter", "statistic", "data", "numpy", "torch", "python"])
def test_backward_that_changes_state_fails(monkeypatch, what):
    import random

    p = Problem(SMALL["bn"])
    honest = p.manual.cost_and_gradients

    def careless(X, y, lam):
        answer = honest(X, y, lam)
        if what == "parameter":
            p.manual.parameters["W2"][0, 0] += 1e-15
        elif what == "statistic":
            p.manual.statistics["running_var1"] *= 0.9
        elif what == "data":
            X[0, 0] += 1.0
        elif what == "numpy":
            np.random.rand()
        elif what == "torch":
            torch.rand(1)
        else:
            random.random()
        return answer

    monkeypatch.setattr(p.manual, "cost_and_gradients", careless)
    result = checked(p)
    assert result.verdict == "fail"
    names = {
        "parameter": "claimed W2",
        "statistic": "claimed running_var1",
        "data": "X",
        "numpy": "NumPy's random generator",
        "torch": "PyTorch's random generator",
        "python": "Python's random generator",
    }
    assert result.faults == [f"the check may only read {names[what]}, which changed"]


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_a_change_is_put_back_beside_data_that_can_only_be_read():
    p = Problem(SMALL["relu"])
    honest = p.manual.cost_and_gradients

    def careless(X, y, lam):
        answer = honest(X, y, lam)
        p.manual.parameters["W2"][0, 0] += 1e-15
        return answer

    p.manual.cost_and_gradients = careless
    before = p.manual.state()
    p.y.setflags(write=False)
    result = checked(p)
    assert result.faults == ["the check may only read claimed W2, which changed"]
    assert all(np.array_equal(before[name], array) for name, array in p.manual.state().items())


def test_gradcheck_imports_no_backward():
    """No module of the library imports anything else of this repository, or uses anything that is named a backward."""
    library = Path(gradcheck.__file__).parent
    ours = {path.stem for path in (*library.parent.glob("*.py"), *library.parent.glob("*/")) if path.stem.isidentifier()}
    assert ours >= {"manual", "models", "lab", "networks", "compare", "tests"}
    for path in library.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not any("backward" in name for name in names), path
            modules = names if isinstance(node, ast.Import) else names[-1:]
            assert not any(module.split(".")[0] in ours - {"gradcheck"} for module in modules), path
            if isinstance(node, ast.Attribute) and path.name != "torch_private.py":  # which names operators of PyTorch
                assert "backward" not in node.attr, path


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED)
def test_full_size_networks_on_samples(named):
    """The fast path against the plain forward pass, at a few entries of every tensor of the seven networks."""
    p, h = Problem(named, n=4), 1e-100
    rng = np.random.default_rng(0)
    for tensor, array in p.manual.parameters.items():
        entries = rng.choice(array.size, 3, replace=False)
        losses, _ = p.chain.losses(tensor, entries, 1j * h)
        for entry, loss in zip(entries, losses, strict=True):
            moved = p.manual.parameters | {tensor: array.astype(complex)}
            moved[tensor].ravel()[entry] += 1j * h
            expected = cost(named, moved, p.X, p.y, (0.0,) * named.depth)
            assert loss.real == pytest.approx(expected.real, rel=1e-12)
            assert loss.imag / h == pytest.approx(expected.imag / h, rel=1e-8, abs=1e-14), (tensor, entry)


RIGHT_BY_ORACLE = {"autograd": 1.0, "complex-step": 1.0, "central-difference": 1.0}


@pytest.mark.parametrize(
    ("claimed", "oracles", "alone", "verdict_of_entry"),
    [
        (1.0, {}, {}, "pass"),
        (2.0, {}, {"claimed": 1}, "fail"),
        (1.0, {"autograd": 2.0}, {"autograd": 1}, "pass"),
        (1.0, {"complex-step": 2.0}, {"complex-step": 1}, "pass"),
        (1.0, {"autograd": 2.0, "central-difference": 2.0}, {"autograd": 1}, "fail"),
        (1.0, {"central-difference": 2.0}, {"central-difference": 1}, "pass"),
        (1.0, {"autograd": 2.0, "complex-step": 3.0}, {}, "fail"),
        (2.0, {"central-difference": 2.0}, {"claimed": 1}, "fail"),
        (np.nan, {}, {"claimed": 1}, "fail"),
    ],
)
def test_which_derivation_stands_alone(claimed, oracles, alone, verdict_of_entry):
    claimed, none = np.array([[claimed]]), np.zeros((1, 1))
    derivatives = {oracle: np.array([[value]]) for oracle, value in (RIGHT_BY_ORACLE | oracles).items()}
    comparisons = {o: verdict.compare(claimed, d, none, none + 1e-15, 1e-11, 1.0) for o, d in derivatives.items()}
    assert voters_alone(derivatives, comparisons) == alone
    assert count(comparisons)[verdict_of_entry] == 1
    both_exact_agree = oracles.keys() <= {"central-difference"} and claimed == 1.0
    assert count(comparisons, of_twins=True)["pass" if both_exact_agree else "fail"] == 1


def voters_alone(derivatives, comparisons):
    masks = verdict.alone_masks(derivatives, comparisons, 1e-15)
    return {voter: int(where.sum()) for voter, where in masks.items() if where.any()}


def test_there_is_no_vote_without_both_exact_oracles():
    claimed, none = np.array([[2.0]]), np.zeros((1, 1))
    derivatives = {"autograd": np.array([[1.0]]), "central-difference": np.array([[2.0]])}
    comparisons = {o: verdict.compare(claimed, d, none, none + 1e-15, 1e-11, 1.0) for o, d in derivatives.items()}
    assert voters_alone(derivatives, comparisons) == {}
    assert count(comparisons)["fail"] == 1
