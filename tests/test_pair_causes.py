"""The causes that a black box shows in its cost: labels smoothed on one side, repeated indices, masks, means, bounds."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import from_numpy

from gradcheck import check

N, CLASSES, SHARE = 7, 3, 0.1
RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((N, 4)), np.array([0, 2, 1, 1, 0, 2, 2])
HARD = np.eye(CLASSES)[LABELS]
SMOOTH = HARD * (1 - SHARE) + SHARE / CLASSES
EACH = np.arange(N)
INDEX, D = np.array([2, 0, 2, 4, 2, 1]), RNG.standard_normal((6, 3))


def softmax(z):
    exp = np.exp(z - z.real.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def log_softmax(z):
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def logits(p):
    return X @ p["W"] + p["b"]


def torch_logits(p):
    return from_numpy(X).to(p["W"].dtype) @ p["W"] + p["b"]


def gradients_with(labels, factor=1.0):
    """The gradient of cross-entropy with these labels."""

    def gradients(p):
        numbers = {name: np.asarray(value) for name, value in p.items()}
        dz = factor * (softmax(logits(numbers)) - labels) / N
        found = {"W": X.T @ dz, "b": dz.sum(axis=0)}
        return found if isinstance(p["W"], np.ndarray) else {name: from_numpy(value) for name, value in found.items()}

    return gradients


def causes(parameters, cost, gradients, in_torch=False, verdict="fail"):
    """The diagnoses of all tensors."""
    given = {name: from_numpy(value) for name, value in parameters.items()} if in_torch else parameters
    result = check(given, cost, gradients)
    assert result.verdict == verdict
    return [row["diagnosis"] for row in result.tensors]


def classifier():
    rng = np.random.default_rng(1)
    return {"W": rng.standard_normal((4, CLASSES)), "b": rng.standard_normal(CLASSES)}


TARGET = from_numpy(LABELS)
COSTS_OF_HARD_LABELS = {
    "product": lambda p: -(HARD * np.log(softmax(logits(p)))).sum() / N,
    "einsum": lambda p: -np.einsum("nk,nk->", HARD, log_softmax(logits(p))) / N,
    "picked logarithms": lambda p: -log_softmax(logits(p))[EACH, LABELS].mean(),
    "picked probabilities": lambda p: -np.log(softmax(logits(p))[EACH, LABELS]).mean(),
    "picked logits": lambda p: (np.log(np.exp(logits(p)).sum(axis=1)) - logits(p)[EACH, LABELS]).mean(),
    "take_along_axis": lambda p: -np.take_along_axis(log_softmax(logits(p)), LABELS[:, None], 1).mean(),
    "loop": lambda p: -sum(np.log(softmax(logits(p))[i, LABELS[i]]) for i in range(N)) / N,
}
TORCH_COSTS_OF_HARD_LABELS = {
    "cross_entropy": lambda p: F.cross_entropy(torch_logits(p), TARGET),
    "nll_loss": lambda p: F.nll_loss(F.log_softmax(torch_logits(p), 1), TARGET),
    "gather": lambda p: -F.log_softmax(torch_logits(p), 1).gather(1, TARGET[:, None]).mean(),
    "picked": lambda p: -torch.log_softmax(torch_logits(p), 1)[torch.arange(N), TARGET].mean(),
}
COSTS_OF_SMOOTH_LABELS = {
    "product": lambda p: -(SMOOTH * np.log(softmax(logits(p)))).sum() / N,
    "negative labels": lambda p: (-SMOOTH / N * log_softmax(logits(p))).sum(),
    "guarded": lambda p: -np.mean(np.sum(SMOOTH * np.log(softmax(logits(p)) + 1e-300), axis=1)),
}
TORCH_COSTS_OF_SMOOTH_LABELS = {
    "cross_entropy": lambda p: F.cross_entropy(torch_logits(p), TARGET, label_smoothing=SHARE),
    "of probabilities": lambda p: F.cross_entropy(torch_logits(p), from_numpy(SMOOTH)),
    "product": lambda p: -(from_numpy(SMOOTH) * torch.log_softmax(torch_logits(p), 1)).sum(1).mean(),
}


def both_kinds(in_numpy, in_torch):
    """Parameters of a test: (cost, whether it is in PyTorch)."""
    costs = [*((False, *each) for each in in_numpy.items()), *((True, *each) for each in in_torch.items())]
    return [pytest.param(cost, of_torch, id=f"{'torch ' * of_torch}{name}") for of_torch, name, cost in costs]


@pytest.mark.parametrize(("cost", "in_torch"), both_kinds(COSTS_OF_HARD_LABELS, TORCH_COSTS_OF_HARD_LABELS))
def test_labels_that_only_the_gradient_smooths(cost, in_torch):
    for found in causes(classifier(), cost, gradients_with(SMOOTH), in_torch):
        assert "the labels of the cost are hard in `" in found
        assert "and the gradient has them smoothed by 0.1: with that, the cost has" in found


@pytest.mark.parametrize(("cost", "in_torch"), both_kinds(COSTS_OF_SMOOTH_LABELS, TORCH_COSTS_OF_SMOOTH_LABELS))
def test_labels_that_only_the_cost_smooths(cost, in_torch):
    for found in causes(classifier(), cost, gradients_with(HARD), in_torch):
        assert "the cost smooths the labels in `" in found
        assert "by 0.1, and the gradient takes them hard: with that" in found
    for found in causes(classifier(), cost, gradients_with(HARD * 0.8 + 0.2 / CLASSES), in_torch):
        assert "by 0.1, and the gradient by 0.2: with that" in found
    assert causes(classifier(), cost, gradients_with(SMOOTH), in_torch, "pass") == [None, None]


def test_a_cost_that_smooths_by_two_terms():
    def cost(p):
        return -0.9 * log_softmax(logits(p))[EACH, LABELS].mean() - 0.1 * log_softmax(logits(p)).mean()

    for found in causes(classifier(), cost, gradients_with(HARD)):
        assert found.endswith(
            "is divided by 1 - 0.1, as where the cost smooths labels by 0.1 and the gradient does not: with that, the cost has "
            "the derivative that is claimed"
        )


OTHER_LABELS = {
    "not normalised": HARD * (1 - SHARE) + SHARE,
    "another class": np.eye(CLASSES)[(LABELS + 1) % CLASSES],
    "one label": np.where(EACH[:, None] == 3, SMOOTH, HARD),
    "unlike shares": HARD * 0.9 + np.array([0.05, 0.03, 0.02]),
    "beyond uniform": HARD * -0.2 + 1.2 / CLASSES,
}


@pytest.mark.parametrize("labels", OTHER_LABELS.values(), ids=OTHER_LABELS)
@pytest.mark.parametrize("cost", [COSTS_OF_HARD_LABELS["product"], COSTS_OF_SMOOTH_LABELS["product"]], ids=["hard", "smooth"])
def test_other_wrong_labels_are_not_taken_for_smoothed_ones(cost, labels):
    for found in causes(classifier(), cost, gradients_with(labels)):
        assert found is None or "smooth" not in found


def embedding():
    return {"E": np.random.default_rng(3).standard_normal((5, 3))}


def counted(how):
    """The gradient of sum(D * E[INDEX]**2), with the indices counted by `how(d, rows)`."""

    def gradients(p):
        d, E = np.zeros((5, 3)), np.asarray(p["E"])
        how(d, 2 * D * E[INDEX])
        return {"E": d if isinstance(p["E"], np.ndarray) else from_numpy(d)}

    return gradients


def added_once(d, rows):
    d[INDEX] += rows


def assigned(d, rows):
    d[INDEX] = rows


def first_alone(d, rows):
    d[INDEX[::-1]] = rows[::-1]


def added_up(d, rows):
    np.add.at(d, INDEX, rows)


AT = from_numpy(INDEX)
LOOKUPS = {
    "E[INDEX]": lambda p: (D * p["E"][INDEX] ** 2).sum(),
    "E[INDEX, :]": lambda p: (D * p["E"][INDEX, :] ** 2).sum(),
    "np.take": lambda p: (D * np.take(p["E"], INDEX, axis=0) ** 2).sum(),
    "E.take": lambda p: (D * p["E"].take(INDEX, axis=0) ** 2).sum(),
}
TORCH_LOOKUPS = {
    "E[INDEX]": lambda p: (from_numpy(D) * p["E"][AT] ** 2).sum(),
    "index_select": lambda p: (from_numpy(D) * torch.index_select(p["E"], 0, AT) ** 2).sum(),
    "embedding": lambda p: (from_numpy(D) * F.embedding(AT, p["E"]) ** 2).sum(),
    "gather": lambda p: (from_numpy(D) * p["E"].gather(0, AT[:, None].expand(6, 3)) ** 2).sum(),
}


@pytest.mark.parametrize("how", [added_once, assigned, first_alone])
@pytest.mark.parametrize(("cost", "in_torch"), both_kinds(LOOKUPS, TORCH_LOOKUPS))
def test_repeated_indices_that_are_counted_once(cost, in_torch, how):
    (found,) = causes(embedding(), cost, counted(how), in_torch)
    assert found.startswith("E: the repeated indices of `")
    assert (
        "are counted once in the gradient, as by `d[index] += ...`, though index 2 occurs 3 times; `np.add.at(d, ind" in found
    )
    assert causes(embedding(), cost, counted(added_up), in_torch, "pass") == [None]


def test_a_row_that_is_wrong_otherwise_is_no_repeated_index():
    def spoilt(d, rows):
        added_up(d, rows)
        d[2] += [0.1, -0.2, 0.3]

    assert causes(embedding(), LOOKUPS["E[INDEX]"], counted(spoilt))[0].startswith("E: row 2 alone is wrong")


def test_an_index_without_repeats_is_not_blamed():
    def cost(p):
        return (D[:3] * np.sin(p["E"][[0, 3, 1]])).sum()

    def gradients(p):
        d = np.zeros((5, 3))
        d[[0, 3, 1]] = D[:3] * np.cos(p["E"][[0, 3, 1]])
        d[3] *= [0.5, 0.7, 1.1]
        return {"E": d}

    assert causes(embedding(), cost, gradients)[0].startswith("E: row 3 alone is wrong")


@pytest.mark.parametrize(
    ("cost", "factor", "words"),
    [
        (lambda p: -(HARD * log_softmax(logits(p))).sum(), 1.0, "divides `(HARD * log_softmax(logits(p))).sum()` (line"),
        (lambda p: -(HARD * log_softmax(logits(p))).sum() / N, float(N), "the factor of `-(HARD * log_softmax(logits(p)))"),
        (
            lambda p: -(HARD * np.log(np.maximum(softmax(logits(p)), 0.3))).sum() / N,
            1.0,
            "the cost bounds `softmax(logits(p))`",
        ),
    ],
    ids=["mean for a sum", "sum for a mean", "bound"],
)
def test_means_and_bounds(cost, factor, words):
    for found in causes(classifier(), cost, gradients_with(HARD, factor)):
        assert words in found


def test_a_mean_in_pytorch_that_is_taken_for_a_sum():
    def cost(p):
        return -(from_numpy(HARD) * torch.log_softmax(torch_logits(p), 1)).sum(1).mean()

    for found in causes(classifier(), cost, gradients_with(HARD, float(N)), in_torch=True):
        assert "is taken for a sum over 7" in found


def test_a_factor_that_no_operation_explains_is_still_named():
    for found in causes(classifier(), COSTS_OF_HARD_LABELS["product"], gradients_with(HARD, 1.37)):
        assert "it is multiplied by 1.37" in found


def test_the_term_of_another_layer():
    parameters = {"A": RNG.standard_normal((4, 4)), "B": RNG.standard_normal((4, 4))}

    def cost(p):
        return np.cos(X @ p["A"]).sum() + np.sin(X @ p["B"]).sum() + 0.1 * (p["A"] ** 2).sum() + 0.1 * (p["B"] ** 2).sum()

    def gradients_adding(term):
        return lambda p: {
            "A": -X.T @ np.sin(X @ p["A"]) + 0.2 * term(p),
            "B": X.T @ np.cos(X @ p["B"]) + 0.2 * p["B"],
        }

    found, _ = causes(parameters, cost, gradients_adding(lambda p: p["B"]))
    assert found.startswith("A: claimed - reference is 0.2 * (B - A): a term of B stands where one of A should")
    found, _ = causes(parameters, cost, gradients_adding(lambda p: p["A"] + p["B"]))
    assert found.startswith("A: claimed - reference is 0.2 * B: a term of B is too much, or missing")


SLOPES = {
    "1 - tanh(z)": lambda z: 1 - np.tanh(z),
    "1 - z**2": lambda z: 1 - z**2,
    "1 - z": lambda z: 1 - z,
    "(1 - tanh(z))**2": lambda z: (1 - np.tanh(z)) ** 2,
    "1 - 2 * tanh(z)": lambda z: 1 - 2 * np.tanh(z),
}
MASK = (RNG.random((N, CLASSES)) < 0.7) / 0.7
WEIGHTS = RNG.standard_normal((N, CLASSES))


@pytest.mark.parametrize("slope", SLOPES)
def test_slopes_of_tanh(slope):
    found = causes(
        {"W": classifier()["W"]},
        lambda p: (WEIGHTS * np.tanh(X @ p["W"])).sum(),
        lambda p: {"W": X.T @ (WEIGHTS * SLOPES[slope](X @ p["W"]))},
    )
    assert f"is taken to be {slope}: with that" in found[0]


def test_a_mask_of_which_the_scale_alone_is_kept():
    found = causes(
        {"W": classifier()["W"]},
        lambda p: (WEIGHTS * (np.sin(X @ p["W"]) * MASK)).sum(),
        lambda p: {"W": X.T @ (WEIGHTS * np.cos(X @ p["W"]) / 0.7)},
    )
    assert found[0].startswith('W: the zeros of `MASK` in `np.sin(X @ p["W"]) * MASK` (line')
