"""The rows of a result: FAIL never stands beside an error that is allowed, nor pass beside one that is not."""

import re
import time
from itertools import chain

import numpy as np
import pytest
import torch
from test_random_pairs import random_pair

from benchmarks.cost_pairs import draw, plant
from benchmarks.cost_truth import NoTruth
from gradcheck import check, verdict, worst
from gradcheck.faults import counted
from gradcheck.report.rows import tensor_rows, worst_cells
from gradcheck.report.sentences import alone_sentences, failures
from gradcheck.report.tables import conclusion, network_table
from gradcheck.result import CheckResult

WORD = {"pass": "pass", "fail": "FAIL", "undecided": "UNDECIDED"}
ORACLES = ("autograd", "complex", "central")


def rows_of(result, name="w"):
    """(judge, relative error, allowed, index, mark) of each row of a tensor, as a terminal shows them."""
    (tensor,) = (tensor for tensor in result.tensors if tensor["name"] == name)
    return [(judge, *cells[:3], re.sub(r"\[/?[a-z ]*\]", "", mark)) for judge, cells, mark in tensor_rows(tensor)]


def require_true_rows(result: CheckResult):
    """Each mark is true of the numbers beside it, in the table and in JSON, and the tensor's verdict stands somewhere."""
    for tensor in result.tensors:
        rows = rows_of(result, tensor["name"])
        assert any(mark.startswith(WORD[tensor["verdict"]]) for *_, mark in rows), (tensor, rows)
        for judge, error, allowed, _, mark in rows:
            if judge in ORACLES and mark.startswith("FAIL"):
                assert error == "not finite" or float(error) > float(allowed), rows
            if judge in ORACLES and mark.startswith("pass"):
                assert float(error) <= float(allowed), rows
        if tensor["verdict"] == "pass":
            shown = [found["worst"] for found in tensor["oracles"].values() if found["worst"]["index"] is not None]
            assert all(each["rel_error"] <= each["allowed"] for each in shown), tensor


def absolute(p):
    return np.abs(p["w"].real).sum()


def test_an_entry_at_a_tie_is_not_the_worst_of_an_oracle():
    w = np.array([0.0, 1.0, -2.0])
    result = check({"w": w}, absolute, lambda p: {"w": np.array([0.25, 1.0, -1.0])})
    require_true_rows(result)
    central, tie = (next(row for row in rows_of(result) if row[0] == judge) for judge in ("central", "tie"))
    assert (central[3], central[4]) in (("[1]", "pass, 1 kink"), ("[2]", "pass, 1 kink"))
    assert tie[2:] == ("between", "[0]", "")


def test_a_tensor_that_is_right_at_ties_alone_has_its_verdict_there():
    result = check({"w": np.zeros(2)}, absolute, lambda p: {"w": np.array([-0.5, 0.5])})
    require_true_rows(result)
    assert [row[1:4] for row in rows_of(result) if row[0] == "central"] == [("-", "-", "-")]
    assert [row[2:] for row in rows_of(result) if row[0] == "tie"] == [("between", "[0]", "pass, 2 kinks")]


def test_what_is_beyond_a_tie_fails_in_the_row_of_the_tie():
    result = check({"w": np.array([0.0, 1.0])}, absolute, lambda p: {"w": np.array([1.5, 1.0])})
    require_true_rows(result)
    assert [(judge, mark) for judge, *_, mark in rows_of(result) if mark] == [("tie", "FAIL 1")]
    assert "at an exact tie [0] is 1.5" in failures(result.as_json())[0]


class Wrong(torch.autograd.Function):
    """A square whose backward is off by 1e-9: autograd is wrong, and the complex step right."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, above):
        return 2 * ctx.saved_tensors[0] * above * (1 + 1e-9)


CUBES = {"w": np.array([0.5, 1.0, 2.0])}


def squares(p):
    return (p["w"] ** 2).sum()


@pytest.mark.parametrize(("factor", "who"), [(1.0, []), (1 + 1e-9, ["complex", "central"]), (1.01, [*ORACLES, "Taylor"])])
def test_the_verdict_stands_in_the_rows_of_those_that_accuse(factor, who):
    """An oracle that is outvoted shows what it says of no entry; one that agrees does not bear the FAIL of another."""
    reference = lambda p: Wrong.apply(p["w"]).sum()  # noqa: E731
    result = check(CUBES, squares, lambda p: {"w": factor * 2 * p["w"]}, reference)
    require_true_rows(result)
    assert [judge for judge, *_, mark in rows_of(result) if mark.startswith("FAIL")] == who


def test_an_exact_oracle_that_stands_alone_is_a_note():
    """No difference is asked that could refute it."""
    both = ("autograd", "complex-step")
    result = check(CUBES, squares, lambda p: {"w": 2 * p["w"]}, lambda p: Wrong.apply(p["w"]).sum(), oracles=both)
    require_true_rows(result)
    assert result.verdict == "pass"
    assert [line for line in result.notes if "alone" in line] == [
        "autograd stands alone at 3 entries of w: it differs by a relative 5e-10 at most from the claim, "
        "which the complex step confirms"
    ]
    assert list(alone_sentences(result.tensors[0])) == [
        "autograd stands alone at 3 entries: the complex step confirms the claim there"
    ]


def test_what_oracles_contest_is_undecided_in_the_row_that_contests_it():
    """One exact oracle confirms the claim, differences contradict both."""
    parameters = {"w": np.array([0.5, 1.0])}
    cost = lambda p: float((np.real(p["w"]) ** 2).sum())  # noqa: E731
    result = check(parameters, cost, lambda p: {"w": 2.02 * p["w"]}, lambda p: 1.01 * (p["w"] ** 2).sum())
    require_true_rows(result)
    if result.verdict == "undecided":
        assert [judge for judge, *_, mark in rows_of(result) if mark] == ["central"]


def test_random_directions_and_taylor_have_rows():
    size = 5000

    def gradients(p):
        found = 2 * p["w"]
        found[-1, -1] *= 1.5
        return {"w": found}

    def slowly(p):
        time.sleep(5e-4)
        return squares(p)

    result = check({"w": np.linspace(1, 2, size).reshape(10, -1)}, slowly, gradients, budget=1.5)
    require_true_rows(result)
    (tensor,) = result.tensors
    assert tensor["fail"] == 0 or tensor["directions"]["fail"]
    marked = [row for row in rows_of(result) if row[-1].startswith("FAIL")]
    assert ("directions", f"1 of {tensor['directions']['checked']}", "", f"[9, {size // 10 - 1}]", "FAIL") in marked


@pytest.mark.parametrize("seed", range(0, 30, 3))
def test_rows_of_random_pairs_are_true(seed):
    parameters, cost, gradients, *reference = random_pair(seed)
    first = min(parameters)

    def planted(p):
        right = gradients(p)
        return right | {first: right[first] * 1.001}

    for claimed in (gradients, planted):
        require_true_rows(check(parameters, cost, claimed, *reference, seed=seed))


@pytest.mark.parametrize("seed", range(20))
def test_rows_of_random_costs_are_true(seed):
    try:
        drawn = draw(seed)
    except NoTruth as reason:
        pytest.skip(f"left out: {reason}")
    wrong = plant(drawn)
    for gradients in (drawn.gradients, *([] if wrong is None else [wrong[2]])):
        require_true_rows(drawn.check(gradients))


def test_an_error_just_past_what_is_allowed_reads_as_larger():
    found = {"index": [8, 534], "claimed": 1.0, "reference": 1.0, "rel_error": 1.2341e-14, "allowed": 1.2339e-14}
    tensor = {"oracles": {"autograd": {"worst": found}}, "tie": None, "between": None, "directions": None, "taylor": None}
    tensor |= {"verdict": "fail", "fail": 3, "tolerance": None}
    ((_, (error, allowed, index, *_), mark),) = tensor_rows(tensor)
    assert float(error) > float(allowed)
    assert (index, "FAIL 3" in mark) == ("[8, 534]", True)


def test_an_error_past_what_is_allowed_is_so_after_division_too():
    rng = np.random.default_rng(0)
    rounding = rng.uniform(1, 2, (1, 1000)) * 1e-16
    claimed = 10.0 ** rng.uniform(-3, 3, (1, 1000))
    none, beyond = np.zeros((1, 1000)), np.nextafter(rounding, 1)
    found = verdict.compare(claimed * 0 + beyond, none, none, rounding, 1e-11, 1.0)
    assert not found.agrees.any()
    assert (found.error > found.allowed).all()


def test_what_an_oracle_allows_where_it_knows_nothing_is_called_unknown():
    found = {"index": [0], "claimed": 1.0, "reference": 2.0, "rel_error": 0.3, "allowed": None}
    tensor = {"oracles": {"central-difference": {"worst": found}}, "tie": None, "between": None, "directions": None}
    ((_, cells, mark),) = tensor_rows(
        tensor | {"taylor": None, "verdict": "undecided", "undecided": 1, "fail": 0, "tolerance": None}
    )
    assert (cells[1], "UNDECIDED 1" in mark) == ("unknown", True)


def test_the_heat_map_shows_what_the_verdict_rests_on():
    """An entry at a tie is no error, an undecided one is not checked, one that fails is over the limit."""
    result = check({"w": np.array([0.0, 1.0])}, absolute, lambda p: {"w": np.array([0.5, 1.0])}, pictures=True)
    assert (result.pictures["w"]["errors"] <= 1).all()
    masks = {each: np.array([each == one for one in ("pass", "fail", "undecided")]) for each in verdict.VERDICTS}
    judged = verdict.compare(np.ones((1, 3)), np.array([[1.0, 2.0, 1.0]]), np.zeros((1, 3)), np.full((1, 3), 1e-16), 1e-11, 1.0)
    right, wrong, unknown = worst.worst_over_allowed({"autograd": judged}, masks)
    assert right == 0
    assert wrong > 1e10
    assert np.isnan(unknown)


def test_the_index_of_an_entry_reads_as_in_python():
    result = check({"w": np.ones((2, 3))}, squares, lambda p: {"w": 2.1 * p["w"]})
    cells = list(chain.from_iterable(column.cells for column in network_table(result.as_json()).columns))
    assert "[0, 0]" in cells
    assert "[0, 0] is 2.1" in failures(result.as_json())[0]


def cubes_in_floats(p):
    return float((p["w"] ** 3).sum() + np.exp(-(p["v"] ** 2)).sum())


@pytest.mark.parametrize("beside", [0.0, 1e-290])
def test_errors_of_entries_near_0_are_relative_to_their_tensor(beside):
    """Differences know them to 1e-12 or so: relative to the entries that is anything up to 1e296."""
    parameters = {"w": np.array([0.0, 2.0, 3.0]), "v": np.array([30.0, 40.0, 35.0])}

    def gradients(p):
        return {"w": 3 * p["w"] ** 2 + np.array([beside, 0, 0]), "v": -2 * p["v"] * np.exp(-(p["v"] ** 2))}

    result = check(parameters, cubes_in_floats, gradients)
    require_true_rows(result)
    shown = [row[2] for name in parameters for row in rows_of(result, name) if row[0] == "central"]
    assert (result.verdict, max(map(float, shown)) < 1e-9) == ("pass", True)


def test_an_oracle_that_allows_more_than_the_derivatives_knows_nothing():
    found = {"index": [0], "claimed": 2e-30, "reference": 0.0, "rel_error": 1e-6, "allowed": 1e54}
    assert worst_cells(found)[:2] == ("1.0e-06", "unknown")
    assert worst_cells(found | {"allowed": 2.0}, tolerance=2.0)[:2] == ("1.0e-06", "2.0e+00")


LACKING = {
    "none": lambda g: {**g, "w": None},
    "left out": lambda g: {"b": g["b"]},
    "string": lambda g: {**g, "w": "abc"},
    "shape": lambda g: {**g, "w": g["w"][:1]},
}
TWO = {"w": np.ones(2), "b": np.ones(1)}


def squares_and_cubes(p):
    return (p["w"] ** 2).sum() + (p["b"] ** 3).sum()


def slopes(p):
    return {"w": 2 * p["w"], "b": 3 * p["b"] ** 2}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("kind", LACKING)
def test_a_tensor_without_a_gradient_has_a_row_without_numbers(kind, quick):
    """And what would have been seen in the others is limited by their rounding, which is known all the same."""
    result = check(TWO, squares_and_cubes, lambda p: LACKING[kind](slopes(p)), quick=quick)
    ((judge, *cells, mark),) = rows_of(result)
    assert ({judge, *cells}, mark) == ({"-"}, "FAIL" if quick else "FAIL 2")
    (line,) = failures(result.as_json())
    assert line.startswith("fail: pair, the gradient of w ")
    assert [row["verdict"] for row in result.tensors] == ["fail", "pass"]
    if not quick:
        require_true_rows(result)
        assert 1e-16 < float(re.search(r"relative error of (\S+) in", result.sensitivity)[1]) < 1e-10


def test_a_backward_that_raises_leaves_rows_without_numbers():
    def gradients(p):
        raise ValueError("no")

    result = check(TWO, squares_and_cubes, gradients)
    assert [rows_of(result, name) for name in TWO] == [[("-", "-", "-", "-", "FAIL 2")], [("-", "-", "-", "-", "FAIL 1")]]


def test_a_gradient_that_is_not_a_number_beside_one_that_did_not_come_has_its_own_sentence():
    result = check(TWO, squares_and_cubes, lambda p: {"w": None, "b": np.full(1, np.nan)})
    assert [line.split(",")[0] for line in failures(result.as_json()) if line.startswith("fail")] == [
        "fail: pair",
        "fail: pair b",
    ]
    assert rows_of(result, "b")[0][1] == "not finite"
    assert result.sensitivity.startswith("nothing was compared")


def test_counts_of_one_are_singular():
    assert (counted(1, "entry"), counted(0, "entry"), counted(1234, "call")) == ("1 entry", "0 entries", "1,234 calls")
    result = check({"w": np.ones(1)}, squares, lambda p: {"w": 3 * p["w"]}, lambda p: (p["w"] ** 2).sum())
    run = {"verdict": "fail", "seconds": 0.0, "networks": [result.as_json()]}
    assert not re.search(r"\b1 (entries|random directions|kinks)\b", conclusion(run))
    assert "agree at 1 entry: the claimed gradient is wrong" in conclusion(run)
