"""Anyone's pair of cost and gradient: the oracles that can be had, the verdicts, samples, and what can't be checked."""

import re
import time

import numpy as np
import pytest
import torch

from gradcheck import Layers, check, of_function
from gradcheck.derivations.differences import Differences
from gradcheck.errors import UserError
from gradcheck.report.sentences import failures
from gradcheck.subjects.black_box import PairSubject
from gradcheck.subjects.pair import Calls, Pair
from gradcheck.subjects.sampling import draw_sample
from gradcheck.verdict import VERDICTS

rng = np.random.default_rng(0)
X = rng.standard_normal((7, 4))
W = rng.standard_normal((3, 4))


def real(array):
    """What many a cost does to complex input without a word."""
    return np.real(array)


def row(result, name="w"):
    return next(tensor for tensor in result.tensors if tensor["name"] == name)


def counts(result, name="w"):
    found = row(result, name)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}


def scaled(gradients, factor, entry=(0, 0), name="w"):
    """`gradients` with one entry multiplied by a factor."""

    def wrong(parameters):
        found = dict(gradients(parameters))
        found[name] = np.array(found[name])
        found[name][entry] *= factor
        return found

    return wrong


# The complex step is probed.


def with_float_buffer(w):
    buffer = np.zeros(w.shape)
    buffer[...] = w**3
    return buffer.sum()


def only_real(w):
    """As scipy.special.expit: a ufunc without complex loops."""
    if np.iscomplexobj(w):
        raise TypeError("ufunc 'expit' not supported for the input types")
    return (w**3).sum()


def polar(w):
    """The derivative of the sum of singular values."""
    U, _, V = np.linalg.svd(w, full_matrices=False)
    return U @ V


COSTS_THAT_TAKE_NO_COMPLEX_INPUT = {
    "svd": (lambda w: np.linalg.svd(w)[1].sum(), lambda w: polar(w), "np.linalg.svd"),
    "float": (lambda w: float((w**2).sum()), lambda w: 2 * w, "TypeError in test_pair.py"),
    "real": (lambda w: (real(w) ** 2).sum(), lambda w: 2 * w, "cost returns a real number"),
    "partly real": (lambda w: (w**2).sum() + (real(w) ** 2).sum(), lambda w: 4 * w, "loses the derivative"),
    "float buffer": (with_float_buffer, lambda w: 3 * w**2, "ComplexWarning in test_pair.py"),
    "no complex loops": (only_real, lambda w: 3 * w**2, "TypeError in test_pair.py"),
}


@pytest.mark.parametrize("name", COSTS_THAT_TAKE_NO_COMPLEX_INPUT)
def test_without_complex_input_the_check_says_so_and_goes_on(name):
    cost, gradient, why = COSTS_THAT_TAKE_NO_COMPLEX_INPUT[name]

    def gradients(p):
        return {"w": gradient(p["w"])}

    result = check({"w": W}, lambda p: cost(p["w"]), gradients)
    assert (result.verdict, counts(result)) == ("pass", {"pass": 12})
    (note,) = result.notes
    assert note.startswith("NO COMPLEX STEP: for complex parameters, ")
    assert why in note
    assert row(result)["oracles"].keys() == {"central-difference"}
    result = check({"w": W}, lambda p: cost(p["w"]), scaled(gradients, 1.001))
    assert (result.verdict, counts(result)) == ("fail", {"fail": 1, "pass": 11})
    assert row(result)["oracles"]["central-difference"]["worst"]["index"] == [0, 0]


@pytest.mark.parametrize("in_torch", [False, True])
def test_cost_that_takes_complex_input_keeps_the_complex_step(in_torch):
    def cost(p):
        w = p["w"]
        shift = w.real.max()  # branching on the real part is as it should be
        return ((w - shift).exp().sum().log() + shift) if in_torch else np.log(np.exp(w - shift).sum()) + shift

    def gradients(p):
        exp = (torch if in_torch else np).exp(p["w"])
        return {"w": exp / exp.sum()}

    parameters = {"w": torch.tensor(W) if in_torch else W}
    result = check(parameters, cost, gradients)
    assert (result.verdict, result.notes) == ("pass", [])
    assert row(result)["oracles"].keys() == {"complex-step", "central-difference"}


def test_maximum_keeps_the_complex_step():
    def relu(p):
        return (np.maximum(0, X @ p["w"].T) ** 2).sum()

    result = check({"w": W}, relu, lambda p: {"w": 2 * np.maximum(0, X @ p["w"].T).T @ X})
    assert (result.verdict, result.notes) == ("pass", [])


# The steps of differences.


@pytest.mark.parametrize("factor", [1, 1e8, 1e-8])
@pytest.mark.parametrize("size", [1e-6, 1, 1e6])
def test_differences_suit_any_size_of_parameters_and_cost(size, factor):
    A = rng.uniform(0.5, 2, W.shape) / size

    def cost(p):
        return factor * np.sin(real(p["w"]) * A).sum()

    def gradients(p):
        return {"w": factor * A * np.cos(p["w"] * A)}

    parameters = {"w": W * size}
    assert counts(check(parameters, cost, gradients)) == {"pass": 12}
    largest = np.unravel_index(np.abs(gradients(parameters)["w"]).argmax(), W.shape)
    assert counts(check(parameters, cost, scaled(gradients, 1 + 1e-6, largest))) == {"pass": 11, "fail": 1}


def test_an_offset_of_the_cost_costs_digits_and_no_more():
    result = check({"w": W}, lambda p: 1e8 + np.sin(real(p["w"])).sum(), lambda p: {"w": np.cos(p["w"])})
    assert result.verdict == "pass"
    worst = row(result)["oracles"]["central-difference"]["worst"]
    assert 1e-9 < worst["allowed"] < 1e-3


def mixed():
    """One tensor with entries from 1e-6 to 1e6, each of which the cost takes at its own scale."""
    sizes = 10.0 ** np.arange(-6, 6).reshape(3, 4)

    def gradients(p):
        return {"w": -np.sin(p["w"] / sizes) / sizes}

    return {"w": W * sizes}, lambda p: np.cos(real(p["w"]) / sizes).sum(), gradients


def test_mixed_scales_in_one_tensor():
    parameters, cost, gradients = mixed()
    assert counts(check(parameters, cost, gradients)).keys() <= {"pass", "kink", "undecided"}
    result = check(parameters, cost, scaled(gradients, 1.5))
    assert (result.verdict, row(result)["fail"]) == ("fail", 1)
    assert row(result)["oracles"]["central-difference"]["worst"]["index"] == [0, 0]


def test_linear_and_flat_costs():
    parameters = {"w": W, "flat": np.ones(3)}

    def cost(p):
        return 3 * real(p["w"]).sum()

    assert check(parameters, cost, lambda p: {"w": np.full((3, 4), 3.0), "flat": np.zeros(3)}).verdict == "pass"
    result = check(parameters, cost, lambda p: {"w": np.full((3, 4), 3.0), "flat": np.array([0, 1e-9, 0])})
    assert (counts(result), counts(result, "flat")) == ({"pass": 12}, {"pass": 2, "fail": 1})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", [real, np.asarray], ids=["differences", "complex step"])
def test_a_number_that_is_not_finite_fails(value, part):
    def gradients(p):
        return {"w": np.where(np.arange(12).reshape(3, 4) == 5, value, 2 * p["w"])}

    result = check({"w": W}, lambda p: (part(p["w"]) ** 2).sum(), gradients)
    assert counts(result) == {"pass": 11, "fail": 1}
    assert any("[1, 1] is not finite" in line for line in failures(result.as_json()))


def test_points_where_the_cost_ends_or_raises_are_left_out():
    w = 10.0 ** np.linspace(-4, 0, 6)

    def strict(p):
        if (real(p["w"]) <= 0).any():
            raise ValueError("w has to be positive")
        return np.log(real(p["w"])).sum()

    for cost in (lambda p: np.log(real(p["w"])).sum(), strict):
        result = check({"w": w}, cost, lambda p: {"w": 1 / p["w"]})
        assert counts(result).keys() <= {"pass", "kink"}
    left_out = "POINTS LEFT OUT: near the parameters, cost(parameters) raised ValueError in test_pair.py, line "
    assert [note for note in result.notes if note.startswith(left_out)]
    assert check({"w": w}, strict, lambda p: {"w": 1.01 / p["w"]}).verdict == "fail"


@pytest.mark.parametrize(
    "coarse",
    [
        lambda w: float((w.astype(np.float32) ** 2).sum()),
        lambda w: (w.astype(np.float32) ** 2).sum(dtype=np.float64),
        lambda w: np.round((w**2).sum(), 4),
    ],
    ids=["float32", "float32 inside", "rounded"],
)
def test_a_cost_that_changes_in_steps_says_so_and_raises_no_alarm(coarse):
    for seed in range(5):
        result = check({"w": W}, lambda p: coarse(real(p["w"])), lambda p: {"w": 2 * p["w"]}, seed=seed)
        assert row(result)["fail"] == 0
        assert result.notes[0].startswith("A COST IN STEPS of about ")
    assert check({"w": W}, lambda p: coarse(real(p["w"])), lambda p: {"w": 3 * p["w"]}).verdict == "fail"


# Kinks.

NEAR = np.array([1e-9, -1e-7, 1e-5, -1.0, 2.0])


@pytest.mark.parametrize("cost", [np.abs, lambda w: np.maximum(w, -w)], ids=["abs", "maximum"])
def test_kinks_inside_the_stencil_are_settled(cost):
    result = check({"w": NEAR}, lambda p: real(cost(p["w"])).sum(), lambda p: {"w": np.sign(p["w"])}, seed=2)
    found = counts(result)
    assert (result.verdict, sum(found.values())) == ("pass", 5)
    assert found.keys() <= {"pass", "kink"}
    result = check({"w": NEAR}, lambda p: real(cost(p["w"])).sum(), lambda p: {"w": 0.5 * np.sign(p["w"])})
    assert counts(result) == {"fail": 5}


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, "kink"), (-1.0, "kink"), (0.3, "kink"), (1.01, "fail"), (-2.0, "fail")])
@pytest.mark.parametrize("part", [real, np.asarray], ids=["differences", "complex step"])
def test_at_an_exact_tie_the_gradient_lies_between_the_one_sided_derivatives(slope, verdict, part):
    w = np.array([0.0, -1.0, 2.0])

    def cost(p):
        w = part(p["w"])
        return (np.where(w.real > 0, w, -w) + w**2).sum()

    def gradients(p):
        return {"w": np.where(p["w"] == 0, slope, np.sign(p["w"]) + 2 * p["w"])}

    result = check({"w": w}, cost, gradients)
    assert counts(result) == {"pass": 2, verdict: 1}
    assert result.verdict == ("fail" if verdict == "fail" else "pass")


def test_rounding_is_not_taken_for_a_kink():
    """A step that is a little too large, for a smooth cost with noise of its stated size."""
    for seed in range(100):
        noise = 1e-12 * np.random.default_rng(seed).standard_normal(200)
        drawn = {0.0: 0.0}
        differences = Differences(base=0.0, noise=1e-12, rounding_inside=lambda: 0.0)

        def J(h, drawn=drawn, noise=noise):
            return np.sin(1 + h) - np.sin(1) + drawn.setdefault(h, noise[len(drawn)])

        derivative, uncertainty, crossed, *tie = differences.slope(J, 7e-4, size=1.0)
        assert not crossed
        assert np.isnan(tie).all()
        assert abs(derivative - np.cos(1)) <= uncertainty < 1e-6


# A budget, a sample.


def slowly(seconds, cost):
    def slow(p):
        time.sleep(seconds)
        return cost(p)

    return slow


BIG = {"w": rng.standard_normal((60, 50)), "b": rng.standard_normal(5)}
COSTS = {
    "complex step": lambda p: (p["w"] ** 2).sum() + (p["b"] ** 2).sum(),
    "differences": lambda p: (real(p["w"]) ** 2).sum() + (real(p["b"]) ** 2).sum(),
}


def doubled(p):
    return {name: 2 * array for name, array in p.items()}


def sampled(cost, gradients=doubled, seed=0, **options):
    return check(BIG, slowly(2.5e-4, COSTS[cost]), gradients, seed=seed, budget=1.5, **options)


@pytest.mark.parametrize("cost", COSTS)
def test_a_slow_cost_is_sampled_and_says_how_much(cost):
    result = sampled(cost, seed=3)
    note = result.notes[-1]
    assert result.verdict == "pass"
    assert note.startswith("A SAMPLE: ")
    assert f"at {row(result)['checked'] + 5} of 3,005 entries, drawn with seed 3, " in note
    assert f"along {row(result)['directions']['checked']} random directions" in note
    assert 5 < row(result)["checked"] < 1000
    assert row(result)["directions"]["fail"] == 0
    assert row(result, "b")["checked"] == 5


@pytest.mark.parametrize("cost", COSTS)
def test_an_error_outside_the_sample_shows_along_the_directions(cost):
    chosen = PairSubject("pair", Calls(Pair(BIG, slowly(1e-4, COSTS[cost]), doubled)), budget=0.6).sample.entries["w"]
    outside = np.setdiff1d(np.arange(3000), np.arange(3000)[chosen])[1000]
    result = sampled(cost, scaled(doubled, 1.01, np.unravel_index(outside, (60, 50))))
    assert result.verdict == "fail"
    assert row(result)["directions"]["fail"] == 1
    lines = failures(result.as_json())
    assert f"w, 1 of {row(result)['directions']['checked']} random directions over all entries" in lines[0]
    assert "only a sample of the entries is known" in lines[1]


def test_an_error_in_the_sample_is_named():
    result = sampled("complex step", lambda p: doubled(p) | {"w": 2.02 * p["w"]})
    assert row(result)["fail"] == row(result)["checked"]
    assert row(result)["oracles"]["complex-step"]["worst"]["index"]


def test_the_same_seed_draws_the_same_sample():
    def samples(seed, budget):
        sizes = {name: array.size for name, array in BIG.items()}
        return [draw_sample(sizes, int(budget / 1e-3), seed).entries["w"].tolist() for _ in range(2)]

    # Whatever was drawn before, and where the machine is a little faster.
    first, again = samples(0, 0.2)
    assert first == again == samples(0, 0.25)[0]
    assert first != samples(1, 0.2)[0]
    assert set(first) < set(samples(0, 0.5)[0])


def test_a_reference_leaves_nothing_to_a_sample():
    def reference(p):
        return (p["w"] ** 2).sum() + (p["b"] ** 2).sum()

    result = sampled("differences", scaled(doubled, 1 + 1e-9, (59, 49)), reference=reference)
    assert (row(result)["checked"], row(result)["fail"], row(result)["directions"]) == (3000, 1, None)
    assert row(result)["oracles"]["autograd"]["worst"]["index"] == [59, 49]


# Functions of PyTorch.


def sigmoid_derivative(x):
    s = torch.sigmoid(x)
    return s + x * s * (1 - s)


class Swish(torch.autograd.Function):
    factor = 1.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        return dout * sigmoid_derivative(x)


class WrongSwish(Swish):
    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        return dout * sigmoid_derivative(x) * 1.001


class SwishInNumPy(Swish):
    """Autograd can't see through its forward."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        array = x.detach().numpy()
        return torch.from_numpy(array / (1 + np.exp(-array)))


class WrongSwishInNumPy(SwishInNumPy):
    backward = WrongSwish.backward


class Scaled(torch.autograd.Function):
    """Two outputs that can be differentiated and two that can't; a mask and a number that get no gradient."""

    factor = 1.0

    @staticmethod
    def forward(x, mask, k, rows):
        return x[rows] * mask[rows] * k, (x**2).sum(), 7, x > 0

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, mask, ctx.k, rows = inputs
        ctx.save_for_backward(x, mask, rows)
        ctx.mark_non_differentiable(output[3])

    @classmethod
    def backward(cls, ctx, dout, dsum, _, __):
        x, mask, rows = ctx.saved_tensors
        dx = 2 * x * dsum
        dx[rows] += dout * mask[rows] * ctx.k
        return Scaled.factor * dx, None, None, None


class Twice(torch.autograd.Function):
    """Works in place."""

    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, dout):
        return 2 * dout


x64 = torch.tensor(rng.standard_normal((3, 4)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("right", "wrong"), [(Swish, WrongSwish), (SwishInNumPy, WrongSwishInNumPy)])
def test_a_function_against_its_own_forward(right, wrong, dtype):
    parameters, *functions = of_function(right, {"x": x64.to(dtype)})
    assert (functions[2] is None) == (right is SwishInNumPy)
    result = check(parameters, *functions)
    assert (result.verdict, counts(result, "x"), result.faults) == ("pass", {"pass": 12}, [])
    assert ("autograd" in row(result, "x")["oracles"]) == (right is Swish)
    allowed = next(iter(row(result, "x")["oracles"].values()))["worst"]["allowed"]
    assert 1e-15 < allowed < (1e-11 if dtype == torch.float64 else 1e-4)
    result = check(*of_function(wrong, {"x": x64.to(dtype)}))
    assert counts(result, "x") == {"fail": 12}
    assert "multiplied by 1.001" in row(result, "x")["diagnosis"]


def test_a_function_with_setup_context_and_inputs_of_all_kinds(monkeypatch):
    inputs = {"x": x64.clone().requires_grad_(), "mask": torch.rand(3, 4).double(), "k": 3, "rows": torch.tensor([0, 2])}
    result = check(*of_function(Scaled, inputs))
    assert (result.verdict, [tensor["name"] for tensor in result.tensors]) == ("pass", ["x"])
    assert "autograd" in row(result, "x")["oracles"]
    monkeypatch.setattr(Scaled, "factor", 1 + 1e-6)
    assert check(*of_function(Scaled, inputs)).verdict == "fail"


def test_a_backward_that_returns_none_says_0():
    inputs = {"x": x64, "mask": torch.rand(3, 4).double() + 0.1, "k": 3, "rows": torch.tensor([0, 2])}
    result = check(*of_function(Scaled, inputs))
    assert (counts(result, "x"), counts(result, "mask")) == ({"pass": 12}, {"fail": 8, "pass": 4})
    assert result.faults == []
    assert row(result, "mask")["diagnosis"] == "mask: it is multiplied by 0: it is missing"


def test_a_function_that_works_in_place_or_loses_its_type():
    before = x64.clone()
    assert check(*of_function(Twice, {"x": x64})).verdict == "pass"
    assert torch.equal(x64, before)
    with pytest.raises(UserError, match=r"of_function\(Twice, ...\): none of the inputs is a floating tensor"):
        of_function(Twice, {"x": torch.arange(3), "y": 2.0})


@pytest.mark.cuda
def test_a_function_on_the_gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    for dtype in (torch.float64, torch.float32):
        assert check(*of_function(Swish, {"x": x64.to("cuda", dtype)})).verdict == "pass"
        assert check(*of_function(WrongSwish, {"x": x64.to("cuda", dtype)})).verdict == "fail"


# Layers.

SIZES = (4, 5, 3)
LAMS = (0.02, 0.05)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])


def net_parameters(batch_norm=False, column=True):
    """As in the course: W (out, in), b (m, 1)."""
    draw, found = np.random.default_rng(1).standard_normal, {}
    for layer in (1, 2):
        out = SIZES[layer]
        shape = (out, 1) if column else (out,)
        found |= {f"W{layer}": draw((out, SIZES[layer - 1])), f"b{layer}": draw(shape)}
        if batch_norm and layer == 1:
            found |= {"gamma1": 1 + 0.1 * draw(shape), "beta1": draw(shape)}
    return found


def net_cost(p, loss, lams, xp=np):
    """The network of `net_parameters` with samples as columns, written anew, for NumPy and for PyTorch."""
    data, Y = X.T, np.eye(3)[LABELS].T
    if xp is torch:
        data, Y = torch.tensor(data), torch.tensor(Y)
    S = p["W1"] @ data + p["b1"].reshape(-1, 1)  # (5, n)
    if "gamma1" in p:
        mean = S.mean(1).reshape(-1, 1)
        S = (S - mean) / (((S - mean) ** 2).mean(1).reshape(-1, 1) + 1e-5) ** 0.5
        S = p["gamma1"].reshape(-1, 1) * S + p["beta1"].reshape(-1, 1)
    S = p["W2"] @ (S * (S > 0)) + p["b2"].reshape(-1, 1)  # (3, n)
    softmax = loss == "softmax"
    each = xp.log(xp.exp(S).sum(0)) - (Y * S).sum(0) if softmax else (xp.log(1 + xp.exp(S)) - Y * S).mean(0)  # (n,)
    return each.mean() + lams[0] * (p["W1"] ** 2).sum() + lams[1] * (p["W2"] ** 2).sum()


def net_gradients(p, loss, lams):
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in p.items()}
    found = torch.autograd.grad(net_cost(leaves, loss, lams, torch), list(leaves.values()))
    return {name: gradient.numpy() for name, gradient in zip(leaves, found, strict=True)}


def check_net(loss="softmax", batch_norm=False, column=True, gradients=net_gradients, layers=None):
    """Checks it with its true layers but for those fields that `layers` names."""
    return check(
        net_parameters(batch_norm, column),
        lambda p: net_cost(p, loss, LAMS),
        lambda p: gradients(p, loss, LAMS),
        layers=Layers(**{"X": X, "y": LABELS, "loss": loss, "lam": LAMS} | (layers or {})),
    )


@pytest.mark.parametrize(
    ("loss", "batch_norm", "column"),
    [("softmax", False, True), ("sigmoid", False, False), ("softmax", True, False), ("sigmoid", True, True)],
)
def test_layers_of_a_network(loss, batch_norm, column):
    result = check_net(loss, batch_norm, column)
    assert (result.verdict, result.faults) == ("pass", [])
    assert all(set(tensor["oracles"]) == {"autograd", "complex-step", "central-difference"} for tensor in result.tensors)

    def half_penalty(p, loss, lams):
        found = net_gradients(p, loss, lams)
        return found | {"W2": found["W2"] - lams[1] * p["W2"]}

    result = check_net(loss, batch_norm, column, gradients=half_penalty)
    assert [tensor["name"] for tensor in result.tensors if tensor["fail"]] == ["W2"]
    assert "it has lambda*W2 where the cost's derivative is 2*lambda*W2" in row(result, "W2")["diagnosis"]


@pytest.mark.parametrize(
    "wrong", [{"lam": 0.0}, {"lam": (0.02, 0.04)}, {"loss": "sigmoid"}, {"X": X + 0.1}, {"y": LABELS[::-1]}]
)
def test_a_cost_that_is_not_that_of_its_layers_fails(wrong):
    result = check_net(layers=wrong)
    assert result.verdict == "fail"
    assert any(fault.startswith("cost is not that of its layers: by ") for fault in result.faults)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"X": X[:, :2]}, "X has shape (7, 2) and y (7,); they have to be (n, 4) and (n,)"),
        ({"X": X.T}, "X has shape (4, 7)"),
        ({"X": X[:0], "y": LABELS[:0]}, "X has shape (0, 4)"),
        ({"y": LABELS[:3]}, "y (3,)"),
        ({"y": LABELS + 1}, "y has to hold classes, integers from 0 to 2"),
        ({"y": LABELS * 1.0}, "y has to hold classes"),
        ({"loss": "hinge"}, "loss 'hinge' is unknown; choose one of softmax, sigmoid"),
        ({"lam": (0.1, 0.1, 0.1)}, "lambda has 3 values"),
        ({"lam": -1.0}, "lambda must be from 0"),
        ({"lam": "much"}, "lam is 'much'; it has to be a number, or one a layer"),
        ({"X": np.where(X > 2, np.nan, X) if (X > 2).any() else X * np.nan}, "the data are not finite"),
        ({"X": [["a"]]}, "X and y have to be arrays of numbers"),
        ({"X": [[1.0], [1.0, 2.0]]}, "X and y have to be arrays of numbers"),
        ({"loss": ["softmax"]}, "loss ['softmax'] is unknown"),
        ({"eps": "small"}, "eps is 'small'; batch norm needs eps over 0"),
    ],
)
def test_layers_that_do_not_fit_are_one_line(wrong, message):
    with pytest.raises(UserError) as error:
        check_net(layers=wrong)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_parameters_that_are_no_network():
    p = net_parameters()

    def refused(parameters, layers, message, **options):
        with pytest.raises(UserError, match=message):
            check(parameters, lambda p: 0.0, lambda p: {}, layers=layers, **options)

    layers = Layers(X, LABELS)
    refused({"w": W}, layers, "the parameters have to be W1")
    refused({k: v for k, v in p.items() if k != "b2"}, layers, "b2: missing in the state of pair")
    refused(p | {"W2": np.ones((3, 9))}, layers, r"W2: shape \(3, 9\), but pair has \(3, 5\)")
    refused(p, {"X": X}, "layers is a dict; it has to be a Layers")
    refused(p, layers, "give `layers` or a `reference`, not both", reference=lambda p: 0.0)
    refused(net_parameters(batch_norm=True), Layers(X[:1], LABELS[:1]), "batch norm, which needs at least 2 rows")


# What can't be checked.

ONES = {"w": np.ones(2)}
drawn = np.random.default_rng(0)


def total(p):
    return p["w"].sum()


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([1], total, total), "parameters is a list; it has to be a dict"),
        (({}, total, total), "parameters is empty"),
        (({1: np.ones(2)}, total, total), "parameters has the name 1, an int"),
        (({"w": np.ones(2, int)}, total, total), "parameter w has dtype int64"),
        (({"w": np.ones(2, np.float16)}, total, total), "parameter w has dtype float16"),
        (({"w": np.ones((0, 3))}, total, total), r"parameter w is empty: its shape is \(0, 3\)"),
        (({"w": [1.0]}, total, total), "parameter w is a list"),
        (({"w": np.float64(1)}, total, total), "parameter w is a float64; it has to be a NumPy array"),
        (({"w": np.array([1, np.nan])}, total, total), "parameter w is not finite everywhere"),
        (({"w": np.ones(2), "v": torch.ones(2)}, total, total), "parameter w: all have to be arrays, or all tensors"),
        ((ONES, 3, total), "cost is an int; it has to be a function"),
        ((ONES, total, None), "gradients is None; it has to be a function"),
        ((ONES, total, total, 3), "reference is an int; it has to be a function"),
        ((ONES, lambda p: p["w"], total), r"cost\(parameters\) has shape \(2,\)"),
        ((ONES, lambda p: None, total), r"cost\(parameters\) is None"),
        ((ONES, lambda p: (1.0, [2, 3]), total), r"cost\(parameters\) is a tuple"),
        ((ONES, lambda p: np.nan, total), r"cost\(parameters\) is nan"),
        ((ONES, lambda p: np.inf, total), r"cost\(parameters\) is inf"),
        ((ONES, lambda p: 1j, total), r"cost\(parameters\) is 1j"),
        ((ONES, lambda p: p["v"], total), r"cost\(parameters\) raised KeyError in test_pair.py, line \d+: 'v'"),
        ((ONES, lambda p: drawn.random(), total), "is not the same twice"),
        ((ONES, lambda p: exit(0), total), r"cost\(parameters\) raised RuntimeError in test_pair.py, line \d+: it exits"),
        ((ONES, total, lambda p: [p["w"]]), "returned a list; it has to be a dict by parameter name"),
        ((ONES, total, doubled, lambda p: 1.0), "has to return a scalar tensor"),
        ((ONES, total, doubled, lambda p: p["v"]), r"reference\(parameters\) raised KeyError in test_pair.py"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(pair, message):
    with pytest.raises(UserError, match=message) as error:
        check(*pair)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({"w": np.ones(3)}, "the gradient of w has shape (3,), w has (2,)"),
        ({"w": None}, "the gradient of w is None; it has to be an array of shape (2,)"),
        ({"w": np.ones(2) * 1j}, "the gradient of w is complex"),
        ({}, "the gradient of w is missing"),
        ({"w": np.ones(2), "v": np.ones(2)}, "v has a gradient and is no parameter"),
    ],
)
def test_a_gradient_of_another_form_fails(found, fault):
    result = check(ONES, total, lambda p: found)
    assert (result.verdict, result.faults) == ("fail", [fault])


def test_scalars_are_parameters_too():
    parameters = {"a": np.array(2.0)}
    assert check(parameters, lambda p: p["a"] ** 3, lambda p: {"a": 3.0 * p["a"] ** 2}).verdict == "pass"
    assert check(parameters, lambda p: p["a"] ** 3, lambda p: {"a": 3.1 * p["a"] ** 2}).verdict == "fail"


def cross_entropy_of_logits(p):
    s = 1 / (1 + np.exp(-p["w"]))
    return -(TARGETS * np.log(s) + (1 - TARGETS) * np.log(1 - s)).mean()


TARGETS = np.array([0.0, 1, 1, 0])


@pytest.mark.parametrize("largest", [10.0, 20.0])
def test_a_cost_that_rounds_worse_than_its_gradient(largest):
    """log(1 - s) near s = 1 loses digits that (s - t) / n keeps: the complex step goes through the cost and knows no better."""
    w = np.array([largest, -10, 5, 1])
    exact = lambda p: {"w": (1 / (1 + np.exp(-p["w"])) - TARGETS) / 4}  # noqa: E731
    assert check({"w": w}, cross_entropy_of_logits, exact).verdict == "pass"
    wrong = check({"w": w}, cross_entropy_of_logits, lambda p: {"w": exact(p)["w"] * np.array([1, 1, 1 + 1e-9, 1])})
    assert counts(wrong)["fail"] == 1


def test_a_gradient_that_is_not_the_same_twice_fails():
    kept = {"w": 0.0}

    def accumulating(p):
        kept["w"] = kept["w"] + 2 * p["w"]
        return {"w": kept["w"]}

    result = check({"w": W}, lambda p: (p["w"] ** 2).sum(), accumulating)
    assert result.faults == ["gradients changes kept['w'], which gradients reads"]
    assert counts(result) == {"pass": 12}


def test_backward_on_the_parameters_leaves_them_without_a_gradient():
    def gradients(p):
        (p["w"] ** 2).sum().backward()
        return {"w": p["w"].grad}

    w = torch.tensor(W, requires_grad=True)
    assert check({"w": w}, lambda p: (p["w"] ** 2).sum(), gradients).verdict == "pass"
    assert w.grad is None


class Normalised(torch.autograd.Function):
    """A layer norm that hands out its mean and its inverse deviation, too, which nobody may differentiate."""

    @staticmethod
    def forward(ctx, x):
        mean = x.mean(-1, keepdim=True)
        inverse = 1 / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)
        out = (x - mean) * inverse
        ctx.save_for_backward(out, inverse)
        ctx.mark_non_differentiable(mean, inverse)
        return out, mean, inverse

    @staticmethod
    def backward(ctx, d, *nothing):
        out, inverse = ctx.saved_tensors
        return inverse * (d - d.mean(-1, keepdim=True) - out * (d * out).mean(-1, keepdim=True))


class Detached(Normalised):
    """The same numbers, in a forward that autograd was never meant for."""

    @staticmethod
    def forward(ctx, x):
        return Normalised.forward(ctx, x.detach() + 0 * x)


@pytest.mark.parametrize("function", [Normalised, Detached])
def test_outputs_that_are_not_differentiated_and_paths_that_are_detached(function):
    pair = of_function(function, {"x": torch.tensor(X)})
    assert (pair.reference is None) == (function is Detached)
    assert check(*pair).verdict == "pass"


def test_what_can_not_be_put_back_is_said_all_the_same():
    fixed = np.ones(3)
    fixed.flags.writeable = False

    def careless(p):
        p["v"][0] = 9
        return {name: 2 * array for name, array in p.items()}

    result = check({"w": fixed, "v": np.ones(2)}, lambda p: (p["w"] ** 2).sum() + (p["v"] ** 2).sum(), careless)
    assert result.faults == ["gradients changes its parameters in place: v; it may only read what it is given"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "a"}, "budget is 'a'; it has to be a number of seconds over 0"),
        ({"budget": float("nan")}, "budget is nan"),
        ({"budget": -1}, "budget is -1"),
        ({"seed": 1.5}, "seed is 1.5; it has to be an integer from 0"),
        ({"oracles": None}, "oracles is None; it has to be a list of some of autograd"),
        ({"oracles": "autograd"}, "oracles is 'autograd'"),
    ],
)
def test_options_of_the_wrong_kind_are_one_line(options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check({"w": np.ones(2)}, lambda p: (p["w"] ** 2).sum(), lambda p: {"w": 2 * p["w"]}, **options)


def test_a_seed_may_be_an_integer_of_numpy():
    assert (
        check({"w": np.ones(2)}, lambda p: (p["w"] ** 2).sum(), lambda p: {"w": 2 * p["w"]}, seed=np.int64(3)).verdict == "pass"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, {"x": x64}), "it has to be a class, a subclass of torch.autograd.Function"),
        ((3, {"x": x64}), "it has to be a class"),
        ((Swish, x64), "inputs is a Tensor; it has to be a dict by name"),
    ],
)
def test_of_function_refuses_what_is_no_function(arguments, message):
    with pytest.raises(UserError, match=re.escape(message)):
        of_function(*arguments)
