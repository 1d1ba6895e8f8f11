"""Right gradients that are hard on a checker, each beside a wrong one that is still seen: ties, zeros, saturation, scales."""

import numpy as np
import pytest
import torch

from gradcheck import check

rng = np.random.default_rng(3)
WHOLE = rng.integers(-4, 9, (20, 4)).astype(float)
D = rng.standard_normal((20, 4))
X, T = rng.standard_normal((15, 5)), rng.choice([-1.0, 1.0], 15)
LABELS = rng.integers(0, 3, 6)


def real(array):
    """What leaves central differences alone."""
    return np.real(array)


def steps_of_relu6(x):
    return (x > 0) & (x < 6)


def hinge(w):
    return np.maximum(0, 1 - T * (np.round(X) @ w)).mean()


def of_hinge(w):
    return -(np.round(X) * (T * (1 - T * (np.round(X) @ w) > 0))[:, None]).mean(axis=0)


def perceptron(w):
    return np.maximum(0, -T * (X @ w)).mean()


def of_perceptron(w):
    return -(X * (T * (-T * (X @ w) > 0))[:, None]).mean(axis=0)


def of_norm(w):
    size = np.linalg.norm(w)
    return w / size if size else 0 * w


def cross_entropy(logits):
    shifted = logits - logits.real.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_p[np.arange(6), LABELS].mean()


def of_cross_entropy(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return (p - np.eye(3)[LABELS]) / 6


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# Point, cost and right gradient of one tensor.
RIGHT = {
    "a hinge on whole numbers": (np.array([1.0, -1, 0, 2, 1]), hinge, of_hinge),
    "a perceptron at 0": (np.zeros(5), perceptron, of_perceptron),
    "a norm at 0": (np.zeros(4), np.linalg.norm, of_norm),
    "a lasso with zeros": (np.array([0.0, 1, 0, -2]), lambda w: np.abs(w).sum() + (w**2).sum(), lambda w: np.sign(w) + 2 * w),
    "hard swish at its kinks": (
        np.array([-3.0, 3, 0, 1.5, -5, 7]),
        lambda x: (x * np.minimum(np.maximum(x + 3, 0), 6) / 6).sum(),
        lambda x: np.where((x >= -3) & (x <= 3), x / 3 + 0.5, (x >= 3) * 1.0),
    ),
    "a maximum of dead units": (
        np.maximum(rng.standard_normal((20, 3)) - 1, 0),
        lambda x: (D[:, 0] * x.max(axis=1) ** 2).sum(),
        lambda x: 2 * x * (x == x.max(axis=1, keepdims=True)) * D[:, :1],
    ),
    "a perfect fit": (
        np.array([1.0, -2, 3, 0, 1]),
        lambda w: ((np.round(X) @ (w - np.array([1.0, -2, 3, 0, 1]))) ** 2).sum(),
        lambda w: 2 * np.round(X).T @ (np.round(X) @ (w - np.array([1.0, -2, 3, 0, 1]))),
    ),
    "a weight decay at 0": (np.zeros((2, 3)), lambda w: (w**2).sum() / 2, lambda w: w),
    "a cube at 0": (np.array([0.0, 1, 2]), lambda w: (w**3).sum(), lambda w: 3 * w**2),
    "saturated logits": (700 * rng.standard_normal((6, 3)), cross_entropy, of_cross_entropy),
    "scales apart": (10.0 ** np.arange(-9, 10, 3), lambda w: np.log1p(w**2).sum(), lambda w: 2 * w / (1 + w**2)),
    "scales apart, differences": (
        10.0 ** np.arange(-3, 4, 1),
        lambda w: np.arctan(real(w) / 10.0 ** np.arange(-3, 4)).sum(),
        lambda w: 1 / (1 + (w / 10.0 ** np.arange(-3, 4)) ** 2) / 10.0 ** np.arange(-3, 4),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_gradient_passes(name):
    w, cost, gradient = RIGHT[name]
    result = check({"w": w}, lambda p: cost(p["w"]), lambda p: {"w": gradient(p["w"])})
    assert (result.verdict, result.faults) == ("pass", []), result
    assert not any(note.startswith("A COST IN STEPS") for note in result.notes)


@pytest.mark.parametrize("name", RIGHT)
def test_a_constant_added_to_it_fails(name):
    w, cost, gradient = RIGHT[name]
    off = 3.0 if "perceptron" in name or "norm" in name or "lasso" in name or "hinge" in name else 1e-3
    result = check({"w": w}, lambda p: cost(p["w"]), lambda p: {"w": gradient(p["w"]) + off})
    assert result.verdict == "fail", result


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.1, "fail")])
def test_ties_of_one_tensor_do_not_hide_an_error_in_another(factor, verdict):
    """Every run beside these whole numbers switches some ReLU6."""

    def cost(p):
        return (D * np.minimum(np.maximum(p["x"], 0), 6) * p["w"]).sum()

    def gradients(p):
        within = np.minimum(np.maximum(p["x"], 0), 6)
        return {"x": D * p["w"] * steps_of_relu6(p["x"]), "w": factor * (D * within).sum(axis=0)}

    result = check({"x": WHOLE, "w": np.ones(4)}, cost, gradients)
    assert result.verdict == verdict
    assert [row["verdict"] for row in result.tensors] == ["pass", verdict]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("part", [lambda w: w, real], ids=["complex step", "differences"])
def test_a_fast_oscillation(seed, part):
    w = np.random.default_rng(seed).standard_normal(3)
    cost = lambda p: np.sin(1e6 * part(p["w"])).sum()  # noqa: E731
    assert check({"w": w}, cost, lambda p: {"w": 1e6 * np.cos(1e6 * p["w"])}, seed=seed).verdict == "pass"
    assert check({"w": w}, cost, lambda p: {"w": 1.001e6 * np.cos(1e6 * p["w"])}, seed=seed).verdict == "fail"


@pytest.mark.parametrize("largest", [20.0, 30.0, 34.0, 36.0])
def test_a_forward_that_rounds_in_one_entry_alone(largest):
    """log(1 - sigmoid(x)): the gradient is right where the cost has no digits left, and the smooth entry stays decided."""
    w = {"w": np.array([largest, 1.0])}

    def cost(p):
        return -np.log(1 - sigmoid(p["w"])).sum()

    def cost_by_index(p):
        return -np.log(1 - sigmoid(p["w"][0])) - np.log(1 - sigmoid(p["w"][1]))

    for each in (cost, cost_by_index):
        right = check(w, each, lambda p: {"w": sigmoid(p["w"])}).tensors[0]
        assert right["fail"] == 0
        assert right["pass"] >= 1
    wrong = check(w, cost, lambda p: {"w": sigmoid(p["w"]) * np.array([1, 1.001])}).tensors[0]
    assert wrong["fail"] == 1


@pytest.mark.parametrize("claimed", [0.0, -2.5])
def test_a_cost_that_does_not_move_is_not_verified(claimed):
    line = "the cost does not depend on w or v: does it use the parameters that it is given?"
    parameters = {"w": np.ones(3), "v": np.zeros(2)}
    result = check(parameters, lambda p: 1.0 + 0 * p["w"].sum(), lambda p: {k: a * 0 + claimed for k, a in p.items()})
    assert result.verdict == "undecided"
    assert result.notes.count(line) == 1


PIECES = {
    "constant in pieces": ({"w": np.array([1.3, 2.6]), "v": np.ones(2)}, lambda p: np.floor(p["w"].real).sum()),
    "a saddle": ({"w": np.zeros(2), "v": np.zeros(2)}, lambda p: (p["w"] * p["v"]).sum()),
}


@pytest.mark.parametrize("name", PIECES)
def test_a_cost_that_moves_for_no_entry_is_not_verified(name):
    parameters, cost = PIECES[name]
    result = check(parameters, cost, lambda p: {key: 0 * array for key, array in p.items()})
    assert result.verdict == "undecided"
    assert "the cost does not depend on w or v: does it use the parameters that it is given?" in result.notes


def test_a_module_that_does_not_see_the_parameters_it_is_given():
    net = torch.nn.Linear(3, 2).double()
    inputs = torch.tensor(X[:, :3])

    def cost(p):
        return net(inputs).pow(2).sum()

    def gradients(p):
        return dict(zip(p, torch.autograd.grad(cost(p), list(net.parameters())), strict=True))

    result = check(dict(net.named_parameters()), cost, gradients)
    assert result.verdict == "undecided"
    assert "the cost does not depend on weight or bias: does it use the parameters that it is given?" in result.notes


@pytest.mark.parametrize(("claimed", "verdict"), [(0.0, "pass"), (1e-6, "fail")])
def test_what_a_tensor_does_not_do_is_decided(claimed, verdict):
    """A dead unit, and a tensor that nothing uses, beside one that is alive."""
    parameters = {"dead": -np.ones(3), "unused": np.ones(2), "alive": np.ones(2)}

    def cost(p):
        return np.maximum(p["dead"], 0).sum() + (p["alive"] ** 2).sum()

    result = check(parameters, cost, lambda p: {"dead": np.full(3, claimed), "unused": np.zeros(2), "alive": 2 * p["alive"]})
    assert result.verdict == verdict
    assert result.tensors[1]["verdict"] == "pass"


class InexactOracle(torch.autograd.Function):
    """x**2, whose derivative a library knows to ten digits."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        return 2 * x * dout * (1 + 2e-10)


def test_two_exact_oracles_that_disagree_do_not_fail_what_one_confirms():
    w = np.linspace(0.5, 2, 5)
    result = check(
        {"w": w}, lambda p: (p["w"] ** 2).sum(), lambda p: {"w": 2 * p["w"]}, lambda p: InexactOracle.apply(p["w"]).sum()
    )
    assert result.verdict == "pass"
    assert any("autograd" in note for note in result.notes)


INFINITE_AT_0 = {
    "a square root": (lambda w: np.sqrt(np.abs(w)), lambda w: np.sign(w) / 2 / np.sqrt(np.abs(w))),
    "a cubic root": (np.cbrt, lambda w: 1 / 3 / np.cbrt(w) ** 2),
}


@pytest.mark.parametrize("name", INFINITE_AT_0)
@pytest.mark.parametrize("part", [lambda w: w, real], ids=["complex step", "differences"])
def test_a_slope_that_is_infinite_is_not_confirmed_as_0(name, part):
    cost, gradient = INFINITE_AT_0[name]

    def gradients(p):
        at_0 = p["w"] == 0
        return {"w": np.where(at_0, 0, gradient(p["w"] + at_0))}

    row = check({"w": np.array([0.0, 1, 2])}, lambda p: cost(part(p["w"])).sum(), gradients).tensors[0]
    assert (row["pass"], row["undecided"]) == (2, 1)


def test_an_inexact_reference_fails_no_entry_however_many_there_are():
    """Beyond the entries that a second look is taken at, nothing is decided."""
    w = np.linspace(0.5, 2, 700)
    cost = lambda p: (real(p["w"]) ** 2).sum()  # noqa: E731
    result = check({"w": w}, cost, lambda p: {"w": 2 * p["w"]}, lambda p: InexactOracle.apply(p["w"]).sum())
    assert result.tensors[0]["fail"] == 0


def test_a_complex_step_that_a_library_answers_inexactly_is_set_aside():
    def square(w):
        """Its complex part is right to nine digits, as those of some functions of SciPy are."""
        return w**2 * (1 + 1e-9j * np.sign(np.imag(w))) if np.iscomplexobj(w) and np.any(np.imag(w)) else w**2

    def cube(w):
        exact = np.asarray(w) ** 3
        return np.real(exact) + 1j * np.imag(exact) * (1 + 1e-9) if np.iscomplexobj(exact) else exact

    w = np.linspace(0.5, 2, 5)
    for cost, gradient in ((square, lambda w: 2 * w), (cube, lambda w: 3 * w**2)):
        result = check({"w": w}, lambda p, cost=cost: cost(p["w"]).sum(), lambda p, g=gradient: {"w": g(p["w"])})
        assert result.verdict != "fail"
        assert result.tensors[0]["fail"] == 0


def test_what_underflows_in_float32_is_right():
    """The softmax of a logit far below the others is 0 in float32, and 1e-61 in float64."""
    w, y = np.array([[0, -140, 3], [1, 2, -300]], np.float32), np.eye(3)[[0, 1]]

    def log_sum_exp(x):
        highest = x.max(-1, keepdims=True)
        return (np.log(np.exp(x - highest).sum(-1, keepdims=True)) + highest).sum()

    def gradients(p):
        exp = np.exp(p["w"] - p["w"].max(-1, keepdims=True))
        return {"w": exp / exp.sum(-1, keepdims=True) - y.astype(exp.dtype)}

    assert check({"w": w}, lambda p: log_sum_exp(p["w"]) - (y * p["w"]).sum(), gradients).verdict == "pass"
