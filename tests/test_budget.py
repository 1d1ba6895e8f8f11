"""The budget of a check bounds all that it does; a quick check decides by ten calls what it can, and says what it can't."""

import itertools
import json
import re
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from conftest import call

import gradcheck
from gradcheck import check, cli
from gradcheck.errors import OutOfTime
from gradcheck.report.sentences import failures
from gradcheck.subjects.pair import Calls, Pair
from gradcheck.subjects.plan import Plan, duration

rng = np.random.default_rng(0)
X = rng.standard_normal((8, 6))
P = {"W": rng.standard_normal((6, 5)), "b": rng.standard_normal(5)}


class Counted:
    """A cost and its gradient that take a while and count their calls where the check does not put that back."""

    def __init__(self, seconds=0.0, part=np.asarray, wrong=lambda g: g):
        self.costs, self.gradients_ = itertools.count(), itertools.count()
        self.seconds, self.part, self.wrong = seconds, part, wrong

    def cost(self, p):
        next(self.costs)
        time.sleep(self.seconds)
        return (np.tanh(X @ self.part(p["W"]) + self.part(p["b"])) ** 2).sum()

    def gradients(self, p):
        next(self.gradients_)
        time.sleep(self.seconds)
        T = np.tanh(X @ p["W"] + p["b"])
        D = 2 * T * (1 - T**2)
        return self.wrong({"W": X.T @ D, "b": D.sum(0)})

    def check(self, **options):
        return check(P, self.cost, self.gradients, **options)

    def calls(self):
        return next(self.costs), next(self.gradients_)


def real(array):
    return np.real(array)


WRONG = {
    "twice": lambda g: {name: 2 * each for name, each in g.items()},
    "a percent": lambda g: {name: 1.01 * each for name, each in g.items()},
    "sign": lambda g: {name: -each for name, each in g.items()},
    "b is missing": lambda g: g | {"b": 0 * g["b"]},
}


def test_a_quick_check_takes_ten_calls_and_says_what_it_saw():
    pair = Counted()
    result = pair.check(quick=True)
    assert pair.calls() == (10, 2)
    assert result.verdict == "pass"
    assert "2 random directions over all entries of all tensors together" in result.notes[0]
    assert "an error in single entries may hide" in result.notes[0]
    limit = re.search(r"error of the whole gradient of (\S+) of its size", result.sensitivity)
    assert limit
    assert 0 < float(limit[1]) < 1e-2
    assert [row["checked"] for row in result.tensors] == [0, 0]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("seed", range(5))
def test_a_quick_check_sees_an_error_of_the_whole_gradient(wrong, seed):
    pair = Counted(wrong=WRONG[wrong])
    result = pair.check(quick=True, seed=seed)
    assert (result.verdict, pair.calls()) == ("fail", (10, 2))
    assert "random directions over all entries the gradient is wrong" in result.faults[0]


COSTLY = {
    "float32 inside": (
        lambda p: float(np.tanh(np.real(p["W"]).astype(np.float32)).sum()),
        lambda p: {"W": 1 - np.tanh(p["W"]) ** 2},
    ),
    "absolute values at 0": (lambda p: np.abs(p["W"] - P["W"]).sum(), lambda p: {"W": np.sign(p["W"] - P["W"])}),
    "fast oscillation": (lambda p: np.sin(1e6 * p["W"]).sum(), lambda p: {"W": 1e6 * np.cos(1e6 * p["W"])}),
    "flat": (lambda p: 3.0, lambda p: {"W": np.zeros((6, 5))}),
    "large beside small": (lambda p: 1e12 + (p["W"] ** 2).sum(), lambda p: {"W": 2 * p["W"]}),
    "ReLU": (lambda p: np.maximum(X @ p["W"], 0).sum(), lambda p: {"W": X.T @ (X @ p["W"] > 0.0)}),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_a_quick_check_raises_no_false_alarm(kind):
    cost, gradients = COSTLY[kind]
    for seed in range(20):
        assert check({"W": P["W"]}, cost, gradients, quick=True, seed=seed).verdict != "fail"
        assert check({"W": P["W"]}, cost, gradients, budget=1e-9, seed=seed).verdict != "fail"


def test_what_did_not_move_is_not_verified():
    assert check({"w": np.ones(3)}, lambda p: 1.0, lambda p: {"w": np.zeros(3)}, quick=True).verdict == "undecided"


@pytest.mark.parametrize(("seconds", "budget"), [(0.02, 0.8), (0.05, 0.6), (0.002, 1.0), (0.001, 2.0)])
@pytest.mark.parametrize("part", [np.asarray, real], ids=["complex", "real"])
def test_the_budget_bounds_the_whole_check(seconds, budget, part):
    pair = Counted(seconds, part)
    started = time.perf_counter()
    result = pair.check(budget=budget)
    assert time.perf_counter() - started < 1.5 * budget
    assert pair.calls()[0] * seconds < 1.1 * budget
    assert result.verdict == "pass"


def test_what_is_not_affordable_is_at_least_four_calls():
    pair = Counted(0.02)
    result = pair.check(budget=0.01)
    assert (result.verdict, pair.calls()) == ("pass", (4, 2))
    assert "fewer calls than a sure verdict needs" in result.notes[0]


def test_the_wrong_tensor_is_named_where_time_is_left():
    result = Counted(0.004, wrong=WRONG["b is missing"]).check(budget=1.0)
    assert {row["name"]: row["verdict"] for row in result.tensors} == {"W": "pass", "b": "fail"}


@pytest.mark.parametrize("kind", ["asked", "no time"])
def test_a_quick_check_that_cannot_say_which_tensor_is_wrong_says_how_to_learn_it(kind):
    options = {"asked": {"quick": True}, "no time": {"budget": 1e-9}}[kind]
    way = {"asked": "the check without --quick", "no time": "a check with a larger --budget"}[kind]
    result = Counted(wrong=WRONG["twice"]).check(**options)
    (line,) = failures(result.as_json())
    assert f"say in which of W and b: {way}" in line
    assert [row["verdict"] for row in result.tensors] == ["undecided", "undecided"]


def test_a_quick_check_names_the_tensor_where_it_can():
    result = Counted(0.004, wrong=WRONG["b is missing"]).check(budget=1.0)
    assert result.faults[0].endswith("; the error is in b")
    assert failures(result.as_json())[1:] == ["fail: pair b, 1 of 1 random direction over all entries"]
    result = check({"W": P["W"]}, lambda p: (p["W"] ** 2).sum(), lambda p: {"W": p["W"]}, quick=True)
    assert result.faults[0].endswith("; the error is in W")


def test_a_quick_check_looks_at_the_others_where_a_gradient_is_not_finite():
    result = Counted(wrong=lambda g: g | {"b": g["b"] * np.inf}).check(quick=True)
    assert failures(result.as_json()) == ["fail: pair, the gradient of b is not finite everywhere"]
    assert [row["verdict"] for row in result.tensors] == ["pass", "fail"]


def test_a_gradient_that_takes_long_is_in_the_budget():
    pair = Counted()
    started = time.perf_counter()
    result = check(P, pair.cost, lambda p: time.sleep(0.1) or pair.gradients(p), budget=1.0)
    assert time.perf_counter() - started < 1.5
    assert (result.verdict, result.notes[0][:6]) == ("pass", "QUICK:")


def test_roundings_that_take_longer_than_planned_end_in_a_quick_check():
    pair = Counted()

    def gradients(p):
        time.sleep(0.0 if type(p["W"]) is np.ndarray else 0.1)  # arrays that round at random
        return pair.gradients(p)

    started = time.perf_counter()
    result = check(P, pair.cost, gradients, budget=0.8)
    assert time.perf_counter() - started < 1.2
    assert (result.verdict, result.notes[0][:6]) == ("pass", "QUICK:")


def test_when_the_time_is_over_the_entries_looked_at_are_the_sample():
    """An entry takes far longer than the few that were tried, as where differences have to be repeated."""
    w, sleeps = np.ones(400), iter(range(10**9))

    def cost(p):
        time.sleep(2e-3 if next(sleeps) > 600 else 0.0)
        return (np.real(p["w"]) ** 2).sum()

    started = time.perf_counter()
    result = check({"w": w}, cost, lambda p: {"w": 2 * p["w"]}, budget=1.5)
    (row,) = result.tensors
    assert time.perf_counter() - started < 2.2
    assert any(re.match(r"OUT OF TIME: central-difference at [\d,]+ of 400 entries of w", note) for note in result.notes)
    assert (row["verdict"], row["undecided"]) == ("pass", 0)
    assert 0 < row["pass"] < 400


def test_no_call_comes_after_the_deadline():
    calls = Calls(Pair(P, Counted().cost, Counted().gradients))
    calls.deadline = time.perf_counter() - 1
    with pytest.raises(OutOfTime):
        calls.cost(calls.parameters)


def test_the_first_line_says_what_a_call_took_and_what_is_done():
    said = []
    Counted(0.02).check(budget=0.5, announce=said.append)
    words = (
        r"one call takes 2\d ms: \d random directions over all entries .*, in about \d+ ms; all entries would take about \d+ s"
    )
    assert len(said) == 1
    assert re.fullmatch(words, said[0])
    said.clear()
    Counted().check(announce=said.append)
    assert not said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3.04, "3 s"), (0.00521, "5.2 ms"), (90, "1.5 min"), (14400, "4 h"), (300000, "3.5 days"), (0, "0 ms")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_plan_of_a_cost_of_three_seconds():
    plan = Plan(3.0, 3.0, (1000,), 100.0, asked=False)
    assert (plan.quick, plan.directions) == (True, 8)
    assert plan.sentence().startswith("one call takes 3 s: 8 random directions")
    assert not Plan(1e-5, 1e-5, (1000,), 20.0, asked=False).quick


def test_the_command_shows_a_quick_check(capsys, tmp_path):
    path = tmp_path / "simulator.py"
    path.write_text(SIMULATOR)
    code, out, err = call(cli.main, capsys, path, "--quick", "--html", tmp_path / "page.html", "--json", tmp_path / "a.json")
    assert (code, err) == (1, "")
    assert "along 2 of 2 random directions over all entries the gradient is wrong: " in out
    assert "simulator: QUICK: one call takes " in out
    written = json.loads((tmp_path / "a.json").read_text())
    schema = json.loads((Path(gradcheck.__file__).parent / "report" / "schema.json").read_text())
    jsonschema.validate(written, schema)
    assert "QUICK: " in (tmp_path / "page.html").read_text()


SIMULATOR = """\
import numpy as np
parameters = {"w": np.arange(1.0, 4.0), "b": np.ones(2)}
def cost(p):
    return (p["w"] ** 2).sum() + (p["b"] ** 3).sum()
def gradients(p):
    return {"w": 2 * p["w"], "b": 2 * p["b"] ** 2}
"""


@pytest.mark.parametrize("part", [np.asarray, real], ids=["complex", "real"])
def test_an_entry_of_any_scale_in_one_tensor(part):
    """Sizes from 1e-6 to 1: with the step of the largest, the smallest would be moved a million times."""
    w = np.logspace(-6, 0, 13)

    def cost(p):
        return np.sin(part(p["w"]) / w).sum()

    def gradients(wrong):
        return lambda p: {"w": np.cos(p["w"] / w) / w * (1 + 1e-3 * (np.arange(13) == wrong))}

    assert check({"w": w}, cost, gradients(-1)).verdict == "pass"
    for wrong in range(13):
        assert check({"w": w}, cost, gradients(wrong)).tensors[0]["fail"] == 1


def test_the_calls_for_a_small_tensor_among_many():
    many = {f"w{k}": rng.standard_normal(3 + k % 7) for k in range(60)}
    calls = itertools.count()

    def cost(p):
        next(calls)
        return (np.sin(np.concatenate([*p.values()])) ** 2).sum()

    result = check(many, cost, lambda p: {name: np.sin(2 * each) for name, each in p.items()}, budget=1e3)
    assert (result.verdict, sum(row["pass"] for row in result.tensors)) == ("pass", 354)
    assert next(calls) < 150 * 60


@pytest.mark.parametrize("seed", range(5))
def test_a_quick_check_of_a_cost_that_is_odd_around_the_point(seed):
    """It shows no curvature there, and is no line."""
    X = np.random.default_rng(seed).standard_normal((20, 4))

    def slope(w):
        p = 1 / (1 + np.exp(-X @ w))
        return X.T @ (p * (1 - p)) / 20

    functions = {"parameters": {"w": np.zeros(4)}, "cost": lambda p: (1 / (1 + np.exp(-X @ p["w"]))).mean()}
    assert check(**functions, gradients=lambda p: {"w": slope(p["w"])}, quick=True, seed=seed).verdict == "pass"
    assert check(**functions, gradients=lambda p: {"w": 1.01 * slope(p["w"])}, quick=True, seed=seed).verdict == "fail"
