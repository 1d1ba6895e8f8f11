"""The examples as a user runs them, and bugs planted in those that are correct."""

import functools
import json
import re

import numpy as np
import pytest
import torch
from conftest import call

from benchmarks.example_bugs import BUGS, EXAMPLES, WORDS, load
from lab.cli import compare

CORRECT = ("layer_norm", "attention", "convolution", "lstm_cell", "custom_function", "word_vectors")
ORACLES = {"autograd", "complex-step", "central-difference"}
MASK = "the mask of the ReLU is taken from the gradient instead of the activation"
HALF = "it has lambda*W1 where the cost's derivative is 2*lambda*W1"

every_bug = pytest.mark.parametrize("bug", [pytest.param(bug, id=bug.name) for bug in BUGS])
# A whole check of each takes a second or two: all of them are in benchmarks/planted_bugs.py.
some_bugs = pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, id=bug.name)
        for name in dict.fromkeys(bug.example for bug in BUGS)
        for bug in [each for each in BUGS if each.example == name][:5]
    ],
)


@functools.cache
def example(name):
    return load((EXAMPLES / f"{name}.py").read_text(), name)


@functools.cache
def true_gradients(name):
    """The complex step of the example's own cost at every entry, by name."""
    cost, parameters, step = example(name).cost, example(name).parameters, 1e-100
    gradients = {}
    for tensor, values in parameters.items():
        gradient = np.empty(tuple(values.shape))
        for index in np.ndindex(gradient.shape):
            stepped = {other: array + 0j for other, array in parameters.items()}
            stepped[tensor][index] += step * 1j
            gradient[index] = complex(cost(stepped)).imag / step
        gradients[tensor] = gradient
    return gradients


def errors(gradients, truth):
    """The largest error of each tensor, against its largest entry."""
    return {t: np.abs(np.asarray(gradients[t]) - truth[t]).max() / np.abs(truth[t]).max() for t in truth}


@pytest.mark.parametrize("name", ["layer_norm", "attention", "convolution", "lstm_cell", "word_vectors"])
def test_the_reference_is_the_same_cost_by_other_means(name):
    pair = example(name)
    tensors = {tensor: torch.tensor(array, requires_grad=True) for tensor, array in pair.parameters.items()}
    cost = pair.reference(tensors)
    cost.backward()
    assert cost.item() == pytest.approx(pair.cost(pair.parameters), rel=1e-14)
    of_torch = {tensor: value.grad.numpy() for tensor, value in tensors.items()}
    assert max(errors(of_torch, true_gradients(name)).values()) < 1e-13


@pytest.mark.parametrize("name", CORRECT)
def test_the_gradient_is_that_of_the_complex_step(name):
    gradients = example(name).gradients(example(name).parameters)
    assert max(errors(gradients, true_gradients(name)).values()) < 1e-13


def two_layer_gradients(pair, lam):
    """PyTorch's gradients of a ReLU network in the layout of the course, by name."""
    p = {tensor: torch.tensor(array, requires_grad=True) for tensor, array in pair.parameters.items()}
    hidden = torch.relu(p["W1"] @ torch.from_numpy(pair.X) + p["b1"])
    loss = torch.nn.functional.cross_entropy((p["W2"] @ hidden + p["b2"]).T, torch.from_numpy(pair.y))
    cost = loss + lam * (p["W1"].square().sum() + p["W2"].square().sum())
    assert cost.item() == pytest.approx(pair.cost(pair.parameters), rel=1e-14)
    cost.backward()
    return {tensor: value.grad.numpy() for tensor, value in p.items()}


def test_the_student_has_W1_and_b1_wrong_and_no_other():
    pair = example("student_two_layer")
    found = errors(pair.gradients(pair.parameters), two_layer_gradients(pair, 0.01))
    assert {tensor for tensor, error in found.items() if error > 1e-13} == {"W1", "b1"}


def test_report_000_lacks_lambda_W1_and_nothing_else():
    pair = example("report_000")
    gradients, truth = pair.gradients(pair.parameters), two_layer_gradients(pair, 0.01)
    assert errors(gradients, truth)["W1"] > 1e-3
    corrected = gradients | {"W1": gradients["W1"] + 0.01 * pair.parameters["W1"]}
    assert max(errors(corrected, truth).values()) < 1e-13


@every_bug
def test_a_planted_bug_makes_its_tensors_wrong_and_no_other(bug):
    found = errors(bug.gradients(example(bug.example).parameters), true_gradients(bug.example))
    assert {tensor for tensor, error in found.items() if error > 1e-9} == bug.tensors  # a guard is small
    assert all(error < 1e-13 for tensor, error in found.items() if tensor not in bug.tensors)


@pytest.mark.parametrize("name", CORRECT)
def test_at_least_three_bugs_are_planted_in_each_correct_example(name):
    assert len({bug.wrong for bug in BUGS if bug.example == name}) >= 3


def run(capsys, tmp_path, path):
    """compare.py on a pair: its exit code, its output, and the one network of its JSON."""
    code, out, err = call(compare.main, capsys, "--pair", path, "--json", tmp_path / "result.json")
    assert all("one call takes" in line for line in err.splitlines())
    (network,) = json.loads((tmp_path / "result.json").read_text())["networks"]
    assert network["faults"] == []
    return code, out, network


def failing(network):
    return {row["name"] for row in network["tensors"] if row["fail"]}


@pytest.mark.parametrize("name", CORRECT)
def test_compare_verifies_every_entry_of_a_correct_example(capsys, tmp_path, name):
    code, _, network = run(capsys, tmp_path, EXAMPLES / f"{name}.py")
    assert (code, network["verdict"]) == (0, "pass")
    assert {row["name"] for row in network["tensors"]} == set(example(name).parameters)
    for row in network["tensors"]:
        assert row["pass"] == row["checked"] == row["entries"] == np.prod(example(name).parameters[row["name"]].shape)
        assert set(row["oracles"]) == ORACLES
        assert row["diagnosis"] is None
    assert not any(re.search(r"falls? back|fallback|instead", note) for note in network["notes"])


@pytest.mark.parametrize(
    ("name", "diagnoses", "entries"),
    [("student_two_layer", {"W1": MASK, "b1": MASK}, 622), ("report_000", {"W1": HALF}, 154_160)],
)
def test_compare_finds_and_names_the_bug_of_an_example(capsys, tmp_path, name, diagnoses, entries):
    code, out, network = run(capsys, tmp_path, EXAMPLES / f"{name}.py")
    assert (code, network["verdict"], network["parameters"]) == (1, "fail", entries)
    assert failing(network) == set(diagnoses)
    for row in network["tensors"]:
        assert row["checked"] == row["entries"]
        if row["name"] in diagnoses:
            assert row["diagnosis"].startswith(f"{row['name']}: {diagnoses[row['name']]}")
            assert diagnoses[row["name"]] in out
    # What the example's own docstring says of itself is what compare.py says.
    assert all(sentence in " ".join(example(name).__doc__.split()) for sentence in diagnoses.values())


def test_report_000_passes_at_lambda_0_where_its_own_check_ran(capsys, tmp_path):
    source = (EXAMPLES / "report_000.py").read_text()
    assert source.count("LAMBDA = 0.01") == 1
    path = tmp_path / "at_lambda_0.py"
    path.write_text(source.replace("LAMBDA = 0.01", "LAMBDA = 0.0"))
    code, _, network = run(capsys, tmp_path, path)
    assert (code, network["verdict"]) == (0, "pass")


@some_bugs
def test_compare_finds_a_planted_bug_and_names_no_wrong_cause(capsys, tmp_path, bug):
    path = tmp_path / f"{bug.example}.py"
    path.write_text(bug.source)
    code, _, network = run(capsys, tmp_path, path)
    assert code == 1
    assert failing(network) == bug.tensors
    sentences = [row["diagnosis"] or "" for row in network["tensors"]]
    named = {cause for cause, words in WORDS.items() for sentence in sentences if re.search(words, sentence)}
    assert named == ({bug.cause} if bug.cause else set())
