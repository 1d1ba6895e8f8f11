"""The two twins of a network are the same function, and state moves between them and ordinary PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Problem
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import manual
import models
from gradcheck.errors import UserError
from gradcheck.per_layer import lambda_per_layer
from models.sequential import from_sequential
from networks import NAMED, Network, initial_state, nonzero_state, weight_std


def assert_same_gradients(network, n, lam, seed):
    p = Problem(network, n, seed)
    by_hand, by_torch = (twin.cost_and_gradients(p.X, p.y, lam) for twin in (p.manual, p.torch))
    np.testing.assert_allclose(by_hand.logits, by_torch.logits, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose([by_hand.loss, by_hand.cost], [by_torch.loss, by_torch.cost], rtol=1e-11)
    assert list(by_hand.gradients) == list(by_torch.gradients) == list(network.parameter_shapes())
    for name, gradient in by_hand.gradients.items():
        np.testing.assert_allclose(gradient, by_torch.gradients[name], rtol=1e-8, atol=1e-10, err_msg=name)


@settings(max_examples=40)
@given(
    hidden=st.lists(st.integers(1, 8), max_size=4),
    batch_norm=st.booleans(),
    loss=st.sampled_from(["softmax", "sigmoid"]),
    n=st.integers(4, 9),
    lam=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
)
def test_twins_agree_on_any_network(hidden, batch_norm, loss, n, lam, seed):
    assert_same_gradients(Network("any", tuple(hidden), batch_norm, loss, inputs=6, outputs=3), n, lam, seed)


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED)
def test_named_twins_agree(named):
    assert_same_gradients(named, 20, 0.01, 0)


def test_one_lambda_a_layer(network):
    assert_same_gradients(network, 5, tuple(0.1 * (layer + 1) for layer in range(network.depth)), 0)


def test_twins_agree_after_training_forwards(network):
    p = Problem(network)
    rng = np.random.default_rng(3)
    for _ in range(3):
        X = rng.standard_normal((4, network.inputs))
        np.testing.assert_allclose(p.manual.forward(X, True), p.torch.forward(X, True).numpy(force=True), rtol=1e-9, atol=1e-11)
    before = nonzero_state(network)
    for name, statistic in p.torch.state().items():
        np.testing.assert_allclose(p.manual.state()[name], statistic, rtol=1e-12, err_msg=name)
        assert name not in network.statistic_shapes() or not np.allclose(statistic, before[name])
    np.testing.assert_allclose(*(twin.evaluate(p.X, p.y, p.network.lambdas(0.1)) for twin in (p.manual, p.torch)), rtol=1e-11)
    np.testing.assert_allclose(p.manual.forward(p.X), p.torch(p.X).numpy(force=True), rtol=1e-9, atol=1e-11)


def test_evaluation_mode_uses_the_running_statistics():
    p = Problem(Network("bn", hidden=(4,), batch_norm=True, inputs=6))
    assert not np.allclose(p.manual.forward(p.X), p.manual.forward(p.X, training=True))


def test_cost_and_gradients_change_nothing(network):
    p = Problem(network)
    for twin in (p.manual, p.torch):
        before = twin.state()
        twin.cost_and_gradients(p.X, p.y, 0.1)
        twin.evaluate(p.X, p.y, p.network.lambdas(0.1))
        assert all((array == before[name]).all() for name, array in twin.state().items())


def test_state_moves_both_ways(network):
    other = nonzero_state(network, seed=1)
    for source, target in ((manual.MLP, models.MLP), (models.MLP, manual.MLP)):
        moved = target(network, source(network, other).state()).state()
        assert list(moved) == list(other)
        assert all((moved[name] == other[name]).all() for name in other)


def test_state_moves_to_and_from_a_plain_sequential(network):
    torch.manual_seed(0)
    modules = []
    for fan_in, fan_out in zip(network.sizes[:-2], network.hidden, strict=True):
        norm = [nn.BatchNorm1d(fan_out, eps=1e-4, momentum=0.3)] if network.batch_norm else []
        modules += [nn.Linear(fan_in, fan_out), *norm, nn.ReLU()]
    plain = nn.Sequential(*modules, nn.Linear(network.sizes[-2], network.outputs)).double()
    X = torch.randn(6, network.inputs, dtype=torch.float64)
    plain(X)  # moves the running statistics off 0 and 1

    found, state = from_sequential(plain, network.loss)
    assert (found.hidden, found.batch_norm, found.inputs) == (network.hidden, network.batch_norm, network.inputs)
    claimed = manual.MLP(found, state)
    np.testing.assert_allclose(claimed.forward(X.numpy()), plain.eval()(X).detach().numpy(), rtol=1e-10, atol=1e-12)
    trained = claimed.forward(X.numpy(), training=True)
    np.testing.assert_allclose(trained, plain.train()(X).detach().numpy(), rtol=1e-10, atol=1e-12)

    back = models.MLP(found, claimed.state()).layers
    assert str(back) == str(plain)
    for name, tensor in plain.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(back.state_dict()[name], tensor, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)], "module 1 is Tanh"),
        ([nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2, bias=False)], "module 2 is Linear"),
        ([nn.ReLU()], "no nn.Linear"),
        ([nn.Linear(3, 2), nn.BatchNorm1d(2, momentum=None), nn.ReLU(), nn.Linear(2, 2)], "momentum from 0 to 1"),
    ],
)
def test_another_sequential_is_refused(modules, message):
    with pytest.raises(UserError, match=message):
        from_sequential(nn.Sequential(*modules))


def test_building_a_network_moves_no_generator(network):
    before = torch.get_rng_state()
    models.MLP(network, nonzero_state(network))
    assert (torch.get_rng_state() == before).all()


def test_wrong_state_is_refused(network):
    state = nonzero_state(network)
    for wrong, message in (
        ({name: array for name, array in state.items() if name != "b1"}, "b1: missing"),
        (state | {"W1": state["W1"].T}, "W1: shape"),
        (state | {"W99": state["W1"]}, "W99: not part"),
    ):
        for twin in (manual.MLP, models.MLP):
            with pytest.raises(UserError, match=message):
                twin(network, wrong)


def test_initialisation():
    network = Network("wide", hidden=(400,), inputs=1000)
    for init, std in (("he", (2 / 1000) ** 0.5), ("xavier", (1 / 1000) ** 0.5), ("0.05", 0.05), (0.05, 0.05)):
        state = initial_state(network, init)
        assert weight_std(init, 1000) == pytest.approx(std)
        assert state["W1"].std() == pytest.approx(std, rel=0.01)
        assert not state["b1"].any()
    drawn = initial_state(replace(network, batch_norm=True), "he", bias_std=0.5)
    assert drawn["b1"].std() == pytest.approx(0.5, rel=0.1)
    assert not drawn["beta1"].any()
    assert (drawn["W2"] == initial_state(network, "he")["W2"]).all()
    assert all((array != 0).all() for array in nonzero_state(network).values())
    for init in ("heh", "-1", "0", "nan", "inf", "1e4"):
        with pytest.raises(UserError, match="neither he, xavier"):
            weight_std(init, 10)


def test_lambda():
    assert lambda_per_layer(0.1, 3) == (0.1, 0.1, 0.1)
    for wrong in ((0.1, 0.2), -0.1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="lambda"):
            lambda_per_layer(wrong, 3)
