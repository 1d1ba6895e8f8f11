"""The JSON contract: the schema that is committed is that of the types, and what `--json` writes obeys it."""

import copy
import json

import pytest
from conftest import call
from jsonschema import Draft202012Validator
from write_schema import FILE, as_text, schema_of_results

from gradcheck import cli
from lab.cli import compare

PAIR = """
import numpy as np
rng = np.random.default_rng(0)
parameters = {"w": rng.standard_normal((3, 4)), "b": np.zeros(4)}
X = rng.standard_normal((5, 3))
def cost(p):
    return COST
def gradients(p):
    S = X @ p["w"] + p["b"]
    return GRADIENTS
"""
SQUARES = "((X @ p['w'] + p['b']) ** 2).sum()"
RIGHT = "{'w': 2 * X.T @ S, 'b': 2 * S.sum(axis=0)}"
KINKED = "np.maximum(X @ p['w'] * 0 + p['b'], 0).sum()"


@pytest.fixture(scope="module")
def closed():
    """The committed schema, with which no object may have a key that is not in it."""
    schema = copy.deepcopy(json.loads(FILE.read_text(encoding="utf-8")))
    for definition in schema["$defs"].values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    return Draft202012Validator(schema)


def test_the_committed_schema_is_that_of_the_types():
    assert FILE.read_text(encoding="utf-8") == as_text(schema_of_results()), "run: python tests/write_schema.py"


@pytest.mark.parametrize(
    ("cost", "gradients", "code"),
    [
        (SQUARES, RIGHT, 0),
        (SQUARES, "{'w': X.T @ S, 'b': 2 * S.sum(axis=0)}", 1),
        (SQUARES, "{'w': 2 * X.T @ S}", 1),
        (SQUARES, "{'w': np.full((3, 4), np.nan), 'b': 2 * S.sum(axis=0)}", 1),
        (KINKED, "{'w': 0 * p['w'], 'b': 7 + 0 * p['b']}", 1),
    ],
    ids=["right", "a factor", "a missing tensor", "not a number", "beyond a tie"],
)
def test_what_is_written_of_a_pair_obeys_the_schema(closed, tmp_path, capsys, cost, gradients, code):
    (tmp_path / "mine.py").write_text(PAIR.replace("COST", cost).replace("GRADIENTS", gradients))
    found, out, _ = call(cli.main, capsys, tmp_path / "mine.py", "--json", "-")
    assert found == code
    closed.validate(json.loads(out))


def test_what_is_written_of_a_sample_obeys_the_schema(closed, tmp_path, capsys):
    source = "import numpy as np\nparameters = {'w': np.ones(5000)}\n"
    source += "def cost(p): return float((p['w'] ** 2).sum())\ndef gradients(p): return {'w': 2.1 * p['w']}\n"
    (tmp_path / "mine.py").write_text(source)
    _, out, _ = call(cli.main, capsys, tmp_path / "mine.py", "--json", "-", "--budget", "1")
    result = json.loads(out)
    assert result["networks"][0]["tensors"][0]["directions"]["entry"]
    closed.validate(result)


def test_what_is_written_of_networks_obeys_the_schema(closed, capsys):
    _, out, _ = call(compare.main, capsys, "--hidden", "4,3", "--batch-norm", "--json", "-", "--batch-size", "4")
    closed.validate(json.loads(out))


def test_the_schema_refuses_what_is_wrong(closed, capsys, tmp_path):
    (tmp_path / "mine.py").write_text(PAIR.replace("COST", SQUARES).replace("GRADIENTS", RIGHT))
    _, out, _ = call(cli.main, capsys, tmp_path / "mine.py", "--json", "-")
    for spoil in (
        lambda result: result.pop("verdict"),
        lambda result: result.update(verdict="kink"),
        lambda result: result["networks"][0]["tensors"][0].update(entries=1.5),
        lambda result: result["networks"][0]["tensors"][0]["oracles"]["complex-step"]["worst"].pop("claimed"),
        lambda result: result["networks"][0]["tensors"][0].update(surprise=1),
    ):
        result = json.loads(out)
        spoil(result)
        assert not closed.is_valid(result)
