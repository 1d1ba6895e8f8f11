"""Who changed what: gradients, cost, the reference; what is harmless, what is put back, and which two calls are the same."""

import functools

import numpy as np
import pytest
import torch

from gradcheck import Layers, check, of_function
from gradcheck.report.sentences import failures
from gradcheck.subjects.first_calls import AFTER_COST, DEPENDS_ON_CALLS, REMEMBERED, first_answers
from gradcheck.subjects.pair import Calls, Pair

rng = np.random.default_rng(0)
X, W = rng.standard_normal((6, 4)), rng.standard_normal((3, 4))
X_TORCH = torch.tensor(X)


def cost(p, data=X):
    return (np.tanh(data @ p["w"].T) ** 2).sum()


def gradient(w, data=X):
    T = np.tanh(data @ w.T)
    return (2 * T * (1 - T**2)).T @ data


def verdicts(result):
    return [tensor["verdict"] for tensor in result.tensors]


# What a call of gradients changes and reads again.


def adds_in_place():
    total = np.zeros_like(W)

    def gradients(p):
        nonlocal total
        total += gradient(p["w"])
        return {"w": total}

    return gradients, "total"


def adds_to_a_new_array():
    total = np.zeros_like(W)

    def gradients(p):
        nonlocal total
        total = total + gradient(p["w"])
        return {"w": total}

    return gradients, "total"


def adds_in_a_dict():
    sums = {"w": np.zeros_like(W)}

    def gradients(p):
        sums["w"] += gradient(p["w"])
        return sums

    return gradients, "sums['w']"


def adds_in_a_default():
    def gradients(p, buffer=np.zeros_like(W)):  # noqa: B008
        buffer += gradient(p["w"])
        return {"w": buffer}

    return gradients, "buffer"


class Layer:
    shared = np.zeros_like(W)

    def __init__(self):
        self.dW = np.zeros_like(W)

    def backward(self, p):
        self.dW += gradient(p["w"])
        return {"w": self.dW}

    def backward_of_class(self, p):
        Layer.shared = Layer.shared + gradient(p["w"])
        return {"w": Layer.shared}


def adds_in_an_attribute():
    return Layer().backward, "self.dW"


def adds_in_a_class():
    return Layer().backward_of_class, "Layer.shared"


def adds_in_an_object_of_a_partial():
    layer = Layer()
    return functools.partial(lambda kept, p: kept[0].backward(p), [layer]), "args[0][0].dW"


def counts_its_steps():
    steps = {"t": 0}

    def gradients(p):
        steps["t"] += 1
        return {"w": gradient(p["w"]) * (1 - 0.9 ** steps["t"]) / 0.1}

    return gradients, "steps['t']"


KEEPS = [
    adds_in_place,
    adds_to_a_new_array,
    adds_in_a_dict,
    adds_in_a_default,
    adds_in_an_attribute,
    adds_in_a_class,
    adds_in_an_object_of_a_partial,
    counts_its_steps,
]


@pytest.mark.parametrize("make", KEEPS, ids=[make.__name__ for make in KEEPS])
def test_what_gradients_keeps_is_named_and_put_back_so_that_the_check_is_about_the_gradient(make):
    gradients, name = make()
    result = check({"w": W}, cost, gradients)
    assert result.faults == [f"gradients changes {name}, which gradients reads"]
    assert (result.verdict, verdicts(result)) == ("fail", ["pass"])
    first = gradients({"w": W})["w"]
    np.testing.assert_allclose(first, gradient(W), rtol=1e-12, err_msg="it was not put back after the check")
    Layer.shared = np.zeros_like(W)


def test_an_upstream_gradient_that_is_added_to_is_named_with_its_readers():
    upstream = rng.standard_normal((2, 3))

    def backward(d, a):
        d *= 2 * a
        return d

    result = check({"a": W[:2, :3]}, lambda p: (upstream * p["a"] ** 2).sum(), lambda p: {"a": backward(upstream, p["a"])})
    assert result.faults == ["gradients changes upstream, which cost and gradients read"]
    assert verdicts(result) == ["pass"]


def test_a_grad_that_is_never_zeroed_is_named():
    net = torch.nn.Linear(4, 3, bias=False, dtype=torch.float64)

    def torch_cost(p):
        return (torch.tanh(X_TORCH @ p["w"].T) ** 2).sum()

    def gradients(p, zero=False):
        if zero:
            net.zero_grad()
        with torch.no_grad():
            net.weight.copy_(p["w"])
        torch_cost({"w": net.weight}).backward()
        return {"w": net.weight.grad}

    before = net.weight.detach().clone()
    result = check({"w": torch.tensor(W)}, torch_cost, gradients)
    assert result.faults == ["gradients changes net.weight.grad, which gradients reads"]
    assert (net.weight.grad, torch.equal(net.weight, before)) == (None, True)
    assert check({"w": torch.tensor(W)}, torch_cost, lambda p: gradients(p, zero=True)).verdict == "pass"


def test_what_nobody_reads_again_is_harmless():
    work, history, calls = np.zeros_like(W), [], {"n": 0}

    def counted(p):
        calls["n"] += 1
        history.append(cost(p))
        return history[-1]

    def gradients(p):
        work[...] = gradient(p["w"])
        return {"w": work}

    result = check({"w": W}, counted, gradients)
    assert (result.verdict, result.faults, result.notes) == ("pass", [], [])
    assert calls["n"] == len(history) > 10, "what counts calls goes on counting"
    assert not work.any(), "arrays are put back after the check"


# Who it was.


def test_parameters_outside_that_gradients_updates():
    mine = W.copy()

    def step(p):
        found = gradient(p["w"])
        mine.__isub__(0.1 * found)
        return {"w": found}

    result = check({"w": mine}, cost, step)
    assert result.faults == ["gradients changes parameters['w'], which it may only read"]
    assert verdicts(result) == ["pass"]
    assert np.array_equal(mine, W)


def test_data_of_layers_that_gradients_changes():
    data = X.copy()

    def shifting(p):
        data[0, 0] += 1
        return net_gradients(p)

    result = check(NET, net_cost, shifting, layers=Layers(data, LABELS, lam=0.1))
    assert result.faults == ["gradients changes layers.X, which it may only read"]
    assert verdicts(result) == ["pass", "pass"]
    assert np.array_equal(data, X)


def test_data_that_cost_changes():
    data = X.copy()

    def shrinking(p):
        value = cost(p, data)
        data.__imul__(0.9)
        return value

    result = check({"w": W}, shrinking, lambda p: {"w": gradient(p["w"])})
    assert result.faults == ["cost changes data, which cost reads"]
    assert verdicts(result) == ["pass"]


def test_data_that_the_reference_changes():
    scale = np.ones(1)

    def reference(p):
        value = (p["w"] ** 2).sum() * float(scale[0])
        scale[...] *= 2
        return value

    result = check({"w": W}, lambda p: scale[0] * (p["w"] ** 2).sum(), lambda p: {"w": 2 * scale * p["w"]}, reference)
    assert result.faults == ["reference changes scale, which cost and gradients read"]
    assert verdicts(result) == ["pass"]


# A network whose layers are known.

LABELS = rng.integers(0, 3, 6)
NET = {"W1": W.copy(), "b1": np.zeros(3)}


def log_probabilities(p):
    S = X @ p["W1"].T + p["b1"]
    return S - np.log(np.exp(S).sum(axis=1, keepdims=True))


def net_cost(p, lam=0.1):
    return -log_probabilities(p)[np.arange(6), LABELS].mean() + lam * (p["W1"] ** 2).sum()


def net_gradients(p, lam=0.1):
    dS = (np.exp(log_probabilities(p)) - np.eye(3)[LABELS]) / 6
    return {"W1": dS.T @ X + 2 * lam * p["W1"], "b1": dS.sum(axis=0)}


def updates_afterwards(p):
    found = net_gradients(p)
    for name in p:
        p[name] -= 0.1 * found[name]
    return found


def scales_before(p):
    p["W1"] *= 1.001
    return net_gradients(p)


@pytest.mark.parametrize("layers", [None, Layers(X, LABELS, lam=0.1)], ids=["black box", "layers"])
def test_a_backward_that_updates_its_parameters_has_a_right_gradient_and_fails(layers):
    result = check(NET, net_cost, updates_afterwards, layers=layers)
    sentence = "gradients changes its parameters in place: W1 and b1; it may only read what it is given"
    assert (result.verdict, result.faults, verdicts(result)) == ("fail", [sentence], ["pass", "pass"])
    assert failures(result.as_json()) == [f"fail: pair, {sentence}"]


@pytest.mark.parametrize("layers", [None, Layers(X, LABELS, lam=0.1)], ids=["black box", "layers"])
def test_a_backward_that_changes_a_weight_first_is_told_so_in_place_of_a_list_of_tensors(layers):
    result = check(NET, net_cost, scales_before, layers=layers)
    change, consequence = failures(result.as_json())
    assert change == "fail: pair, gradients changes its parameters in place: W1; it may only read what it is given"
    assert consequence.startswith("fail: pair, what it returns is not the gradient by W1 and b1 at the parameters that it was")


@pytest.mark.parametrize("layers", [None, Layers(X, LABELS, lam=0.1)], ids=["black box", "layers"])
def test_a_backward_that_raises_is_one_line(layers):
    def gradients(p):
        raise ValueError("shapes (9,4) and (6,4) not aligned")

    result = check(NET, net_cost, gradients, layers=layers)
    (line,) = failures(result.as_json())
    assert line.startswith("fail: pair, the backward pass raised ValueError in test_blame.py, line ")


def test_layers_with_another_lambda_accuse_no_tensor():
    result = check(NET, net_cost, net_gradients, layers=Layers(X, LABELS, lam=0.3))
    (fault,) = result.faults
    assert fault.startswith("cost is not that of its layers: by W1[")
    assert fault.endswith("as if lambda, lam, were 0.1 for W1; layers are left out of this check")
    assert (result.verdict, verdicts(result)) == ("fail", ["pass", "pass"])
    result = check(NET, net_cost, net_gradients, layers=Layers(X[::-1], LABELS, lam=0.1))
    assert "lambda" not in result.faults[0]
    assert verdicts(result) == ["pass", "pass"]


# Calls in a row.


class Linear:
    def forward(self, p):
        self.T = np.tanh(X @ p["w"].T)
        return (self.T**2).sum()

    def backward(self, p):
        return {"w": (2 * self.T * (1 - self.T**2)).T @ X}

    def backward_in_place(self, p):
        self.T *= 2 * (1 - self.T**2)
        return {"w": self.T.T @ X}


class Stack(Linear):
    """Its backward takes the last of what its forwards have put down."""

    def __init__(self):
        self.kept = []

    def forward(self, p):
        value = super().forward(p)
        self.kept.append(self.T)
        return value

    def backward(self, p):
        T = self.kept.pop()
        return {"w": (2 * T * (1 - T**2)).T @ X}


@pytest.mark.parametrize("factor", [1.0, 1.001])
@pytest.mark.parametrize(
    ("layer", "backward"), [(Linear, "backward"), (Linear, "backward_in_place"), (Stack, "backward")], ids=str
)
def test_a_backward_that_needs_the_forward_just_before_gets_it_and_a_note_says_so(layer, backward, factor):
    layer = layer()
    result = check({"w": W}, layer.forward, lambda p: {"w": factor * getattr(layer, backward)(p)["w"]})
    assert (result.faults, AFTER_COST in result.notes) == ([], True)
    assert result.verdict == ("pass" if factor == 1 else "fail")


def test_a_graph_that_cost_builds_and_gradients_goes_back_through():
    kept = {}

    def forward(p):
        kept["loss"] = (torch.tanh(X_TORCH @ p["w"].T) ** 2).sum()
        return kept["loss"]

    def gradients(p):
        kept["loss"].backward()
        return {"w": p["w"].grad}

    result = check({"w": torch.tensor(W, requires_grad=True)}, forward, gradients)
    assert (result.verdict, AFTER_COST in result.notes) == ("pass", True)


def test_a_gradient_that_remembers_its_first_answer():
    kept = {}

    def gradients(p):
        if not kept:
            kept["w"] = gradient(p["w"])
        return kept

    assert check({"w": W}, cost, gradients).faults == [REMEMBERED]


def test_a_gradient_that_returns_its_last_answer():
    kept = [gradient(W)]

    def gradients(p):
        kept.append(gradient(p["w"]))
        return {"w": kept[-2]}

    assert check({"w": W}, cost, gradients).faults in ([REMEMBERED], [DEPENDS_ON_CALLS])


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_what_does_not_change_with_the_parameters_is_not_remembered(dtype):
    constant = check({"w": W}, lambda p: 3 * p["w"].sum(), lambda p: {"w": np.full(W.shape, 3, dtype)})
    kinked = check({"w": W}, lambda p: (p["w"] * np.sign(p["w"].real)).sum(), lambda p: {"w": np.sign(p["w"]).astype(dtype)})
    curved = check({"w": np.ones(3)}, lambda p: (p["w"] ** 2).sum(), lambda p: {"w": (2 * p["w"]).astype(dtype)})
    assert [result.verdict for result in (constant, kinked, curved)] == ["pass", "pass", "pass"]


# Rounding.


def summed_in_another_order(drawn, terms):
    return terms[drawn.permutation(len(terms))].sum()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_another_order_of_summation_is_the_same_call_and_its_spread_is_measured(dtype):
    drawn, data = np.random.default_rng(1), np.random.default_rng(2).standard_normal(1000).astype(dtype)

    def noisy_cost(p):
        return summed_in_another_order(drawn, np.sin(p["w"] * data))

    def gradients(p):
        return {"w": summed_in_another_order(drawn, np.cos(p["w"] * data) * data).reshape(1)}

    pair = Pair({"w": np.array([0.7], dtype)}, noisy_cost, gradients)
    assert (check(*pair).verdict, check(*pair).faults) == ("pass", [])
    spread = first_answers(Calls(pair)).spread["w"]
    assert 0 < spread[0] < 1000 * np.finfo(dtype).eps


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0])
def test_what_differs_by_more_than_rounding_is_not_the_same_and_the_spread_is_stated(size):
    drawn = np.random.default_rng(1)

    def gradients(p):
        return {"w": gradient(p["w"]) * (1 + size * drawn.standard_normal(W.shape))}

    pair = Pair({"w": W}, cost, gradients)
    (fault,) = check(*pair).faults
    assert fault.startswith(
        "the gradient of w is not the same twice: it depends on more than the parameters; in 8 calls an entry"
    )
    assert size < first_answers(Calls(pair)).spread["w"].max() < 100 * size


class Dropped(torch.autograd.Function):
    factor = 1.0

    @staticmethod
    def forward(ctx, x):
        mask = (torch.rand_like(x) > 0.2) / 0.8
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx, dout):
        (mask,) = ctx.saved_tensors
        return Dropped.factor * dout * mask


class DroppedByBernoulli(Dropped):
    @staticmethod
    def forward(ctx, x):
        mask = torch.empty_like(x).bernoulli_(0.8) * torch.bernoulli(torch.full_like(x, 0.5))
        ctx.save_for_backward(mask)
        return x * mask


class DroppedByDropout(Dropped):
    @staticmethod
    def forward(ctx, x):
        mask = torch.nn.functional.dropout(torch.ones_like(x), 0.3)
        ctx.save_for_backward(mask)
        return x * mask


class DroppedNatively(Dropped):
    @staticmethod
    def forward(ctx, x):
        out, mask = torch.native_dropout(x, 0.3, True)
        ctx.save_for_backward(mask.to(x) / 0.7)
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", [Dropped, DroppedByBernoulli, DroppedByDropout, DroppedNatively])
def test_a_function_that_drops_out_has_the_same_mask_in_every_dtype(function, dtype, monkeypatch):
    x = torch.tensor(rng.standard_normal((6, 8)), dtype=dtype)
    result = check(*of_function(function, {"x": x}))
    assert (result.verdict, result.faults) == ("pass", [])
    assert "autograd" in result.tensors[0]["oracles"]
    monkeypatch.setattr(Dropped, "factor", 1.001)
    assert check(*of_function(function, {"x": x})).verdict == "fail"
