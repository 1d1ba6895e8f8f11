"""Costs that are hard on the oracles of a pair that is a black box: 0 at the parameters, kinks, steps, flat minima."""

import numpy as np
import pytest
import torch

from gradcheck import check
from gradcheck.errors import UserError
from gradcheck.report.sentences import failures


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

    result = check({"w": np.ones(3)}, cost, lambda p: {"w": slope + (p["w"] > 1.05) / 2})
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


@pytest.mark.parametrize(("share", "verdict"), [(1.0, "pass"), (0.5, "fail")])
def test_a_kink_close_by_is_no_tie(share, verdict):
    x = np.array([1.0, 2.0, -1.0])

    def cost(p):
        return 100 + 50 * np.maximum(p["w"] @ x, 0) + (p["w"] ** 2).sum()

    def gradients(p):
        return {"w": share * 50 * x * (p["w"] @ x > 0) + 2 * p["w"]}

    result = check({"w": np.array([1.0, 1.0, 3.0 - 1e-12])}, cost, gradients)
    assert result.verdict == verdict
    # At the kink itself, both are right.
    assert check({"w": np.array([1.0, 1.0, 3.0])}, cost, gradients).verdict == "pass"


class NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sum()

    @staticmethod
    def backward(ctx, dout):
        raise ValueError("not written yet")


def square(p):
    return (p["w"] ** 2).sum()


def test_a_reference_whose_backward_raises_is_one_line():
    with pytest.raises(
        UserError, match=r"the backward pass of reference\(parameters\) raised ValueError in test_blackbox.py, line"
    ):
        check({"w": np.ones(4)}, lambda p: p["w"].sum(), lambda p: {"w": np.ones(4)}, lambda p: NoBackward.apply(p["w"]))


@pytest.mark.parametrize("ones", [np.ones(3), torch.ones(3, dtype=torch.float64)], ids=["numpy", "torch"])
def test_a_backward_that_raises_beside_the_parameters_leaves_them_undecided(ones):
    def picky(p):
        if float(p["w"][0]) != 1:
            raise ValueError("only at 1")
        return {"w": 2 * p["w"]}

    result = check({"w": ones}, square, picky)
    assert counts(result) == {"undecided": 3}
    assert result.notes == [f"ROUNDING UNKNOWN: beside the parameters the backward pass raised {raised_in(picky)}: only at 1"]


def raised_in(function):
    return f"ValueError in test_blackbox.py, line {function.__code__.co_firstlineno + 2}"


def test_a_backward_that_takes_plain_arrays_alone_says_so():
    def plain(p):
        assert type(p["w"]) is np.ndarray
        return {"w": 2 * p["w"]}

    result = check({"w": np.ones(3)}, square, plain)
    assert counts(result) == {"pass": 3}
    (note,) = result.notes
    assert note.startswith(
        "ROUNDING OF THE PARAMETERS ALONE: on arrays that round at random the backward pass raised Assertion"
    )


@pytest.mark.parametrize("found", [np.array(["a", "b"]), np.array([None, 1.0]), np.array([1, 2], "M8[s]")])
def test_a_gradient_that_is_not_of_numbers_fails(found):
    result = check({"w": np.ones(2)}, square, lambda p: {"w": found})
    assert (result.verdict, result.faults) == ("fail", [f"the gradient of w has dtype {found.dtype}"])


def test_another_byte_order_is_refused_by_name():
    with pytest.raises(UserError, match="parameter w has dtype >f8; it has to be float64 or float32, in native byte order"):
        check({"w": np.ones(2, ">f8")}, square, lambda p: {"w": 2 * p["w"]})


def hermitian(w):
    return w + w.T + 8 * np.eye(4) if isinstance(w, np.ndarray) else w + w.T + 8 * torch.eye(4, dtype=w.dtype)


LOSE_THE_DERIVATIVE = {
    "cov": lambda w: np.cov(w),
    "corrcoef": lambda w: np.corrcoef(w),
    "nanvar": lambda w: np.nanvar(w),
    "cholesky": lambda w: np.linalg.cholesky(hermitian(w)),
    "eigh": lambda w: np.linalg.eigh(hermitian(w))[0],
    "svd": lambda w: np.linalg.svd(w)[1],
    "qr": lambda w: np.linalg.qr(w)[1],
    "pinv": lambda w: np.linalg.pinv(w),
    "lstsq": lambda w: np.linalg.lstsq(w, np.ones(4))[0],
    "slogdet": lambda w: np.linalg.slogdet(w)[1],
    "torch.linalg.cholesky": lambda w: torch.linalg.cholesky(hermitian(w)),
    "torch.linalg.eigh": lambda w: torch.linalg.eigh(hermitian(w))[0],
    "torch.linalg.svd": lambda w: torch.linalg.svdvals(w),
    "torch.linalg.qr": lambda w: torch.linalg.qr(w)[1],
    "torch.linalg.slogdet": lambda w: torch.linalg.slogdet(w)[1],
    "torch.linalg.pinv": lambda w: torch.linalg.pinv(w),
    "torch.linalg.lstsq": lambda w: torch.linalg.lstsq(w, torch.ones(4, 1, dtype=w.dtype))[0],
}


@pytest.mark.parametrize("name", LOSE_THE_DERIVATIVE)
def test_what_has_no_complex_derivative_is_refused_however_small(name):
    w = np.random.default_rng(3).standard_normal((4, 4))
    in_torch = name.startswith("torch")

    def cost(p):
        return (p["w"] ** 2).sum() + 1e-12 * LOSE_THE_DERIVATIVE[name](p["w"]).sum()

    result = check(
        {"w": torch.tensor(w) if in_torch else w}, cost, lambda p: {"w": 2 * p["w"]}, oracles=("central-difference",)
    )
    assert any("takes the modulus or the conjugate" in note for note in result.notes), result.notes


@pytest.mark.parametrize(("factor", "verdict"), [(1, "pass"), (2, "fail")])
def test_float32_inside_is_seen_also_where_some_rounding_changes_at_once(factor, verdict):
    """In one of 200 float32 numbers a move by 1e-9 already changes the rounding."""
    rng = np.random.default_rng(1)
    A, W = rng.standard_normal((50, 20)).astype(np.float32), rng.standard_normal((20, 10))

    def tanh(w):
        return np.tanh(A @ real(w).astype(np.float32))

    result = check({"w": W}, lambda p: tanh(p["w"]).sum(), lambda p: {"w": factor * A.T @ (1 - tanh(p["w"]) ** 2)})
    assert result.notes[0].startswith("A COST IN STEPS of about ")
    assert counts(result) == {verdict: 200}


@pytest.mark.parametrize(("factor", "fails"), [(1, False), (2, True)])
def test_many_kinks_inside_a_step_as_large_as_float32_needs(factor, fails):
    rng = np.random.default_rng(8)
    A, W = rng.standard_normal((200, 20)).astype(np.float32), rng.standard_normal((20, 10))

    def S(p):
        return A @ real(p["w"]).astype(np.float32)

    result = check({"w": W}, lambda p: np.abs(S(p)).sum(), lambda p: {"w": factor * A.T @ np.sign(S(p))})
    assert ("fail" in counts(result)) == fails


def test_beyond_a_tie_the_sentence_says_so_and_names_no_bug():
    """Nothing but differences: no oracle knows the derivative at the tie, so anything would explain it."""
    w = torch.tensor([[0.0, 0.0], [-1.0, 2.0]], dtype=torch.float64)
    X = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64)
    functions = {"cost": lambda p: torch.relu(X @ p["w"].T).sum(), "gradients": lambda p: {"w": 7 + 0 * p["w"]}}
    result = check({"w": w}, **functions)
    (line, *_) = [each for each in failures(result.as_json()) if each.startswith("fail")]
    tied = next(tensor for tensor in result.tensors)["tie"]
    assert tied["index"] == [0, 0]
    assert (tied["left"], tied["right"]) == pytest.approx((-3, 1))
    assert tied["claimed"] == 7
    assert "explains" not in str(result.tensors[0]["diagnosis"])
    assert line.startswith("fail: pair w, ")


def test_running_statistics_stay_where_they_are():
    """Each call of a batch norm in training mode moves them; the checker puts them back, so that every call is the same."""
    norm = torch.nn.BatchNorm1d(3, dtype=torch.float64)

    def cost(p):
        return (norm(p["x"]) ** 3).sum() + norm.running_mean.sum() * p["x"].sum() * 0

    def gradients(p):
        x = p["x"].detach().requires_grad_()
        return {"x": torch.autograd.grad(cost({"x": x}), x)[0]}

    x = torch.tensor(np.random.default_rng(1).standard_normal((5, 3)))
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    assert check({"x": x}, cost, gradients).verdict == "pass"
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())


def test_names_that_would_drive_the_terminal_are_refused():
    with pytest.raises(UserError, match="printable"):
        check({"w\x1b[31m": np.ones(2)}, lambda p: 1.0, lambda p: p)
