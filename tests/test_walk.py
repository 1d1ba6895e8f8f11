"""The walk: correct twins walk as PyTorch does, and what is right at one point, one batch and one call alone is found."""

from collections import Counter

import numpy as np
import pytest
import torch

import manual
import models
from benchmarks.random_networks import draw
from lab.walking import beside_pytorch
from lab.walking.beside_pytorch import walk
from lab.walking.walker import compare, walker_of_stack, walker_of_twin
from manual import layers, losses, passes
from networks import NAMED, Network, initial_state

PLAIN = Network("plain", hidden=(6, 5), inputs=12, outputs=4)
WITH_BATCH_NORM = Network("batch norm", hidden=(6, 5), batch_norm=True, inputs=12, outputs=4)
SIGMOID = Network("sigmoid", hidden=(6,), loss="sigmoid", inputs=12, outputs=4)


def take_a_walk(network=PLAIN, implementation="manual", dtype="float64", candidates=None, batch_size=40, seed=0):
    """What a walk of one twin, or of a stack of `candidates`, finds: a sentence or None."""
    states = [initial_state(network, seed=seed + k) for k in range(candidates or 1)]
    lam = 0.01 * np.arange(1, network.depth + 1)[:, None] * (1 + np.arange(len(states)) / 8)  # (depth, C)
    if candidates:
        walker = walker_of_stack(implementation, network, states, lam, dtype, "cpu")
    else:
        walker = walker_of_twin(implementation, network, states[0], lam[:, 0], dtype, "cpu")
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((600, network.inputs)), rng.integers(network.outputs, size=600)
    return walk(walker, X, y, batch_size, seed=seed)


@pytest.fixture
def spoil(monkeypatch):
    """Puts `spoiled(original, *arguments)` in the place of a function of a module or class."""

    def replace(owner, name, spoiled):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *arguments: spoiled(original, *arguments))

    return replace


# Nothing is found.


@pytest.mark.parametrize("candidates", [None, 1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("implementation", ["manual", "torch"])
@pytest.mark.parametrize("network", [PLAIN, WITH_BATCH_NORM, SIGMOID], ids=lambda network: network.name)
def test_correct_twins_walk_as_pytorch_does(network, implementation, dtype, candidates):
    for batch_size in (2, 40, 250):
        assert take_a_walk(network, implementation, dtype, candidates, batch_size) is None


def test_a_batch_may_be_one_image():
    assert take_a_walk(PLAIN, batch_size=1) is None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("network", NAMED.values(), ids=NAMED)
def test_every_step_is_compared_in_full(monkeypatch, network, dtype):
    """A step that a ReLU near its kink reaches is not compared: of the six of each parameter at least three are."""
    compared = Counter()

    def counted(where, name, claimed, expected, allowed):
        compared[name] += bool(torch.as_tensor(allowed).isfinite().all())
        compare(where, name, claimed, expected, allowed)

    monkeypatch.setattr(beside_pytorch, "compare", counted)
    assert take_a_walk(network, dtype=dtype, batch_size=100) is None
    steps = {name: compared[f"the step of {name}"] for name in network.parameter_shapes()}
    assert min(steps.values()) >= 3, steps


@pytest.mark.parametrize("seed", [7, 38, 61, 65, 95, 96, 126, 128, 136, 145, 147])
def test_networks_that_rounding_is_hard_on_walk_too(seed):
    """Dead layers, exact ties, variances of nothing: here each part of the rounding is needed."""
    drawn = draw(seed)
    lam = drawn.network.lambdas(drawn.lam)
    for implementation, dtype in (("manual", "float32"), ("torch", "float64")):
        walker = walker_of_twin(implementation, drawn.network, drawn.state, lam, dtype, "cpu")
        assert walk(walker, drawn.X, drawn.y, min(len(drawn.X), 5), seed=seed) is None


def test_the_walk_leaves_the_random_generators_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    take_a_walk()
    assert torch.rand(1) == expected


# What is kept from another call.


def kept_by_shape(kept, array):
    return kept.setdefault(array.shape, array.copy())


@pytest.mark.parametrize("candidates", [None, 2])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
class TestStale:
    def found(self, dtype, candidates):
        sentence = take_a_walk(dtype=dtype, candidates=candidates)
        assert "does not move W1" in sentence
        assert "update 2 of the walk (40 images, weights as they are)" in sentence

    def test_weights_of_the_first_call(self, spoil, dtype, candidates):
        kept = {}
        spoil(
            *(layers, "linear_backward_input"),
            lambda right, dS, cache, out: right(dS, (cache[0], kept_by_shape(kept, cache[1])), out),
        )
        self.found(dtype, candidates)

    def test_activations(self, spoil, dtype, candidates):
        kept = {}
        spoil(
            layers, "linear_backward", lambda right, dS, cache, out: right(dS, (kept_by_shape(kept, cache[0]), cache[1]), out)
        )
        self.found(dtype, candidates)

    def test_active_units(self, spoil, dtype, candidates):
        kept = {}
        spoil(layers, "relu_backward", lambda right, dA, active, out: right(dA, kept_by_shape(kept, active), out))
        self.found(dtype, candidates)

    def test_packed_weights(self, spoil, dtype, candidates):
        kept = {}

        def forward(right, network, parameters, X, out=passes.NEW_ARRAYS):
            return right(network, {**parameters, "W2": kept_by_shape(kept, parameters["W2"])}, X, out)

        spoil(passes, "forward", forward)
        sentence = take_a_walk(dtype=dtype, candidates=candidates)
        assert "does not move W1" in sentence
        assert "update 2" in sentence


def test_weights_packed_when_a_state_is_loaded(spoil):
    """Only updates change what such a copy is not told of."""
    packed = {}

    def load_state(right, twin, state):
        right(twin, state)
        packed["W1"] = twin.parameters["W1"].copy()

    def forward(right, network, parameters, X, out=passes.NEW_ARRAYS):
        return right(network, {**parameters, **packed}, X, out)

    spoil(manual.MLP, "load_state", load_state)
    spoil(passes, "forward", forward)
    assert "update 2 of the walk (40 images, weights as they are)" in take_a_walk()


@pytest.mark.parametrize("candidates", [None, 2])
def test_momentum_from_the_third_update_on(spoil, candidates):
    velocity, updates = {}, []

    def step(right, parameters, gradients, lr):
        updates.append(1)
        for name, gradient in gradients.items():
            gradient += 0.5 * velocity.get(name, 0) if len(updates) >= 3 else 0
            velocity[name] = gradient.copy()
        right(parameters, gradients, lr)

    spoil(manual.mlp, "sgd_step", step)
    sentence = take_a_walk(candidates=candidates)
    assert "does not move W1" in sentence
    assert "update 3 of the walk (10 images, weights as they are)" in sentence


def test_an_error_in_the_first_update_alone(spoil):
    """The walk does not warm a twin up: its first update counts."""
    updates = []

    def step(right, parameters, gradients, lr):
        updates.append(1)
        right(parameters, gradients, lr * (2 if len(updates) == 1 else 1))

    spoil(manual.mlp, "sgd_step", step)
    assert "update 1 of the walk" in take_a_walk()


def test_an_error_in_every_update_but_the_first(spoil):
    """What is wrong only in arrays that another update has filled."""
    updates = []

    def step(right, parameters, gradients, lr):
        updates.append(1)
        right(parameters, gradients, lr * (1 if len(updates) == 1 else 1.001))

    spoil(manual.mlp, "sgd_step", step)
    assert "update 2 of the walk" in take_a_walk()


# What is wrong at some sizes and numbers.


@pytest.mark.parametrize("candidates", [None, 2])
@pytest.mark.parametrize("tile", [20, 100])
def test_rows_beyond_a_tile(spoil, tile, candidates):
    def backward(right, dS, cache, out):
        X, W = cache
        return right(dS[..., :tile, :], (X[..., :tile, :], W), out)

    spoil(layers, "linear_backward", backward)
    assert "update 1 of the walk (250 images" in take_a_walk(candidates=candidates, batch_size=250)


@pytest.mark.parametrize("candidates", [None, 2])
def test_images_beyond_a_row(spoil, candidates):
    def forward(right, network, parameters, X, out=passes.NEW_ARRAYS):
        return right(network, parameters, np.where(np.arange(len(X))[:, None] < 128, X, 0).astype(X.dtype), out)

    spoil(passes, "forward", forward)
    assert "update 1 of the walk (250 images" in take_a_walk(candidates=candidates, batch_size=250)


def test_a_size_that_comes_once(spoil):
    """Wrong at another size than that of the first two updates."""
    spoil(
        *(losses, "softmax_cross_entropy_backward"),
        lambda right, cache: right(cache) * (1 if len(cache[2]) == 40 else 0.9),
    )
    assert "update 3 of the walk (10 images" in take_a_walk()


@pytest.mark.parametrize("bound", [10, 100])
@pytest.mark.parametrize("candidates", [None, 2])
def test_a_clipped_gradient(spoil, bound, candidates):
    def backward(right, *arguments):
        gradients = right(*arguments)
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        for gradient in gradients.values():
            gradient *= min(1, bound / norm)
        return gradients

    spoil(passes, "backward", backward)
    assert "large weights" in take_a_walk(candidates=candidates)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_softmax_that_is_clipped_in_the_backward_pass(spoil, dtype):
    def backward(right, cache):
        exp, _, y = cache
        clipped = np.maximum(exp, np.exp(-10).astype(exp.dtype))
        return right((clipped, clipped.sum(axis=-1), y) if exp.min() < np.exp(-12) else cache)

    spoil(losses, "softmax_cross_entropy_backward", backward)
    assert "large weights" in take_a_walk(dtype=dtype)


@pytest.mark.parametrize("candidates", [None, 2])
def test_a_floor_under_the_variance(spoil, candidates):
    def forward(right, S, gamma, beta, eps, out, S_hat):
        out, (S_hat, _, gamma), (mean, var) = right(S, gamma, beta, eps, out, S_hat)
        return out, (S_hat, 1 / np.sqrt(np.maximum(var, 1e-3) + eps), gamma), (mean, var)

    spoil(layers, "batch_norm_forward", forward)
    assert "small weights" in take_a_walk(WITH_BATCH_NORM, candidates=candidates)


@pytest.mark.parametrize("candidates", [None, 2])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_largest_logit_of_all_rows(spoil, dtype, candidates):
    def forward(right, logits, y):
        shifted = logits - logits.max(axis=(-2, -1), keepdims=True)
        with np.errstate(divide="ignore"):
            exp, Z = np.exp(shifted), np.exp(shifted).sum(axis=-1)
            rows = np.log(Z) - shifted[..., np.arange(len(y)), y]
        return rows.mean(axis=-1), (exp, Z, y)

    spoil(losses, "softmax_cross_entropy_forward", forward)
    assert "logits 2,000 apart" in take_a_walk(dtype=dtype, candidates=candidates)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_sigmoid_with_one_branch(spoil, dtype):
    def forward(right, logits, y):
        loss, (_, positive, y) = right(logits, y)
        with np.errstate(over="ignore"):
            exp = np.exp(-logits)  # of which e^s of a negative logit is the inverse
            return loss, (np.where(positive, exp, 1 / exp), positive, y) if np.isfinite(exp).all() else (exp, positive, y)

    spoil(losses, "binary_cross_entropy_forward", forward)
    assert "logits 2,000 apart" in take_a_walk(SIGMOID, dtype=dtype)


# What a gradient does not show.


@pytest.mark.parametrize("implementation", ["manual", "torch"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_biased_running_variance(spoil, implementation, dtype):
    if implementation == "manual":
        spoil(
            *(passes, "move_statistics"),
            lambda right, network, kept, found, n: right(
                network, kept, {layer: (mean, var * (n - 1) / n) for layer, (mean, var) in found.items()}, n
            ),
        )
    else:
        spoil(
            *(models.MLP, "train_step"),
            lambda right, twin, *rest: (
                right(twin, *rest),
                [b.mul_(0.999) for n, b in twin.layers.named_buffers() if "var" in n],
            )[0],
        )
    assert "after update 1 of the walk (250 images, weights as they are): running_var1[" in take_a_walk(
        WITH_BATCH_NORM, implementation, dtype, batch_size=250
    )


@pytest.mark.parametrize(("name", "found"), [("activations", "A1["), ("forward", "logits[")])
def test_evaluation_mode(spoil, name, found):
    for owner, factor in ((manual.MLP, 1.001), (models.MLP, 1.001)):
        spoil(owner, name, lambda right, twin, X, *rest, factor=factor: scaled(right(twin, X, *rest), factor))
    sentence = take_a_walk()
    assert "in evaluation mode after 2 updates of the walk" in sentence
    assert found in sentence


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("least", "most"), [(1e-3, np.inf), (0, 10)])
def test_running_variances_that_are_bounded(spoil, dtype, least, most):
    def evaluate(right, S, gamma, beta, running_mean, running_var, eps):
        return right(S, gamma, beta, running_mean, np.clip(running_var, least, most), eps)

    spoil(layers, "batch_norm_evaluate", evaluate)
    assert "in evaluation mode" in take_a_walk(WITH_BATCH_NORM, dtype=dtype)


def test_a_forward_pass_in_training_mode_that_is_one_of_evaluation(monkeypatch):
    right = manual.MLP.forward
    monkeypatch.setattr(manual.MLP, "forward", lambda twin, X, training=False: right(twin, X))
    assert "a forward pass in training mode (" in take_a_walk(WITH_BATCH_NORM)


def scaled(outputs, factor):
    return [output * factor for output in outputs] if isinstance(outputs, list) else outputs * factor


def test_an_evaluation_that_moves_the_statistics(spoil):
    def forward(right, twin, *arguments):
        logits = right(twin, *arguments)
        twin.statistics["running_mean1"] += 1e-3
        return logits

    spoil(manual.MLP, "forward", forward)
    assert take_a_walk(WITH_BATCH_NORM).endswith("changes its own state: running_mean1 differs")


@pytest.mark.parametrize("candidates", [None, 2])
def test_a_single_entry_in_float32(spoil, candidates):
    def backward(right, *arguments):
        gradients = right(*arguments)
        if gradients["W1"].dtype == np.float32:
            gradients["W1"][..., 2, 7] = 0
        return gradients

    spoil(passes, "backward", backward)
    assert "the step of W1[2, 7] " in take_a_walk(dtype="float32", candidates=candidates)
    assert take_a_walk(dtype="float64", candidates=candidates) is None


# What only a stack does.


def rates_of_the_first(right, parameters, gradients, lr):
    right(parameters, gradients, np.full_like(lr, lr[0]))


def penalty_of_the_first(right, network, parameters, lam, out=passes.NEW_ARRAYS):
    return right(network, parameters, np.repeat(lam[:, :1], lam.shape[1], axis=1), out)


def backward_with_the_last_lambda(right, network, parameters, caches, loss_cache, lam, out=passes.NEW_ARRAYS):
    return right(network, parameters, caches, loss_cache, np.repeat(lam[:, -1:], lam.shape[1], axis=1), out)


def bias_summed_over_networks(right, dS, cache, out):
    dW, db = right(dS, cache, out)
    return dW, np.broadcast_to(db.mean(axis=0), db.shape).copy()


def statistics_of_the_first(right, network, statistics, found, n):
    right(network, statistics, {layer: (mean[[0] * len(mean)], var) for layer, (mean, var) in found.items()}, n)


@pytest.mark.parametrize(
    ("owner", "name", "spoiled", "found"),
    [
        (manual.mlp, "sgd_step", rates_of_the_first, "does not move W1"),
        (passes, "penalty", penalty_of_the_first, "cost of candidate"),
        (passes, "backward", backward_with_the_last_lambda, "does not move W1"),
        (layers, "linear_backward", bias_summed_over_networks, "does not move b"),
        (passes, "move_statistics", statistics_of_the_first, "running_mean1["),
        (manual.Stack, "states", lambda right, stack: right(stack)[::-1], "does not hold the state that it was given"),
    ],
)
def test_a_stack_that_is_wrong(spoil, owner, name, spoiled, found):
    spoil(owner, name, spoiled)
    assert found in take_a_walk(WITH_BATCH_NORM, candidates=3)


def torch_rates_of_the_first(right, stack, X, y, lam, lr):
    return right(stack, X, y, lam, np.full_like(lr, lr[0]))


def torch_statistics_that_stay(right, stack, *arguments):
    kept = {name: buffer.clone() for name, buffer in stack.buffers.items()}
    found = right(stack, *arguments)
    stack.buffers |= kept
    return found


def torch_evaluation_in_training_mode(right, stack, parameters, X, y, lam, training):
    return right(stack, parameters, X, y, lam, True)


@pytest.mark.parametrize(
    ("name", "spoiled", "found"),
    [
        ("train_step", torch_rates_of_the_first, "does not move W1"),
        ("train_step", torch_statistics_that_stay, "running_mean1["),
        ("_forward", torch_evaluation_in_training_mode, "in evaluation mode"),
    ],
)
def test_a_torch_stack_that_is_wrong(monkeypatch, name, spoiled, found):
    original = getattr(models.Stack, name)
    monkeypatch.setattr(models.Stack, name, lambda *arguments, **rest: spoiled(original, *arguments, *rest.values()))
    assert found in take_a_walk(WITH_BATCH_NORM, "torch", candidates=3)


# What raises.


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("train_step", "update 1 of the walk (40 images, weights as they are) of the manual twin raised ValueError in "),
        ("batch", "update 1 of the walk (40 images, weights as they are) of the manual twin raised ValueError in "),
        ("evaluate", "the manual twin in evaluation mode after 2 updates of the walk (200 images, weights as they are) raised"),
        ("load_state", "to load a state into the manual twin raised ValueError in "),
    ],
)
def test_what_raises_is_a_sentence(monkeypatch, name, where):
    walker = walker_of_twin("manual", PLAIN, initial_state(PLAIN), (0.0, 0.0, 0.0), "float64", "cpu")
    rng = np.random.default_rng(0)

    def broken(*arguments):
        raise ValueError("a broken twin")

    monkeypatch.setattr(walker.stack, name, broken) if name == "batch" else monkeypatch.setattr(manual.MLP, name, broken)
    sentence = walk(walker, rng.standard_normal((300, 12)), rng.integers(4, size=300), 40)
    assert sentence.startswith(where)
    assert sentence.endswith(": a broken twin")
