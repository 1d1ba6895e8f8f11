"""The diagnosis names no bug that it does not know, and is not fooled by bugs that look the same at one lambda."""

import numpy as np
import pytest
from conftest import SMALL, Problem

from gradcheck.report.sentences import worst_in_full
from gradcheck.subjects import network
from lab.network_check import check_network

LAMS = (0.0, 0.01, (0.01, 0.02, 0.03))


def diagnoses(problem, spoil, lams=LAMS):
    honest = problem.manual.cost_and_gradients

    def spoiled(X, y, lam):
        answer = honest(X, y, lam)
        return answer._replace(gradients=spoil(dict(answer.gradients), problem, lam))

    problem.manual.cost_and_gradients = spoiled
    result = check_network("net", problem.manual, problem.torch, problem.X, problem.y, lams)
    assert result.verdict == "fail"
    return {row["name"]: row["diagnosis"] for row in result.tensors}


@pytest.fixture
def problem():
    return Problem(SMALL["relu"], n=9)


@pytest.mark.parametrize("size", [1e-8, 1e-3, 1.0])
def test_noise_has_no_pattern(problem, size):
    noise = np.random.default_rng(0).standard_normal((6, 7))
    found = diagnoses(problem, lambda g, p, lam: g | {"W1": g["W1"] + size * noise})
    assert set(found.values()) == {None}


def test_an_unexplained_layer_is_not_blamed_on_another(problem):
    noise = np.random.default_rng(0).standard_normal((5, 6))
    found = diagnoses(problem, lambda g, p, lam: g | {"W2": g["W2"] + noise, "W1": 2 * g["W1"]})
    assert found["W2"] is None
    assert found["W1"].startswith("W1: it is multiplied by 2")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda g, p, lam: g | {"W1": g["W1"][::-1].copy()}, "W1: its rows are permuted: 0, 1, 2, 3, 4, 5"),
        (lambda g, p, lam: g | {"W1": np.roll(g["W1"], 1, axis=1)}, "W1: its columns are permuted: 0, 1, 2, 3, 4, 5..."),
        (lambda g, p, lam: g | {"b1": g["b1"].astype(np.float32).astype(float)}, "b1: its numbers are float32"),
        (lambda g, p, lam: g | {"W3": -g["W3"]}, "W3: it is multiplied by -1: the sign is wrong"),
        (lambda g, p, lam: g | {"W3": 1.25 * g["W3"]}, "W3: it is multiplied by 1.25"),
        (lambda g, p, lam: g | {"b2": 9 / 8 * g["b2"]}, "b2: it is multiplied by 9/8: n - 1 stands for n"),
        (lambda g, p, lam: g | {"b2": 0 * g["b2"]}, "b2: it is multiplied by 0: it is missing"),
    ],
)
def test_forms_and_factors(problem, spoil, sentence):
    found = diagnoses(problem, spoil)
    assert [text for text in found.values() if text] == [found[sentence[:2]]]
    assert found[sentence[:2]].startswith(sentence)


def test_lambda_of_another_layer_is_not_confused_with_half_of_it(problem):
    """Layer 1's lambda is half of layer 2's in one setting only: where both are equal, half would be wrong."""

    def first_lambda(g, p, lam):
        lam = lam if np.ndim(lam) else (lam,) * 3
        return g | {"W2": g["W2"] + 2 * (lam[0] - lam[1]) * p.manual.parameters["W2"]}

    assert diagnoses(problem, first_lambda)["W2"].startswith("W2: its penalty takes the lambda of layer 1 (explains")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_said(problem, value):
    def spoil(g, p, lam):
        g["W2"] = g["W2"].copy()
        g["W2"][1, 2] = value
        return g

    assert diagnoses(problem, spoil)["W2"] == "W2: it is not finite everywhere"


def test_signals_are_those_of_the_network():
    """From them come the gradients, and asking for them moves no statistic."""
    p = Problem(SMALL["bn"], n=9)
    answer = p.torch.signals(p.X, p.y)
    S_hat = (answer.S[3] - answer.S[3].mean(axis=0)) / np.sqrt(answer.S[3].var(axis=0) + SMALL["bn"].eps)
    np.testing.assert_allclose(
        (answer.dS_tilde[3] * S_hat).sum(axis=0), p.torch.cost_and_gradients(p.X, p.y, 0.0).gradients["gamma3"]
    )
    before = p.torch.state()
    p.torch.signals(p.X, p.y)
    assert all((array == before[name]).all() for name, array in p.torch.state().items())


def test_an_error_of_an_oracle_is_no_bug_of_the_claim(problem, monkeypatch):
    """The claim is PyTorch's gradient, and that of the complex step is wrong: no bug is named, and no exception raised."""

    def doubled(*arguments, honest=network.complex_step):
        found = honest(*arguments)
        return found._replace(derivative=2 * found.derivative)

    monkeypatch.setattr(network, "complex_step", doubled)
    assert set(diagnoses(problem, lambda g, p, lam: g).values()) == {None}


def test_words_for_a_tensor_that_no_oracle_judges():
    """What is allowed may be infinite, which is None in JSON."""
    worst = {"index": [0], "claimed": 1.0, "reference": 2.0, "rel_error": 0.3, "allowed": None}
    assert worst_in_full({"fail": 0, "tie": None, "oracles": {"central-difference": {"worst": worst}}}) == ""


def test_no_cause_in_the_backward_is_named_where_the_forward_passes_differ(problem):
    """Autograd alone is asked, and nothing contradicts it; but the claimed cost is another."""
    honest = problem.manual.cost_and_gradients

    def doubled(X, y, lam):
        answer = honest(X, y, lam)
        return answer._replace(cost=2 * answer.cost, gradients={name: 2 * g for name, g in answer.gradients.items()})

    problem.manual.cost_and_gradients = doubled
    result = check_network("net", problem.manual, problem.torch, problem.X, problem.y, LAMS, oracles=("autograd",))
    assert {row["verdict"] for row in result.tensors} == {"fail"}
    assert {row["diagnosis"] for row in result.tensors} == {None}
