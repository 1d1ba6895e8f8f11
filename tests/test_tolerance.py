"""A tolerance that was asked for: it allows so much and no more, for that tensor alone, and is printed loudly."""

import json
import time

import numpy as np
import pytest
from conftest import call

from gradcheck import UserError, assert_gradients_match, check, cli
from gradcheck.report.page import comparison_page
from lab.cli import compare

PARAMETERS = {"x": np.array([0.5, -1.0, 2.0]), "b": np.array([1.0, 3.0])}
LARGEST = np.cos(0.5)  # of the derivatives by x
LOUD = "with a tolerance of 1e-06 for x, which was asked for"

PAIR = """
import numpy as np
parameters = {"x": np.array([0.5, -1.0, 2.0]), "b": np.array([1.0, 3.0])}
def cost(p): return np.sin(p["x"]).sum() + (p["b"] ** 2).sum()
def gradients(p): return {"x": np.cos(p["x"]) + 5e-7, "b": 2 * p["b"]}
"""


def cost(p):
    return np.sin(p["x"]).sum() + (p["b"] ** 2).sum()


def off_by(error, tensor="x"):
    """The gradients with the smallest derivative of `tensor` off by `error`."""

    def gradients(p):
        found = {"x": np.cos(p["x"]), "b": 2 * p["b"]}
        found[tensor][-1 if tensor == "x" else 0] += error
        return found

    return gradients


@pytest.mark.parametrize(("share", "expected"), [(0.9, "pass"), (-0.9, "pass"), (1.1, "fail"), (-1.1, "fail")])
def test_it_is_a_share_of_the_largest_derivative(share, expected):
    result = check(PARAMETERS, cost, off_by(share * 1e-6 * LARGEST), tolerance={"x": 1e-6})
    assert result.verdict == expected
    assert {row["name"]: row["tolerance"] for row in result.tensors} == {"x": 1e-6, "b": None}
    assert any(note.startswith("A TOLERANCE of 1e-06 for x, which was asked for") for note in result.notes)


@pytest.mark.parametrize("tolerance", [None, {}, {"x": 1e-9}, {"b": 1e-3}])
def test_nothing_else_is_loosened(tolerance):
    assert check(PARAMETERS, cost, off_by(5e-7), tolerance=tolerance).verdict == "fail"
    assert check(PARAMETERS, cost, off_by(1e-10, "b"), tolerance={"x": 0.1}).verdict == "fail"


def test_a_large_one_leaves_nothing_undecided():
    result = check(PARAMETERS, cost, off_by(0.05), tolerance={"x": 0.1})
    assert (result.verdict, [row["undecided"] for row in result.tensors]) == ("pass", [0, 0])


@pytest.mark.parametrize(("error", "expected"), [(5e-4, "pass"), (2e-3, "fail")])
def test_it_holds_at_ties(error, expected):
    def absolute(p):
        return np.abs(p["x"].real).sum()

    result = check({"x": np.array([0.0, 1.0])}, absolute, lambda p: {"x": np.array([1 + error, 1])}, tolerance={"x": 1e-3})
    assert result.verdict == expected


@pytest.mark.parametrize(("factor", "expected"), [(1 + 4e-4, "pass"), (1 + 1e-2, "fail")])
def test_it_holds_along_directions_and_for_taylor(factor, expected):
    def squares(p):
        time.sleep(5e-4)  # so that all entries would take too long
        return (p["x"] ** 2).sum()

    many = {"x": np.linspace(1, 2, 5000)}
    result = check(many, squares, lambda p: {"x": factor * 2 * p["x"]}, tolerance={"x": 1e-3}, budget=1.5)
    (tensor,) = result.tensors
    assert tensor["directions"]
    assert "a kink is near" not in (tensor["taylor"]["reason"] or "")  # what is tolerated is no remainder to explain
    assert result.verdict == expected


def test_the_smallest_error_that_would_show_is_larger_for_it():
    seen = [check(PARAMETERS, cost, off_by(0), tolerance=asked).tensors[0]["sensitivity"] for asked in (None, {"x": 1e-6})]
    assert seen[0] < 1e-9 < 1e-6 < seen[1]


@pytest.mark.parametrize(
    ("tolerance", "sentence"),
    [
        (1e-6, 'tolerance is a float; it has to be a dict of numbers by parameter, such as {"x": 1e-6}'),
        ({"y": 1e-6}, "tolerance has the name 'y', which is no parameter; the parameters are x and b"),
        *(({"x": bad}, "tolerance of x is ") for bad in (0, -1e-6, np.nan, np.inf, 1, True, "1e-6", None, np.ones(1), 1j)),
    ],
)
def test_what_is_no_tolerance_is_refused_in_a_sentence(tolerance, sentence):
    with pytest.raises(UserError) as refused:
        check(PARAMETERS, cost, off_by(0), tolerance=tolerance)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_a_numpy_number_will_do():
    assert check(PARAMETERS, cost, off_by(5e-7), tolerance={"x": np.float32(1e-6)}).verdict == "pass"


def test_the_assertion_takes_it_and_says_so_where_it_fails():
    assert assert_gradients_match(PARAMETERS, cost, off_by(5e-7), tolerance={"x": 1e-6}).verdict == "pass"
    with pytest.raises(AssertionError, match=f"^the gradient is wrong {LOUD}\n"):
        assert_gradients_match(PARAMETERS, cost, off_by(5e-5), tolerance={"x": 1e-6})


@pytest.mark.parametrize(("main", "flags"), [(cli.main, []), (compare.main, ["--pair"])])
def test_the_commands_take_it_and_print_it_in_the_verdict(tmp_path, capsys, main, flags):
    (tmp_path / "mine.py").write_text(PAIR)
    assert call(main, capsys, *flags, tmp_path / "mine.py")[0] == 1
    code, out, _ = call(main, capsys, *flags, tmp_path / "mine.py", "--tolerance", "x=1e-6")
    assert code == 0
    assert f"\nPASS {LOUD}: " in out
    assert any(line.split() == ["tolerance", "1e-06"] for line in out.splitlines())


def test_a_file_may_ask_for_it_and_the_command_line_comes_first(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(PAIR + "tolerance = {'x': 1e-6}\n")
    code, out, _ = call(cli.main, capsys, tmp_path / "mine.py", "--json", "-")
    assert (code, json.loads(out)["networks"][0]["tensors"][0]["tolerance"]) == (0, 1e-6)
    assert call(cli.main, capsys, tmp_path / "mine.py", "--tolerance", "x=1e-8")[0] == 1


@pytest.mark.parametrize("asked", ["x", "x=", "x=small", "y=1e-6", "x=0", "x=-1", "x=nan", "x=2"])
def test_a_wrong_option_is_one_line_and_exit_2(tmp_path, capsys, asked):
    (tmp_path / "mine.py").write_text(PAIR)
    code, out, err = call(cli.main, capsys, tmp_path / "mine.py", "--tolerance", asked)
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1)


def test_a_wrong_one_in_a_file_is_said_with_the_file(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(PAIR + "tolerance = {'x': True}\n")
    code, _, err = call(cli.main, capsys, tmp_path / "mine.py")
    assert code == 2
    assert "mine.py: tolerance of x is True; it has to be a number over 0 and under 1" in err


def test_networks_have_none(capsys):
    code, _, err = call(compare.main, capsys, "two-layer", "--tolerance", "W1=1e-6")
    assert (code, "--tolerance is for --pair" in err) == (2, True)


def test_the_page_says_so():
    result = check(PARAMETERS, cost, off_by(5e-7), tolerance={"x": 1e-6}, pictures=True)
    run = {"verdict": result.verdict, "seconds": 1.0, "networks": [result.as_json()]}
    assert f'"askedFor":" {LOUD}"' in comparison_page(run, [result.pictures], "gradcheck")
