"""Whatever a pair is made of, the answer is a verdict or one sentence in the user's words, with the line of the user's file."""

import ctypes
import decimal
import functools
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

import gradcheck
from gradcheck import check, of_function
from gradcheck.errors import UserError
from gradcheck.faults import describe_error
from gradcheck.report.sentences import failures

ROOT = Path(__file__).parent.parent
rng = np.random.default_rng(0)
W, ONES = rng.standard_normal((3, 4)), {"w": np.ones(2)}
OURS = re.compile(r"\b(?:" + "|".join(path.name for path in Path(gradcheck.__file__).parent.rglob("*.py")) + r")\b")


def square(p):
    return (p["w"] ** 2).sum()


def doubled(p):
    return {"w": 2 * p["w"]}


def tensor(*shape):
    return torch.tensor(rng.standard_normal(shape))


# What can be checked is.


def eigenvalues(p):
    return np.linalg.eigh(p["w"] @ p["w"].T).eigenvalues.sum()


def by_eigenvectors(p):
    found = np.linalg.eigh(p["w"] @ p["w"].T)
    return {"w": 2 * found.eigenvectors @ found.eigenvectors.T @ p["w"]}


def singular_values(p):
    return (np.linalg.svd(p["w"], full_matrices=False).S ** 2).sum()


def by_singular_vectors(p):
    found = np.linalg.svd(p["w"], full_matrices=False)
    return {"w": 2 * (found.U * found.S) @ found.Vh}


def log_determinant(p):
    return np.linalg.slogdet(np.eye(3) + p["w"] @ p["w"].T).logabsdet


def by_solving(p):
    return {"w": 2 * np.linalg.solve(np.eye(3) + p["w"] @ p["w"].T, p["w"])}


def trace_by_eigenvalues(p):
    return (np.linalg.eig(p["w"]).eigenvalues ** 2).sum().real


def by_transposing(p):
    return {"w": 2 * p["w"].T}


class Kept(np.ndarray):
    pass


def in_inference_mode():
    with torch.inference_mode():
        return torch.ones(3, dtype=torch.float64)


def looked_up(p):
    return (p["w"][[0, 2, 2]] ** 2).sum()


def sparse(p):
    w = p["w"].detach().requires_grad_()
    (torch.nn.functional.embedding(torch.tensor([0, 2, 2]), w, sparse=True) ** 2).sum().backward()
    assert w.grad.is_sparse
    return {"w": w.grad}


def on_disk(tmp_path):
    array = np.memmap(tmp_path / "w", dtype=np.float64, shape=(3,), mode="w+")
    array[:] = 1.5
    return array


CHECKED = {
    "0-d tensor": (torch.tensor(1.5, dtype=torch.float64), square, doubled),
    "0-d array": (np.array(1.5), square, doubled),
    "0-d array indexed": (np.array(1.5), lambda p: p["w"][...] ** 2, lambda p: {"w": float(2 * p["w"])}),
    "one-entry tensor": (torch.tensor([1.5]), square, doubled),
    "leaf": (torch.ones(3, dtype=torch.float64, requires_grad=True), square, doubled),
    "no leaf": (torch.ones(3, dtype=torch.float64, requires_grad=True) * 2, square, doubled),
    "module's parameter": (torch.nn.Parameter(tensor(3)), square, doubled),
    "inference mode": (in_inference_mode(), square, torch.inference_mode()(doubled)),
    "subclass": (W.view(Kept), square, doubled),
    "read-only": (np.broadcast_to(1.5, (3,)), square, doubled),
    "backwards": (np.arange(1.0, 4.0)[::-1], square, doubled),
    "list": (np.ones(3), square, lambda p: {"w": [2 * w for w in p["w"]]}),
    "list of tensors": (tensor(3), square, lambda p: {"w": [2 * w for w in p["w"]]}),
    "sparse": (tensor(4, 3), looked_up, sparse),
    "sparse rows": (tensor(3, 3), square, lambda p: {"w": (2 * p["w"]).to_sparse_csr()}),
    "bfloat16": (torch.ones(3), square, lambda p: {"w": (2 * p["w"]).bfloat16()}),
    "named tuple of eigh": (W, eigenvalues, by_eigenvectors),
    "named tuple of svd": (W, singular_values, by_singular_vectors),
    "named tuple of slogdet": (W, log_determinant, by_solving),
    "named tuple of eig": (W[:, :3], trace_by_eigenvalues, by_transposing),
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("name", CHECKED)
def test_what_can_be_checked_is(name):
    w, cost, gradients = CHECKED[name]
    result = check({"w": w}, cost, gradients)
    assert (result.verdict, result.faults) == ("pass", [])
    assert not [note for note in result.notes if "ROUNDING" in note or "TypeError" in note]

    def wrong(p):
        found = gradients(p)["w"]
        return {"w": [1.01 * each for each in found] if isinstance(found, list) else 1.01 * found}

    assert check({"w": w}, cost, wrong).verdict == "fail"


def test_an_array_on_disk_is_checked_and_left_as_it_is(tmp_path):
    array = on_disk(tmp_path)
    assert check({"w": array}, square, doubled).verdict == "pass"
    assert (array == 1.5).all()


# What can't be is refused in one sentence.


class NoArray:
    def __array__(self, *arguments, **keywords):
        raise RuntimeError("there are no numbers here")


REFUSED = {
    "masked": (
        {"w": np.ma.array([1.0, 2.0], mask=[0, 1])},
        square,
        doubled,
        "parameter w is a MaskedArray; it has to be",
    ),
    "object": ({"w": np.array([1.0, 2.0], object)}, square, doubled, "parameter w has dtype object; it has to be float64"),
    "sparse": ({"w": torch.eye(3).to_sparse()}, square, doubled, "parameter w is a sparse tensor"),
    "meta": ({"w": torch.ones(3, device="meta")}, square, doubled, "parameter w is a sparse tensor, or one without numbers"),
    "none": ({"w": None}, square, doubled, "parameter w is None; it has to be a NumPy array"),
    "no dict": (None, square, doubled, "parameters is None; it has to be a dict of arrays by name"),
    "nothing": (ONES, lambda p: None, doubled, "cost(parameters) is None; it has to be a single number"),
    "string": (ONES, lambda p: "12", doubled, "cost(parameters) is a str; it has to be a single number"),
    "array of 1": (ONES, lambda p: p["w"][:1], doubled, "cost(parameters) has shape (1,); it has to be a single number"),
    "array of 2": (ONES, lambda p: p["w"], doubled, "(2,); it has to be a single number, as its sum or its mean is"),
    "list": (ONES, lambda p: [1.0], doubled, "cost(parameters) is a list; it has to be a single number"),
    "complex": (ONES, lambda p: 2 + 1j, doubled, "cost(parameters) is (2+1j); a gradient needs a finite real cost"),
    "text": (ONES, lambda p: np.array("a"), doubled, "cost(parameters) has dtype <U1; it has to be a single number"),
    "decimal": (ONES, lambda p: decimal.Decimal(1), doubled, "cost(parameters) is a Decimal; it has to be a single number"),
    "no argument": (ONES, lambda: 1.0, doubled, "can't be called with one argument, a dict of the parameters"),
    "two arguments": (ONES, square, lambda p, c: {}, "can't be called with one argument, a dict of the parameters"),
    "by name only": (ONES, square, lambda *, p: {}, "can't be called with one argument, a dict of the parameters"),
    "library": (ONES, np.sum, doubled, "cost(parameters) is a dict; it has to be a single number"),
    "class": (ONES, int, doubled, "cost(parameters) raised TypeError: int() argument must be"),
    "gradients nothing": (ONES, square, lambda p: None, "gradients(parameters) returned None; it has to be a dict"),
    "gradients array": (ONES, square, lambda p: p["w"], "gradients(parameters) returned an ndarray; it has to be a dict"),
    "reference": (ONES, square, doubled, "reference is an int; it has to be a function of parameters", 3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_checked_is_refused_in_one_sentence(name):
    parameters, cost, gradients, message, *reference = REFUSED[name]
    with pytest.raises(UserError) as error:
        check(parameters, cost, gradients, *reference)
    said = str(error.value)
    assert message in said
    assert "\n" not in said
    assert not OURS.search(said)
    if "one argument" in said:
        assert re.search(r" in test_messages\.py, line \d+, can't", said)


def test_a_matrix_is_refused():
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.asmatrix(W)
    with pytest.raises(UserError, match="parameter w is a matrix; it has to be a plain array"):
        check({"w": matrix}, square, doubled)


FAULTS = {
    "none": (None, "the gradient of w is None; it has to be an array of shape (2,)"),
    "string": ("abc", "the gradient of w is a str; it has to be an array of shape (2,)"),
    "object": (object(), "the gradient of w is an object; it has to be an array of shape (2,)"),
    "no array": (NoArray(), "the gradient of w is a NoArray; it has to be an array of shape (2,)"),
    "ragged": ([[1, 2], [3]], "the gradient of w is a list; it has to be an array of shape (2,)"),
    "dict": ({"a": 1}, "the gradient of w is a dict; it has to be an array of shape (2,)"),
    "objects": (np.array([None, 1.0]), "the gradient of w has dtype object"),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), "the gradient of w is a MaskedArray; it has to be an array of shape (2,)"),
    "shape": (torch.ones(1, 2), "the gradient of w has shape (1, 2), w has (2,)"),
    "complex": (np.ones(2) * 1j, "the gradient of w is complex"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_gradient_that_is_no_array_is_one_line(name):
    found, fault = FAULTS[name]
    result = check(ONES, square, lambda p: {"w": found})
    assert (result.verdict, failures(result.as_json())) == ("fail", [f"fail: pair, {fault}"])


# What raises is placed where the user wrote it.


class Mute(Exception):
    def __str__(self):
        raise TypeError


def called_with_too_much(p):
    return (lambda: 1.0)(p)


def endless(p):
    return endless(p)


def mute(p):
    raise Mute


RAISING = {
    "key": (lambda p: p["v"], r"KeyError in test_messages\.py, line \d+: 'v'"),
    "inside a library": (lambda p: np.linalg.inv(p["w"]), r"LinAlgError in test_messages\.py, line \d+: 1-dimensional"),
    "too many arguments": (called_with_too_much, r"TypeError in test_messages\.py, line \d+: .* takes 0 positional"),
    "endless": (endless, r"RecursionError in test_messages\.py, line \d+: maximum"),
    "mute": (mute, r"Mute in test_messages\.py, line \d+"),
    "a library's function": (functools.partial(np.transpose, axes=(3, 4)), r"(AxisError|ValueError): ax"),
}


@pytest.mark.parametrize("name", RAISING)
def test_what_raises_is_placed_in_the_file_of_the_user(name):
    function, where = RAISING[name]
    with pytest.raises(UserError) as error:
        check(ONES, function, doubled)
    assert re.fullmatch(rf"cost\(parameters\) raised {where}.*", str(error.value))
    assert not OURS.search(str(error.value))
    (line,) = failures(check(ONES, square, function).as_json())
    assert re.match(rf"fail: pair, the backward pass raised {where}", line)
    assert not OURS.search(line)


def test_an_error_without_a_line_of_the_user_has_none():
    assert describe_error(ValueError("alone")) == "ValueError: alone"
    with pytest.raises(UserError) as error:
        of_function(None, {})
    assert describe_error(error.value).startswith("UserError in test_messages.py, line ")


# What is printed.

LOUD = """
    import ctypes, os, subprocess
    import numpy as np

    C = ctypes.CDLL(None)
    C.printf(b"C loads\\n")
    parameters = {"w": np.ones(2)}

    def cost(p):
        C.printf(b"C runs\\n")
        os.write(1, b"raw bytes\\n")
        print("Python runs")
        return (p["w"] ** 2).sum()

    def gradients(p):
        subprocess.run(["echo", "a child runs"])
        return {"w": 2 * p["w"]}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the C library is asked for by its POSIX name")
def test_what_c_code_and_children_print_does_not_spoil_the_json(tmp_path):
    assert ctypes.CDLL(None).printf
    (tmp_path / "loud.py").write_text(textwrap.dedent(LOUD))
    command = [sys.executable, "-m", "gradcheck", tmp_path / "loud.py", "--json", "-"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert json.loads(done.stdout)["verdict"] == "pass"
    for words in ("C loads", "C runs", "raw bytes", "Python runs", "a child runs"):
        assert words in done.stderr
