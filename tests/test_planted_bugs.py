"""The catalogue of planted bugs: each makes wrong what it says; and the other checkers that judge the same gradients."""

import functools
import json
import math

import numpy as np
import pytest
import torch
from conftest import SMALL, Problem, call, narrow

from benchmarks import planted_bugs
from benchmarks.bugs import BUGS
from benchmarks.peers import Peers, hips_rule, jax_rule, network_cost
from benchmarks.places import BATCH
from manual import passes
from networks import NAMED, Network


def lambdas(network):
    return tuple(0.01 * layer for layer in range(1, network.depth + 1))


@functools.cache
def problem(name):
    """A network of narrow layers, at a batch, and its correct gradients at one lambda a layer."""
    problem = Problem(narrow(NAMED[name]), n=BATCH)
    lam = lambdas(problem.network)
    return problem, lam, problem.torch.cost_and_gradients(problem.X, problem.y, lam).gradients


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_bug_makes_wrong_what_it_says(bug):
    at, lam, reference = problem(bug.network)
    correct = at.manual.cost_and_gradients(at.X, at.y, lam).gradients
    with bug.planted(at.network.depth):
        gradients = at.manual.cost_and_gradients(at.X, at.y, lam).gradients
    wrong = {name for name, g in reference.items() if not np.allclose(gradients[name], g, rtol=5e-10, atol=1e-14)}
    assert wrong == bug.tensors
    after = at.manual.cost_and_gradients(at.X, at.y, lam).gradients
    assert all(np.array_equal(after[name], g) for name, g in correct.items())


def test_catalogue_is_spread_over_the_seven_networks():
    assert len(BUGS) >= 40
    assert {bug.network for bug in BUGS.values()} == set(NAMED)
    assert all(bug.cause.keys() <= bug.tensors for bug in BUGS.values())


@pytest.mark.parametrize(
    ("diagnoses", "judgement"),
    [
        ({"b6": "b6: it is the gradient of b7", "b7": "b7: it is the gradient of b6"}, "right"),
        ({"b6": "b6: it is the gradient of b7", "b7": None}, "part"),
        ({"b6": None, "b7": None}, "none"),
        ({"b6": "b6: it is the gradient of b8", "b7": None}, "wrong"),
        ({"b6": "b6: it is the gradient of b7", "b7": "b7: it is the gradient of b7"}, "wrong"),
        ({"b6": "b6: it is the gradient of b7", "W6": "W6: it is transposed"}, "wrong"),
    ],
)
def test_judgement_of_a_diagnosis(diagnoses, judgement):
    assert BUGS["two_biases_swapped"].judge(diagnoses) == judgement


def test_any_diagnosis_of_a_bug_without_a_named_cause_is_wrong():
    assert BUGS["gradient_clipped"].judge({"W1": "W1: it is multiplied by 0.98"}) == "wrong"
    assert BUGS["gradient_clipped"].judge({"W1": None}) == "none"


def peers_at(problem, **options):
    network = problem.network
    return Peers(
        problem.manual.parameters,
        lambda p: float(passes.cost(network, p, problem.X, problem.y, lambdas(network))),
        lambda p: network_cost(network, p, *map(torch.from_numpy, (problem.X, problem.y)), lambdas(network)),
        **options,
    )


@pytest.mark.parametrize("name", SMALL)
def test_both_costs_are_the_cost(name):
    problem = Problem(SMALL[name])
    peers = peers_at(problem)
    expected = problem.manual.cost_and_gradients(problem.X, problem.y, lambdas(problem.network)).cost
    tensors = {name: torch.from_numpy(array) for name, array in problem.manual.parameters.items()}
    assert math.isclose(peers.cost(problem.manual.parameters), expected, rel_tol=1e-14)
    assert math.isclose(float(peers.torch_cost(tensors)), expected, rel_tol=1e-14)


def test_all_peers_accept_the_correct_gradient_and_reject_another():
    problem = Problem(Network("sigmoid", inputs=7, loss="sigmoid"))
    peers = peers_at(problem)
    gradients = problem.manual.cost_and_gradients(problem.X, problem.y, lambdas(problem.network)).gradients
    assert peers.judge(gradients) == dict.fromkeys(planted_bugs.NAMES, True)
    assert peers.judge(gradients | {"W1": 2 * gradients["W1"]}) == dict.fromkeys(planted_bugs.NAMES, False)
    assert peers.judge(gradients | {"b1": gradients["b1"] * np.nan}) == dict.fromkeys(planted_bugs.NAMES, False)


def test_without_slow_mode_no_difference_is_taken_at_an_entry():
    """Not even for the message of fast mode about a gradient that it rejects."""
    problem = Problem(Network("sigmoid", inputs=300, loss="sigmoid"))
    peers = peers_at(problem, slow=False)
    gradients = problem.manual.cost_and_gradients(problem.X, problem.y, lambdas(problem.network)).gradients
    calls, honest = [], peers.torch_cost
    peers.torch_cost = lambda p: calls.append(1) or honest(p)
    accepted = peers.judge(gradients | {"b1": 2 * gradients["b1"]})
    assert accepted == {"torch fast": False, "JAX rule": False, "HIPS rule": False}
    assert len(calls) < 20


def test_slow_mode_sees_every_entry_and_keeps_its_numerical_jacobian(monkeypatch):
    """A wrong entry of 1e-3 that a difference quotient sees; the second judgement evaluates the cost a few times only."""
    problem = Problem(Network("sigmoid", inputs=7, loss="sigmoid"))
    peers = peers_at(problem)
    gradients = problem.manual.cost_and_gradients(problem.X, problem.y, lambdas(problem.network)).gradients
    peers.judge(gradients)
    calls, honest = [], peers.torch_cost
    monkeypatch.setattr(peers, "torch_cost", lambda p: calls.append(1) or honest(p))
    spoiled = gradients["W1"].copy()
    spoiled[3, 4] += 1e-3
    assert not peers.judge(gradients | {"W1": spoiled})["torch slow"]
    assert peers.judge(gradients)["torch slow"]
    assert len(calls) < 20


@pytest.mark.parametrize(("rule", "rejected", "accepted"), [(jax_rule, 1e-4, 1e-7), (hips_rule, 1e-5, 1e-8)])
def test_published_rules_have_their_tolerance(rule, rejected, accepted):
    """A linear cost, whose differences are exact but for rounding: only the tolerance decides."""
    x, slope = np.zeros(5), np.ones(5)

    def cost(p):
        return float(p["x"] @ slope)

    assert rule(cost, {"x": x}, {"x": slope})
    assert rule(cost, {"x": x}, {"x": slope * (1 + accepted)})
    assert not rule(cost, {"x": x}, {"x": slope * (1 + rejected)})


def test_command_prints_the_table_and_writes_its_data(capsys, tmp_path):
    file = tmp_path / "bugs.json"
    bugs = ("--bugs", "relu_mask_missing", "penalty_missing")
    arguments = ("two-layer", "--width", "2", *bugs, "--without-slow", "--seeds", "1", "--json", file)
    code, out, err = call(planted_bugs.main, capsys, *arguments)
    assert (code, err) == (0, "")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()]
    assert cells[3][:6] == ["relu mask missing", "two-layer", "W1 b1", "yes", "yes", "right"]
    assert cells[3][6] == "no"
    assert cells[4][:7] == ["**found, of 2**", "", "", "2", "2", "2 right; 0 have no form", "0"]
    assert cells[8][:5] == ["networks", "2", "2", "100%", "0"]
    assert cells[-1][:3] == ["**all**", "0 of 1", "0 of 1"]
    result = json.loads(file.read_text())
    assert [row["bug"] for row in result["bugs"]] == ["penalty_missing", "relu_mask_missing"]
    assert result["bugs"][0]["diagnoses"]["W1"].startswith("W1: the penalty's 2*lambda*W1 is missing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["three"], "unknown place 'three'"),
        (["--bugs", "none"], "unknown bug 'none'"),
        (["one-layer", "--bugs", "relu_mask_missing"], "none of these bugs is planted there"),
    ],
)
def test_bad_input(capsys, arguments, message):
    code, out, err = call(planted_bugs.main, capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
