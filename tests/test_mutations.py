"""The mutation command: what its operators change, how it tells training apart from rounding, and that mutants are caught."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from conftest import call

from benchmarks import mutations
from benchmarks.mutants import Mutant, mutants_of
from benchmarks.mutation_reach import all_spans, is_reached, traced
from benchmarks.mutation_trainings import Training, apart, original
from manual.layers import along
from networks import Network

LAYER = '''"""A layer: 1 - 2 here is no code."""

import numpy as np


def centred(X: "1 + 2", b, out=None):
    """Rows of X without b: X - b."""
    if out is None and not b.any():
        return X[1:], b
    mean = np.multiply(X, b, out=out).sum(axis=-1, keepdims=True)
    return X - mean, f"dW{b}"
'''


def lines_of(operator):
    """What each mutant of this operator has in the place of the line that it changes."""
    return [
        mutant.source.splitlines()[mutant.span[0] - 1].strip()
        for mutant in mutants_of("a.py", LAYER)
        if mutant.operator == operator
    ]


@pytest.mark.parametrize(
    ("operator", "line"),
    [
        ("arithmetic", 'return (X + mean), f"dW{b}"'),
        ("arithmetic", 'return mean, f"dW{b}"'),
        ("comparison", "if (out is not None) and not b.any():"),
        ("sign", "if out is None and b.any():"),
        ("sign", 'return X - (-mean), f"dW{b}"'),
        ("constant", "mean = np.multiply(X, b, out=out).sum(axis=-2, keepdims=True)"),
        ("constant", "mean = np.multiply(X, b, out=out).sum(axis=-1, keepdims=False)"),
        ("constant", "return X[0:], b"),
        ("array_name", "return X - mean, f'dW{b + 1}'"),
        ("arguments", "mean = np.multiply(b, X, out=out).sum(axis=-1, keepdims=True)"),
        ("arguments", "mean = np.multiply(X, b).sum(axis=-1, keepdims=True)"),
        ("arguments", "mean = np.multiply(X, b, out=out).sum(axis=-1)"),
        ("function", "mean = np.multiply(X, b, out=out).mean(axis=-1, keepdims=True)"),
        ("variable", "return X[1:], mean"),
        ("statement", "pass"),
        ("elements", "return (b, X[1:])"),
        ("slices", "return X[:], b"),
        ("slices", "return X[1 + 1:], b"),
        ("condition", "if True:"),
        ("condition", "if (out is None or not b.any()):"),
    ],
)
def test_operator_makes_this_mutant(operator, line):
    assert line in lines_of(operator)


def test_mutants_differ_and_leave_alone_what_is_no_code():
    mutants = mutants_of("a.py", LAYER)
    assert len({mutant.id for mutant in mutants}) == len({mutant.source for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        assert mutant.source != LAYER
        assert '"""A layer: 1 - 2 here is no code."""' in mutant.source
        assert 'def centred(X: "1 + 2"' in mutant.source
        compile(mutant.source, mutant.id, "exec")


def test_place_is_reached_where_a_run_goes_by(tmp_path):
    text = "def half(x):\n    return x / 2 if x else x - 3\n"
    path, scope = tmp_path / "a.py", {}
    path.write_text(text)
    code = compile(text, str(path), "exec")
    exec(code, scope)
    with traced(tmp_path) as gone_by:
        scope["half"](4)
    spans = {mutant.source.splitlines()[1].strip(): mutant.span for mutant in mutants_of("a.py", text)}
    instructions = all_spans(code)
    assert is_reached(spans["return x / 3 if x else x - 3"], instructions, gone_by["a.py"])
    assert not is_reached(spans["return x / 2 if x else x - 4"], instructions, gone_by["a.py"])
    assert not is_reached(spans["return x / 2 if x else (x + 3)"], instructions, gone_by["a.py"])


@pytest.mark.parametrize("copies", [0, 2])
def test_training_tells_rounding_from_another_update(copies, monkeypatch):
    def in_two_halves(parameters, gradients, lr, more=0.0):
        for name, parameter in parameters.items():
            step = along(lr, parameter) * gradients[name] / 2
            parameter -= step
            parameter -= step * (1 + more)

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 3072)), rng.integers(0, 10, 200)
    training = Training(Network("small", (3,), batch_norm=True), "float64", copies)
    expected = [original(training, X, y)]
    (same,) = apart(expected, X, y)
    assert same.distance == 0
    monkeypatch.setattr("manual.mlp.sgd_step", in_two_halves)
    (rounded,) = apart(expected, X, y)
    assert 0 < rounded.distance <= rounded.allowed < 1e-3
    monkeypatch.setattr("manual.mlp.sgd_step", partial(in_two_halves, more=1e-6))
    (other,) = apart(expected, X, y)
    assert other.allowed < other.distance < 1e-3


# What is written in the place of what in a file of manual/, and by what the mutant is caught.
MUTANTS = [
    ("layers.py", "dS.sum(axis=-2)", "dS.mean(axis=-2)", "gradient"),
    ("layers.py", "np.greater(S.real, 0, out=active)", "np.greater(S.real, 1, out=active)", "forward"),
    ("layers.py", "np.matmul(dS, W, out=out)", "np.multiply(dS, W, out=out)", "raised"),
    ("layers.py", "(dbeta / n)", "(dbeta * n)", "gradient"),
    ("layers.py", "np.sqrt(var + eps)", "np.sqrt(var)", "forward"),
    ("layers.py", "np.subtract(dout, through_var, out=out)", "np.add(dout, through_var, out=out)", "gradient"),
    ("losses.py", "y] -= 1", "y] += 1", "gradient"),
    ("losses.py", "2 * lam_l", "lam_l", "gradient"),
    ("losses.py", "losses.mean(axis=-1), (exp, Z, y)", "losses.sum(axis=-1), (exp, Z, y)", "forward"),
    ("passes.py", "range(network.depth, 0, -1)", "range(network.depth, 1, -1)", "raised"),
    ("passes.py", "lam[below]", "lam[below - 1]", "gradient"),
    ("mlp.py", "gradients = {name: to_numpy(gradient)", "gradients = {name: -to_numpy(gradient)", "gradient"),
]


def test_mutants_are_caught(tmp_path):
    mutants = []
    for number, (file, old, new, _) in enumerate(MUTANTS):
        text = (mutations.PROJECT / "manual" / file).read_text()
        assert text.count(old) >= 1
        mutants.append(Mutant(str(number), file, "", (1, 0, 1, 0), text.replace(old, new)))
    shutil.copytree(mutations.PROJECT / "manual", tmp_path / "manual")
    # The check of the original measures what rounding allows, once for all.
    judge = """if True:
        import json, sys
        from benchmarks.mutation_judge import Mutant, checks, judge_all, prepare, verdict_of
        prepare()
        assert verdict_of(*next(checks())) is None
        mutants = [Mutant(*each) for each in json.load(sys.stdin)]
        print(json.dumps([(mutant.id, judgement) for mutant, judgement in judge_all(mutants, [], processes=2)]))
    """
    path = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(mutations.PROJECT)}
    asked = {"cwd": tmp_path, "env": path, "input": json.dumps(mutants), "text": True, "check": True}
    answered = subprocess.run([sys.executable, "-c", judge], stdout=subprocess.PIPE, **asked)
    by = {number: judgement["by"] for number, judgement in json.loads(answered.stdout)}
    assert by == {str(number): expected for number, (*_, expected) in enumerate(MUTANTS)}


def test_command_shows_what_survives(monkeypatch, capsys, tmp_path):
    outcomes = [
        {"outcome": "SURVIVED", "why": "one in float64: W1 at the end", "distance": 0.25, "allowed": 1e-12},
        {"outcome": "equivalent", "why": "", "distance": 0.0, "allowed": 0.0},
    ]

    def judged(mutants, processes):
        yield from ({"id": mutant.id} | outcome for mutant, outcome in zip(mutants, reversed(outcomes), strict=True))

    monkeypatch.setattr(mutations, "judged", judged)
    found = tmp_path / "found.json"
    code, out, _ = call(mutations.main, capsys, "--file", "sgd.py", "--limit", 2, "--json", found)
    assert code == 1
    assert "SURVIVED AND TRAINS WRONGLY: one in float64: W1 at the end is 2.5e-01 apart, rounding allows 1.0e-12" in out
    assert "| **all** | 2 " in " ".join(out.split())
    assert [row["outcome"] for row in json.loads(found.read_text())["mutants"]] == ["equivalent", "SURVIVED"]
    outcomes[0] = outcomes[1]
    code, out, _ = call(mutations.main, capsys, "--file", "sgd.py", "--limit", 2)
    assert code == 0
    code, _, err = call(mutations.main, capsys, "--only", "sgd.py:1:99")
    assert (code, err.count("\n")) == (2, 1)
