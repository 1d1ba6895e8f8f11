"""The diagnosis of a pair: what the numbers of a black box show, what they do not, and what the cost shows beside them."""

import numpy as np
import pytest
import torch

from gradcheck import check
from gradcheck.derivations.estimate import Estimate, OneSided
from gradcheck.derivations.truth import Truth, truth_of
from gradcheck.diagnosis.explanation import Suspicion, explains
from gradcheck.diagnosis.pair_patterns import diagnose_pair
from gradcheck.subject import Case

V = {"v": np.array([1.0, -2.0])}


def pair_diagnosis(w, cost, claimed, reference=None):
    """The diagnosis of w, whose claimed gradient is wrong; beside it is a tensor whose gradient is right."""
    result = check(
        {"w": w} | V,
        lambda p: cost(p["w"]) + (p["v"] ** 2).sum(),
        lambda p: {"w": claimed(p["w"]), "v": 2 * p["v"]},
        reference and (lambda p: reference(p["w"]) + (p["v"] ** 2).sum()),
    )
    row, beside = result.tensors
    assert (result.verdict, beside["diagnosis"]) == ("fail", None)
    return row["diagnosis"]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("factor", [6.7e18, 3.3, 0.8, -1.7])
def test_of_so_few_numbers_any_would_be_a_multiple(size, factor):
    w = np.linspace(0.4, 1.1, size)
    assert pair_diagnosis(w, lambda w: np.sin(w).sum(), lambda w: factor * np.cos(w)) is None


@pytest.mark.parametrize(("factor", "words"), [(2, "2"), (0.5, "1/2"), (-1, "-1: the sign"), (0, "0: it is missing")])
def test_a_factor_that_means_something_is_named_of_one_number_too(factor, words):
    found = pair_diagnosis(np.array([0.4]), lambda w: np.sin(w).sum(), lambda w: factor * np.cos(w))
    assert found.startswith(f"w: it is multiplied by {words}")


def test_what_is_all_rounding_is_multiplied_by_nothing():
    """The right gradient is 1e-17 where it is not 0, and the claimed one is any number times it."""
    w = np.linspace(0.4, 1.1, 5)
    assert pair_diagnosis(w, lambda w: (w / 3 * 3 - w).sum(), lambda w: np.sin(7 * w)) is None


SPOILT = {
    "a factor for each entry": lambda g, w, rng: g * rng.uniform(0.2, 1.8, g.shape),
    "noise": lambda g, w, rng: g + 10 ** rng.uniform(-6, 1) * rng.standard_normal(g.shape),
    "relative noise": lambda g, w, rng: g * (1 + 10 ** rng.uniform(-6, 0) * rng.standard_normal(g.shape)),
    "another gradient": lambda g, w, rng: rng.standard_normal(g.shape),
    "noise that sums to 0": lambda g, w, rng: g + (e := rng.standard_normal(g.shape)) - e.mean(),
}
COSTS = {
    "smooth": (lambda w, A: (A * np.tanh(w)).sum(), lambda w, A: A * (1 - np.tanh(w) ** 2)),
    "a square": (lambda w, A: (w**2).sum() / 2, lambda w, A: w),
    "linear": (lambda w, A: (A * w).sum(), lambda w, A: A),
    "flat": (lambda w, A: (0 * w).sum(), lambda w, A: 0 * w),
    "all rounding": (lambda w, A: (w / 3 * 3 - w).sum(), lambda w, A: 0 * w),
    "log-sum-exp": (lambda w, A: np.log(np.exp(w * A).sum()), lambda w, A: A * np.exp(w * A) / np.exp(w * A).sum()),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (2, 2), (3, 5)], ids=str)
def test_random_wrong_gradients_have_no_cause(cost, spoil, shape):
    rng = np.random.default_rng(0)
    value, gradient = cost
    w, A = rng.standard_normal((2, *shape))
    wrong = spoil(gradient(w, A), w, rng)
    if not (np.isclose(wrong, gradient(w, A), 0, 1e-12)).all():  # of one number, noise less its mean is 0
        assert pair_diagnosis(w, lambda w: value(w, A), lambda w: wrong.copy()) is None


@pytest.mark.parametrize("seed", range(40))
def test_noise_in_one_entry_is_found_there_and_nowhere_else(seed):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((2, 3))
    place, error = (int(rng.integers(2)), int(rng.integers(3))), 10 ** rng.uniform(-7, 2)
    spoilt = np.cos(w)
    spoilt[place] += error
    found = pair_diagnosis(w, lambda w: np.sin(w).sum(), lambda w: spoilt.copy())
    assert found.startswith(f"w: the single entry [{place[0]}, {place[1]}] is wrong")


def test_an_undecided_entry_is_not_blamed():
    """The cost moves in steps: nothing is known of an entry whose derivative is 1e7 times smaller; another is 3 % wrong."""
    scale = np.array([[1e-3, 1.0, 1e4]])
    found = check(
        {"a": scale * np.array([[0.2, 0.5, 1.2]])},
        lambda p: float(np.round(np.cos(p["a"] / scale).sum(), 8)),
        lambda p: {"a": -np.sin(p["a"] / scale) / scale * np.array([[1, 1.03, 1]])},
    ).tensors[0]["diagnosis"]
    assert found.startswith("a: of the 2 entries that are known for certain, [0, 1] alone is wrong, 1.03 times")


class TwiceItsGradient(torch.autograd.Function):
    """A square whose own backward pass is wrong."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x**2).sum()

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        return 4 * dout * x


@pytest.mark.parametrize(
    ("factor", "reference"),
    [(2, lambda w: 2 * (w**2).sum()), (6, lambda w: 2 * (w**2).sum()), (6, TwiceItsGradient.apply)],
)
@pytest.mark.parametrize("cost", [lambda w: (w**2).sum(), lambda w: (np.abs(w) ** 2).sum()])
def test_no_cause_is_named_where_the_reference_is_what_is_wrong(cost, reference, factor):
    assert pair_diagnosis(np.array([0.3, 1.2, -0.7]), cost, lambda w: factor * w, reference) is None


def estimate_of(values, uncertainty=0.0, tie=None):
    values = np.array([values], float)
    return Estimate(values, np.full_like(values, uncertainty), np.zeros(values.shape[1], bool), tie)


def test_the_truth_is_what_no_oracle_contradicts_and_most_confirm():
    nan = np.nan
    tie = OneSided(np.array([[nan, nan, nan, nan, -1.0]]), np.array([[nan, nan, nan, nan, 1.0]]), np.zeros((1, 5)))
    estimates = {
        "autograd": estimate_of([1, 1, 1, nan, 0]),
        "complex-step": estimate_of([1, 2, 2, 4, 0]),
        "central-difference": estimate_of([1, 1, 2, 4, 0], 0.1, tie),
    }
    deciding = {oracle: np.ones((1, 5), bool) for oracle in estimates}
    truth = truth_of(estimates, deciding, np.zeros((1, 5)), np.array([0, 1, 2, 3, 5]), (2, 3))
    assert truth.decided[0].tolist() == [[True, True, False], [True, False, False]]
    assert truth.contested[0].tolist() == [[False, False, True], [False, False, False]]
    np.testing.assert_array_equal(truth.derivative[0], [[1, 1, nan], [4, nan, nan]])


# What the numbers show only beside the cost, which is run with one mistake after another.


def softmax(z):
    exp = np.exp(z - z.real.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


X, Y = np.random.default_rng(1).standard_normal((7, 4)), np.eye(3)[[0, 2, 1, 1, 0, 2, 2]]
INDEX, MASK = np.array([1, 3, 1, 0, 3]), np.random.default_rng(2).random((7, 3)) < 0.7
D = np.random.default_rng(3).standard_normal((7, 3))


def looked_up_once(w):
    found = np.zeros_like(w)
    found[INDEX] += D[:5] * 2 * w[INDEX]
    return found


@pytest.mark.parametrize(
    ("cost", "wrong", "words"),
    [
        (
            lambda w: -(Y * np.log(softmax(X @ w) + 1e-9)).mean(),
            lambda w: X.T @ (softmax(X @ w) - Y) / Y.size,
            "the cost has a guard that the gradient leaves out, `softmax(X @ w) + 1e-9` (line",
        ),
        (
            lambda w: (D * np.tanh(X @ w)).sum(),
            lambda w: X.T @ (D * (1 - np.tanh(X @ w))),
            "the derivative of `np.tanh(X @ w)` (line",
        ),
        (
            lambda w: (D * np.tanh(X @ w) ** 2).sum(),
            lambda w: X.T @ (D * 2 * np.tanh(X @ w) * (1 - np.tanh(np.tanh(X @ w)) ** 2)),
            "the derivative of `np.tanh(X @ w)` (line",
        ),
        (
            lambda w: (D * (np.sin(X @ w) * MASK / 0.7)).sum(),
            lambda w: X.T @ (D * np.cos(X @ w) * MASK),
            "it is multiplied by 0.7, as 1 - p of a dropout with p = 0.3 would",
        ),
        (lambda w: (D[:5] * w[INDEX] ** 2).sum(), looked_up_once, "the repeated indices of `w[INDEX]` (line"),
        (
            lambda w: (D * np.sin(X @ w)).sum() / 7 + 0.1 * (w**2).sum(),
            lambda w: X.T @ (D * np.cos(X @ w)) + 0.2 * w,
            "it is 7 * the right gradient - 1.2 * w: a factor is wrong",
        ),
    ],
    ids=["guard", "1 - tanh", "tanh of tanh", "dropout", "indices", "two coefficients"],
)
def test_a_mistake_in_one_operation_of_the_cost_is_named_with_its_line(cost, wrong, words):
    w = np.random.default_rng(4).standard_normal((4, 3))
    assert pair_diagnosis(w, cost, wrong).startswith(f"w: {words}")


def recurrent(w):
    h, total = np.full(3, 0.1), 0.0
    for x in X[:, :3]:
        h = np.sin(x + w @ h)
        total = total + (D[0] * h).sum()
    return total


def test_a_time_step_too_few():
    """The sum over the steps that begins with the second one."""

    def wrong(w):
        hs = [np.full(3, 0.1)]
        for x in X[:, :3]:
            hs.append(np.sin(x + w @ hs[-1]))
        dh, found = np.zeros(3), np.zeros((3, 3))
        for x, h in reversed([*zip(X[1:, :3], hs[1:-1], strict=True)]):
            dz = (dh + D[0]) * np.cos(x + w @ h)
            found, dh = found + np.outer(dz, h), w.T @ dz
        return found

    found = pair_diagnosis(np.random.default_rng(5).standard_normal((3, 3)), recurrent, wrong)
    assert found.startswith("w: the path through `w` in `w @ h` (line")
    assert "is missing, in the first of its 7 runs" in found


def test_a_mistake_in_one_operation_of_a_cost_in_pytorch():
    w = torch.from_numpy(np.random.default_rng(4).standard_normal((4, 3)))

    def product(w):
        return torch.from_numpy(X).to(w.dtype) @ w

    def claimed(p):
        return {"w": torch.from_numpy(X).T @ (torch.from_numpy(D) * (1 - torch.tanh(product(p["w"]))))}

    result = check({"w": w}, lambda p: (torch.from_numpy(D) * torch.tanh(product(p["w"]))).sum(), claimed)
    found = 'w: the derivative of `torch.tanh(product(p["w"]))` (line'
    assert result.tensors[0]["diagnosis"].startswith(found)


def test_padding_that_is_not_cut_off():
    w = np.random.default_rng(6).standard_normal((5, 6))
    sum_of_squares = lambda w: (np.pad(w, 1) ** 2 * np.arange(56.0).reshape(7, 8)).sum()  # noqa: E731
    found = pair_diagnosis(w, sum_of_squares, lambda w: (2 * np.pad(w, 1) * np.arange(56.0).reshape(7, 8))[:5, :6])
    assert found.startswith("w: it is shifted by (1, 1) along its last two axes")


def test_a_sample_shows_a_factor_too():
    w = np.linspace(0, 1, 20_000)
    result = check({"w": w}, lambda p: np.sin(p["w"]).sum(), lambda p: {"w": 1.25 * np.cos(p["w"])}, budget=2)
    (row,) = result.tensors
    assert 3 < row["checked"] < 20_000
    assert row["diagnosis"].startswith("w: it is multiplied by 1.25")


def test_a_prediction_from_what_is_all_rounding_explains_nothing():
    reference = np.array([1e-17, -3e-17, 2e-17, 4e-17])
    exact = Suspicion("it is multiplied by 1e+14", 1e14 * reference, fitted=1, amplifies=1e14)
    assert not explains(exact, 1e14 * reference, reference, rounding=1e-16)
    assert explains(exact, 1e14 * reference, reference, rounding=1e-20)


def test_an_entry_that_is_hardly_known_does_not_hide_the_pattern_of_the_others():
    """Differences know the last entry to a third of the error; the others are exact."""
    right = np.array([[1.0, -2.0, 3.0, 0.5, 4.0]])
    truth = Truth(right, np.array([[0, 0, 0, 0, 2.0]]), np.ones((1, 5), bool), np.zeros((1, 5), bool))
    claimed = np.array([1.5, -3.0, 4.5, 0.75, 7.0])
    case = Case({"w": claimed}, None, {}, None, {"w": np.full(5, 1e-15)})
    found = diagnose_pair(case, {"w": truth}, {"w": np.arange(5.0)}, ["w"])
    assert found["w"] == "w: it is multiplied by 1.5"


def test_a_bound_below_all_entries_is_no_clipping():
    w = np.linspace(-1, 1, 6)
    assert pair_diagnosis(w, lambda w: np.sin(w).sum(), lambda w: 0.1 + 0 * w) is None


def test_one_number_would_be_explained_by_some_mistake_or_other():
    assert pair_diagnosis(np.array([0.7]), lambda w: np.tanh(w).sum(), lambda w: 1 - np.tanh(w)) is None
