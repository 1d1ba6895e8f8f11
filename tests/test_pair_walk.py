"""What is right at the parameters alone, or at each entry of a tie alone: beside them, and where the entries move together."""

import numpy as np
import pytest
import torch

from gradcheck import check

rng = np.random.default_rng(0)
X, D = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
BESIDE = "is wrong beside the parameters"
TOGETHER = "TIED ENTRIES: each is right by itself"


def scaled(p):
    return (D * np.tanh(p["x"] * p["gamma"])).sum()


def of_scaled(p, factor):
    slope = D * (1 - np.tanh(p["x"] * p["gamma"]) ** 2)
    return {"x": slope * factor, "gamma": (slope * p["x"]).sum(axis=0)}


def shifted(p):
    return (D * (p["x"] + p["b"]) ** 2).sum()


def of_shifted(p, b):
    return {"x": 2 * D * (p["x"] + b), "b": (2 * D * (p["x"] + b)).sum(axis=0)}


AT_ONE_POINT = {
    "gamma is 1": ({"x": X, "gamma": np.ones(4)}, scaled, lambda p: of_scaled(p, 1.0), lambda p: of_scaled(p, p["gamma"])),
    "b is 0": ({"x": X, "b": np.zeros(4)}, shifted, lambda p: of_shifted(p, 0.0), lambda p: of_shifted(p, p["b"])),
}


@pytest.mark.parametrize("name", AT_ONE_POINT)
@pytest.mark.parametrize("part", [np.asarray, np.real], ids=["complex step", "differences"])
def test_what_a_one_or_a_zero_hides(name, part):
    parameters, cost, wrong, right = AT_ONE_POINT[name]

    def real_cost(p):
        return cost({key: part(array) for key, array in p.items()})

    result = check(parameters, real_cost, wrong)
    assert result.verdict == "fail"
    assert len(result.faults) == 1
    assert BESIDE in result.faults[0]
    assert all(row["verdict"] == "pass" for row in result.tensors)
    assert check(parameters, real_cost, right).verdict == "pass"


def test_a_tolerance_holds_beside_the_parameters_too():
    def solved(p):
        return {"w": np.cos(p["w"]) * (1 + 1e-7 * (p["w"] != 0.5))}

    w = {"w": np.full(3, 0.5)}
    assert check(w, lambda p: np.sin(p["w"]).sum(), solved).verdict == "fail"
    assert check(w, lambda p: np.sin(p["w"]).sum(), solved, tolerance={"w": 1e-6}).verdict == "pass"


def test_a_cost_that_is_for_these_parameters_alone_is_not_accused():
    def picky(p):
        if (np.abs(np.asarray(p["w"], complex).real - 1) > 0.02).any():
            raise ValueError("only near 1")
        return {"w": 2 * p["w"]}

    result = check({"w": np.ones(3)}, lambda p: (p["w"] ** 2).sum(), picky)
    assert result.verdict == "pass"
    assert any(note.startswith("NOT LOOKED AT BESIDE THE PARAMETERS: there the backward") for note in result.notes)


def test_a_gradient_of_zeros_at_a_minimum():
    def cost(p):
        return (p["w"] ** 2).sum()

    assert check({"w": np.zeros(3)}, cost, lambda p: {"w": 0 * p["w"]}).faults
    assert not check({"w": np.zeros(3)}, cost, lambda p: {"w": 2 * p["w"]}).faults


def test_a_gradient_that_is_not_finite_beside_the_parameters():
    def gradients(p):
        return {"w": 2 * p["w"] + (p["w"] != 1) * np.nan if (p["w"] != 1).any() else 2 * p["w"]}

    result = check({"w": np.ones(3)}, lambda p: (p["w"] ** 2).sum(), gradients)
    assert "NOT LOOKED AT BESIDE THE PARAMETERS: there the gradient of w is not finite" in result.notes


@pytest.mark.parametrize("deviation", [lambda x: x.std(axis=1, keepdims=True), lambda x: x.var(axis=1, keepdims=True) ** 0.5])
def test_a_layer_norm_whose_backward_leaves_out_gamma(deviation):
    def normalised(x):
        return (x - x.mean(axis=1, keepdims=True)) / deviation(x)

    def cost(p):
        return (D * normalised(p["x"]) * p["gamma"]).sum()

    def gradients(p):
        x_hat, d = normalised(p["x"]), D
        dx = d - d.mean(axis=1, keepdims=True) - x_hat * (d * x_hat).mean(axis=1, keepdims=True)
        return {"x": dx / deviation(p["x"]), "gamma": (D * x_hat).sum(axis=0)}

    result = check({"x": X, "gamma": np.ones(4)}, cost, gradients)
    assert len(result.faults) == 1
    assert BESIDE in result.faults[0]


EQUAL = np.array([1.0, 2.0, 3.0])


def larger(p):
    return np.maximum(p["a"], p["b"]).sum()


@pytest.mark.parametrize(("share", "is_said"), [(1.0, True), (0.5, False), (0.0, True)])
def test_two_tied_tensors_share_what_a_maximum_passes_on(share, is_said):
    def gradients(p):
        tied = share * (p["a"] == p["b"])
        return {"a": (p["a"] > p["b"]) + tied, "b": (p["b"] > p["a"]) + tied}

    result = check({"a": EQUAL, "b": EQUAL.copy()}, larger, gradients)
    assert result.verdict == "pass"
    assert any(note.startswith(TOGETHER) for note in result.notes) == is_said


def test_two_tied_entries_of_a_tensor():
    x = torch.tensor([[2.0, 2.0, 1.0], [0.0, 3.0, 3.0]], dtype=torch.float64)

    def masked(p):
        return {"x": (p["x"] == p["x"].amax(1, keepdim=True)).double()}

    def first_of_them(p):
        return {"x": torch.nn.functional.one_hot(p["x"].argmax(1), 3).double()}

    found = [check({"x": x}, lambda p: p["x"].amax(1).sum(), each) for each in (masked, first_of_them)]
    assert [result.verdict for result in found] == ["pass", "pass"]
    assert [any(note.startswith(TOGETHER) for note in result.notes) for result in found] == [True, False]


def relu6(x):
    return np.minimum(np.maximum(x, 0), 6)


@pytest.mark.parametrize("at_ties", [0.0, 1.0])
def test_ties_that_bend_either_way_are_not_taken_together(at_ties):
    """At both ends of a ReLU6 a gradient of 0 is right; so is one of 1."""

    def gradients(p):
        inside, tied = (p["x"] > 0) & (p["x"] < 6), (p["x"] == 0) | (p["x"] == 6)
        return {"x": np.where(tied, at_ties, inside)}

    result = check({"x": np.array([0.0, 0, 0, 6, 3, -1])}, lambda p: relu6(p["x"]).sum(), gradients)
    assert result.verdict == "pass"
    assert not any(note.startswith(TOGETHER) for note in result.notes)


@pytest.mark.parametrize(("gradient", "is_said"), [((0.5, -0.5), False), ((1, 1), True), ((0.5, 0.5), True), ((1, -1), False)])
def test_two_entries_of_the_modulus_of_a_difference(gradient, is_said):
    """All that lies between -1 and 1 is right for each of them; they have to cancel."""

    def gradients(p):
        sign = np.sign(p["x"][0] - p["x"][1])
        return {"x": np.array([sign, -sign] if sign else gradient)}

    result = check({"x": np.array([2.0, 2.0])}, lambda p: np.abs(p["x"][0] - p["x"][1]), gradients)
    assert result.verdict == "pass"
    assert any(note.startswith(TOGETHER) for note in result.notes) == is_said


def test_two_entries_of_the_modulus_of_a_sum():
    """Where both move by the same, a gradient of opposite signs looks right."""

    def gradients(p):
        sign = np.sign(p["x"].sum())
        return {"x": np.array([sign, sign] if sign else [1.0, -1.0])}

    result = check({"x": np.array([2.0, -2.0])}, lambda p: np.abs(p["x"].sum()), gradients)
    assert result.verdict == "pass"
    assert any("by random steps" in note for note in result.notes)
