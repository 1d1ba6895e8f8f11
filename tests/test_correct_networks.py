"""Seventy random correct networks raise no alarm, and one wrong entry in networks of any size is found."""

import pytest
from conftest import call

from benchmarks import correct_networks
from benchmarks.random_networks import SPECIAL, draw
from benchmarks.single_entries import named_subject, plant, random_subjects
from gradcheck.report.sentences import failures
from lab.network_check import chain_of
from networks import NAMED

# Multiplications that a network of the tests may cost: those of the command may cost fifty times as many.
MOST = 1e6
CHUNK = 5


@pytest.mark.parametrize("first", range(0, 70, CHUNK))
def test_correct_networks_raise_no_alarm(first):
    """Undecided may be one in five at most, in float32: batch norm can blow its rounding up to the size of a derivative."""
    undecided = 0
    for seed in range(first, first + CHUNK):
        drawn = draw(seed, MOST)
        result = drawn.check().as_json()
        message = "\n".join([drawn.description, *failures(result)])
        assert result["verdict"] != "fail", message
        assert result["verdict"] == "pass" or {"float32", "batch norm"} <= set(drawn.kinds), message
        undecided += result["verdict"] == "undecided"
    assert undecided <= 1


def test_the_seventy_are_of_every_kind():
    drawn = [draw(seed, MOST) for seed in range(70)]
    kinds = {kind for each in drawn for kind in each.kinds}
    assert kinds >= {*SPECIAL, "softmax", "sigmoid", "batch norm", "biases 0", "float32", "lambda 0", "lambda a layer"}
    assert {each.network.depth for each in drawn} == set(range(1, 10))
    batches = [len(each.X) for each in drawn]
    assert min(batches) < 4
    assert max(batches) > 800


def test_a_network_is_that_of_its_seed():
    first, again = draw(7), draw(7)
    assert first.description == again.description
    assert all((first.state[name] == again.state[name]).all() for name in first.state)
    assert (first.X == again.X).all()
    assert (first.y == again.y).all()


def hidden_layers(kind):
    """S (n, m) of each hidden layer, and where it is active, of the first network without batch norm of this kind."""
    drawn = next(each for each in map(draw, range(1000)) if {kind, "no batch norm"} <= set(each.kinds))
    claimed, _ = drawn.twins()
    base = chain_of(drawn.network, claimed.parameters, drawn.X, drawn.y).base
    return [base.S[layer] for layer in base.active], list(base.active.values())


def test_special_networks_are_what_they_say():
    assert any((S == 0).all(axis=0).any() for S in hidden_layers("exact ties")[0])
    assert any(not active.any() for active in hidden_layers("dead layer")[1])
    assert all(active.any() for active in hidden_layers("dead units")[1])
    assert any((S < -900).any() for S in hidden_layers("dead units")[0])


def test_command_names_the_seeds(capsys, monkeypatch):
    rows = [correct_networks.check_seed(seed) for seed in (5, 6)]
    rows[1] |= {"verdict": "fail", "why": "fail: seed 6 W1, 1 of 12 entries"}
    monkeypatch.setattr(correct_networks, "check_all", lambda seeds, advance: rows)
    code, out, _ = call(correct_networks.main, capsys, "--networks", 2, "--seed", 5)
    assert code == 1
    assert "fail: seed 6, " in out
    assert "fail: seed 6 W1, 1 of 12 entries" in out
    assert "seeds 5 to 6: 1 pass, 0 undecided, 1 fail" in out


def test_command_shows_one_network(capsys):
    code, out, _ = call(correct_networks.main, capsys, "--only", 5)
    assert code == 0
    assert draw(5).description in out
    assert "PASS" in out


@pytest.mark.parametrize("network", NAMED.values(), ids=NAMED)
def test_one_wrong_entry_is_found(network):
    subject = named_subject(network)
    names = [*subject.parameters]
    tensors = {"W1", f"W{network.depth}", names[len(names) // 2]}
    for count in plant(subject, entries=1, tensors=sorted(tensors)):
        assert count.planted
        assert not count.missed


def test_one_wrong_entry_of_random_networks_is_found():
    for subject in random_subjects(5):
        tensors = [*subject.parameters][:2]
        assert not [count.missed for count in plant(subject, entries=1, tensors=tensors) if count.missed]
