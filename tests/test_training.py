"""Schedules, batches, the training step and the loop of both twins."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck.errors import UserError
from lab import twins
from lab.data import datasets
from lab.training import checkpoint
from lab.training.batches import Batches
from lab.training.checkpoint import StackCheckpoint
from lab.training.device_data import DeviceData
from lab.training.drift import measure_drift
from lab.training.evaluation import evaluate, probability_of_class, true_class_histogram
from lab.training.run import Run, load_images, resolve_settings
from lab.training.run_folder import RunFolder
from lab.training.schedules import cyclical, step_decay
from lab.training.settings import Settings, training_plan
from lab.training.stacked import StackedTraining
from networks import NAMED, Network, initial_state, nonzero_state
from random_streams import Stream, random_stream


@settings(max_examples=30)
@given(st.integers(1, 200), st.sampled_from([(1e-5, 0.1), (0.0, 1.0), (0.02, 0.02)]))
def test_cyclical_equals_pytorch(step_size, rates):
    lr_min, lr_max = rates
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, lr_min, lr_max, step_size_up=step_size, cycle_momentum=False)
    for t in range(6 * step_size + 1):
        assert cyclical(t, lr_min, lr_max, step_size) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-16)
        optimizer.step()
        scheduler.step()


def test_cyclical_by_hand():
    assert [cyclical(t, 0.0, 1.0, 4) for t in range(10)] == [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0.25]


def test_step_decay_by_hand():
    assert [step_decay(t, 1.0, (2, 5)) for t in (0, 1, 2, 4, 5, 9)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert step_decay(10**6, 0.3, ()) == 0.3


NETWORK = NAMED["two-layer"]


@pytest.mark.parametrize(
    ("options", "updates", "record_every", "rates"),
    [
        ({}, 2000, 100, {0: 1e-5, 500: 0.1, 1000: 1e-5, 1250: 0.050005}),
        ({"step_size": 800, "cycles": 3}, 4800, 160, {800: 0.1}),
        ({"step_size": 800, "epochs": 50}, 5000, 160, {4800: 1e-5}),
        ({"updates": 7}, 7, 1, {0: 1e-5}),
        ({"updates": 300}, 300, 30, {0: 1e-5}),
        ({"schedule": "step", "lr": 1.0, "decay_every": 2, "updates": 450}, 450, 45, {199: 1, 200: 0.1, 400: 0.01}),
        ({"schedule": "step", "lr": 1.0, "decay_every": 20, "updates": 9000}, 9000, 100, {7999: 1e-3, 8000: 1e-4}),
        ({"schedule": "constant", "lr": 0.5}, 4000, 100, {0: 0.5, 3999: 0.5}),
        ({"schedule": "step", "lr": 1.0, "decay_every": 2, "epochs": 6}, 600, 60, {199: 1, 200: 0.1, 400: 0.01, 599: 0.01}),
        ({"schedule": "step", "lr": 1.0, "decay_at": (11, 50), "epochs": 60}, 6000, 100, {1099: 1, 1100: 0.1, 5000: 0.01}),
        ({"batches_per_epoch": 50, "epochs": 2, "schedule": "constant"}, 100, 10, {}),
        ({"record_every": 3}, 2000, 3, {}),
    ],
)
def test_plan(options, updates, record_every, rates):
    found = training_plan(Settings(NETWORK, **options), 10_000)
    assert (found.updates, found.record_every) == (updates, record_every)
    assert found.batch_size == (200 if "batches_per_epoch" in options else 100)
    for t, lr in rates.items():
        assert found.lr(t) == pytest.approx(lr, rel=1e-12)


@pytest.mark.parametrize(("asked", "batch_size"), [(100, 100), (300, 33), (6000, 1), (10_000, 1)])
def test_batches_per_epoch_is_the_number_of_batches(asked, batch_size):
    """Also where it does not divide the images: the rows left over wait for the next epoch's order."""
    found = training_plan(Settings(NETWORK, batches_per_epoch=asked, epochs=2), 10_000)
    assert (found.per_epoch, found.batch_size, found.updates) == (asked, batch_size, 2 * asked)
    batches = Batches(10_000, found.batch_size, found.per_epoch, seed=0)
    epoch = np.concatenate([batches.at(t).rows for t in range(asked)])
    assert len(set(epoch)) == asked * batch_size


def test_plan_of_too_few_images():
    with pytest.raises(UserError, match="--batch-size 100 does not fit the 99 images"):
        training_plan(Settings(NETWORK), 99)
    with pytest.raises(UserError, match="--batches-per-epoch 100 does not fit"):
        training_plan(Settings(NETWORK, batches_per_epoch=100), 99)
    with pytest.raises(UserError, match="batch norm"):
        training_plan(Settings(NAMED["three-layer-bn"], batch_size=1), 99)


def test_each_epoch_sees_each_image_once_in_another_order():
    batches = Batches(10, 3, 3, seed=1, flip=True)
    epochs = [np.concatenate([batches.at(3 * epoch + k).rows for k in range(3)]) for epoch in range(50)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 50
    assert set(np.concatenate(epochs)) == set(range(10))
    assert [*Batches(10, 3, 3, 0, shuffle=False).at(0).rows] == [0, 1, 2]
    assert Batches(10, 3, 3, 0).at(0).flipped is None


def test_flips_have_probability_one_half():
    batches = Batches(10_000, 100, 100, seed=0, flip=True)
    flipped = np.array([batches.at(k).flipped for k in range(200)])
    assert abs(flipped.mean() - 0.5) < 0.01
    assert (flipped[:100] != flipped[100:]).any()


@pytest.mark.parametrize("flip", [False, True])
def test_batches_go_on_anywhere_as_if_never_stopped(flip):
    whole = Batches(17, 4, 4, seed=5, flip=flip)
    expected, states = [], []
    for t in range(14):
        states.append(whole.generator)
        expected.append(whole.at(t))
    for start in range(14):
        resumed = Batches(17, 4, 4, seed=99, flip=flip)
        resumed.resume(start, states[start])
        for t in range(start, 14):
            found = resumed.at(t)
            assert (found.rows == expected[t].rows).all()
            assert not flip or (found.flipped == expected[t].flipped).all()
            assert t + 1 == 14 or resumed.generator == states[t + 1]


@pytest.mark.parametrize("implementation", ["manual", "torch"])
def test_a_flip_mirrors_every_plane(implementation):
    """Against indices written out by hand: pixel (plane, row, column) becomes (plane, row, 31 - column), in all 32 rows."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6, 3072)), np.arange(6)
    network = Network("one")
    twin = twins.training_twin(implementation, network, initial_state(network), "float64")
    rows, flipped = np.array([4, 0, 2]), np.array([True, False, True])
    got, classes = twin.batch(twin.array(X), twin.array(y), rows, flipped)
    got = twin.to_numpy(got)
    for image, row, flip in zip(got, rows, flipped, strict=True):
        for plane in range(3):
            for r in range(32):
                line = X[row, 1024 * plane + 32 * r : 1024 * plane + 32 * r + 32]
                assert (image[1024 * plane + 32 * r : 1024 * plane + 32 * r + 32] == (line[::-1] if flip else line)).all()
    assert [*twin.to_numpy(classes)] == [4, 0, 2]
    assert (twin.to_numpy(twin.batch(twin.array(X), twin.array(y), rows)[0]) == X[rows]).all()


@pytest.mark.parametrize("implementation", ["manual", "torch"])
def test_a_step_follows_the_gradient_and_moves_the_statistics(implementation, network):
    rng = np.random.default_rng(0)
    state = nonzero_state(network)
    one, other = (twins.training_twin(implementation, network, state, "float64") for _ in range(2))
    for _ in range(3):
        X, y = rng.standard_normal((5, network.inputs)), rng.integers(0, 10, 5)
        answer, before = other.cost_and_gradients(X, y, 0.1), one.state()
        loss, cost = one.train_step(one.array(X), one.array(y), network.lambdas(0.1), 0.5)
        other.forward(X, training=True)
        assert (loss, cost) == pytest.approx((answer.loss, answer.cost), rel=1e-12)
        expected = other.state() | {name: before[name] - 0.5 * gradient for name, gradient in answer.gradients.items()}
        for name, array in one.state().items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-12, atol=1e-15, err_msg=name)
        other.load_state(one.state())


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_manual_update_allocates_nothing_large(batch_norm, loss):
    network = Network("wide", hidden=(300, 200), batch_norm=batch_norm, loss=loss)
    rng = np.random.default_rng(0)
    twin = twins.training_twin("manual", network, initial_state(network))
    X, y = rng.standard_normal((1000, 3072), dtype=np.float32), rng.integers(0, 10, 1000)

    def updates():
        for _ in range(3):
            rows, flipped = rng.permutation(1000)[:500], rng.random(500) < 0.5
            twin.train_step(*twin.batch(X, y, rows, flipped), twin.network.lambdas(0.01), 0.001)

    updates()
    tracemalloc.start()
    updates()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A batch is 6 MB, W1 is 4 MB, the ReLU's mask of the smaller hidden layer 100 kB; logits are 20 kB.
    assert peak < 200_000
    assert twin.parameters["W1"].flags.c_contiguous
    assert twin.parameters["W1"].dtype == np.float32


def ignore(lr, loss):
    pass


def begun(settings, tmp_path):
    images = load_images(settings)
    settings = resolve_settings(settings, images)
    started = Run(settings, images, RunFolder(tmp_path / "run"), "cpu")
    started.folder.write_settings(settings)
    return started


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"augment": "flip"},
        {"shuffle": False},
        {"init": "0.01", "init_bias": 0.5, "normalise": "scalar"},
        {"batches_per_epoch": 15},
        {"schedule": "step", "decay_every": 1, "lr": 0.1},
        {"seed": 4},
    ],
)
def test_a_run_is_this_loop(tmp_path, options):
    """The whole of training once more, in ten lines: the learning rate, the order, the flips, the weights at the start."""
    network = Network("bn", hidden=(6,), batch_norm=True)
    options = {"step_size": 20, "updates": 45, "lam": 0.05, "dtype": "float64", "record_every": 45} | options
    started = begun(Settings(network, **options), tmp_path)
    list(started.train(ignore, lambda: False))
    images, seed = started.images, options.get("seed", 0)
    per_epoch = options.get("batches_per_epoch", 20)
    n = 2000 // per_epoch
    start = initial_state(network, options.get("init", "he"), seed, options.get("init_bias", 0))
    twin = twins.training_twin("manual", network, start, "float64")
    rng = random_stream(seed, Stream.BATCHES)
    for t in range(45):
        if t % per_epoch == 0:
            order = rng.permutation(2000) if options.get("shuffle", True) else np.arange(2000)
            flipped = rng.random(2000) < 0.5 if "augment" in options else np.zeros(2000, bool)
        rows = slice(t % per_epoch * n, t % per_epoch * n + n)
        X, y = images.normalise("train", rows=order[rows]), images.train.labels[order[rows]]
        X[flipped[rows]] = X[flipped[rows]].reshape(-1, 3, 32, 32)[..., ::-1].reshape(-1, 3072)
        lr = 1e-5 + (0.1 - 1e-5) * (1 - abs(t % 40 / 20 - 1)) if "schedule" not in options else 0.1 / 10 ** (t // per_epoch)
        gradients = twin.cost_and_gradients(X, y, 0.05).gradients
        twin.forward(X, training=True)
        twin.load_state(twin.state() | {name: twin.state()[name] - lr * gradient for name, gradient in gradients.items()})
    ended = started.folder.read_checkpoint().states["manual"]
    for name, array in twin.state().items():
        np.testing.assert_allclose(ended[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    result = started.folder.read_result()
    for part in ("train", "val", "test"):
        expected = twin.evaluate(images.normalise(part), getattr(images, part).labels, twin.network.lambdas(0.05))
        assert result[part] == pytest.approx(expected._asdict(), rel=1e-9)
    assert len({result[part]["loss"] for part in ("train", "val", "test")}) == 3


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED)
def test_twins_follow_the_same_path_for_200_updates(named, tmp_path):
    settings = Settings(named, "both", lam=0.005, dtype="float64", updates=200, record_every=100, step_size=100, init="he")
    started = begun(settings, tmp_path)
    rows = list(started.train(ignore, lambda: False))
    assert [row["update"] for row in rows] == [0, 100, 200]
    for row in rows:
        assert max(row["drift"][quantity] for quantity in ("logits", "cost", "weights")) <= 1e-9
        assert row["drift"]["relu"]["differ"] == 0
        assert row["val"]["loss"] == pytest.approx(row["torch"]["val"]["loss"], rel=1e-9)
    assert rows[-1]["train"]["accuracy"] > 0.2 > rows[0]["train"]["accuracy"]


def test_the_drift_finds_what_differs():
    network = SMALL["bn"]
    X = np.random.default_rng(0).standard_normal((50, network.inputs))
    state = nonzero_state(network)
    moved = state | {"W2": state["W2"] + 0.2 * np.abs(state["W2"]).max()}
    pair = [(twins.training_twin(name, network, s, "float64"), X) for name, s in (("manual", moved), ("torch", state))]
    found = measure_drift(pair, (1.1, 1.0))
    assert (found["cost"], found["weights"], found["worst"]) == (pytest.approx(0.1), pytest.approx(0.2), "W2")
    first, second = ([twin.to_numpy(A) for A in twin.activations(twin.array(X))] for twin, _ in pair)
    assert found["logits"] == pytest.approx(np.abs(first[-1] - second[-1]).max() / np.abs(second[-1]).max(), rel=1e-12)
    differ = [((a > 0) != (b > 0)).sum() for a, b in zip(first[:-1], second[:-1], strict=True)]
    assert differ[0] == 0
    assert min(differ[1:]) > 0
    assert found["relu"] == {"differ": sum(differ), "layer": 2, "units": 50 * 15}
    same = measure_drift([pair[1], pair[1]], (0.0, 0.0))
    assert (same["logits"], same["cost"], same["weights"], same["relu"]["layer"]) == (0, 0, 0, None)


def test_evaluation_in_chunks_is_evaluation(network, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((23, network.inputs)), rng.integers(0, 10, 23)
    for name in ("manual", "torch"):
        twin = twins.training_twin(name, network, nonzero_state(network), "float64")
        lam = twin.network.lambdas(0.1)
        whole = twin.evaluate(twin.array(X), twin.array(y), lam)
        monkeypatch.setattr("lab.training.evaluation.CHUNK", 10)
        np.testing.assert_allclose(evaluate(twin, DeviceData(twin.array(X), twin.array(y)), lam), whole, rtol=1e-12)
        counts = true_class_histogram(twin, DeviceData(twin.array(X), twin.array(y)))
        assert sum(counts["right"]) == round(whole.accuracy * 23)
        assert sum(counts["right"]) + sum(counts["wrong"]) == 23


def test_probability_of_the_true_class():
    logits, y = np.array([[0.0, np.log(3)], [1000.0, 0.0]]), np.array([1, 1])
    np.testing.assert_allclose(probability_of_class(logits, y, "softmax"), [0.75, 0])
    np.testing.assert_allclose(probability_of_class(logits, y, "sigmoid"), [0.75, 0.5])


def test_histogram_by_hand():
    network = Network("by hand", inputs=2, outputs=2)
    state = {"W1": np.eye(2), "b1": np.zeros(2)}
    X, y = np.array([[np.log(10), 0.0], [np.log(10), 0.0], [0.0, np.log(5)]]), np.array([0, 1, 1])
    counts = true_class_histogram(twins.training_twin("manual", network, state, "float64"), DeviceData(X, y))
    # The true classes have the probabilities 10/11, 1/11 and 5/6; the second is predicted wrong.
    assert {name: np.flatnonzero(count).tolist() for name, count in counts.items()} == {"right": [16, 18], "wrong": [1]}


def test_a_stack_of_twelve_goes_on_with_each_its_own_weights(tmp_path):
    """Twelve, because sorted by name "10" comes before "2"."""
    base = Settings(Network("small", hidden=(4,)), step_size=4, cycles=1, images=200)
    images = load_images(base)
    candidates = [replace(resolve_settings(base, images), lr_max=0.01 * k) for k in range(1, 13)]
    whole, half, rest = (StackedTraining(candidates, "cpu") for _ in range(3))
    parts = whole.to_device(images)
    list(whole.train(parts, lambda: None, lambda: False))
    list(half.train(parts, lambda: None, lambda: half.update == 3))
    checkpoint.write(tmp_path / "stack", half.checkpoint())
    rest.resume(checkpoint.read(tmp_path / "stack", StackCheckpoint))
    list(rest.train(parts, lambda: None, lambda: False))
    for expected, state in zip(whole.stack.states(), rest.stack.states(), strict=True):
        assert all((state[name] == expected[name]).all() for name in expected)


def test_settings_survive_json():
    import json

    settings = Settings(NAMED["nine-layer-bn"], lam=(0.1,) * 9, decay_at=(3, 4), schedule="step", images=7)
    assert Settings.from_json(json.loads(json.dumps(settings.as_json()))) == settings
    whole = settings.as_json()
    for wrong, message in (("schedule", "schedule is 'foo'"), ("dtype", "dtype is 'foo'"), ("seed", "seed is 'foo'")):
        with pytest.raises(UserError, match=message):
            Settings.from_json(whole | {wrong: "foo"})
    for wrong in ({}, {"network": 3}, whole | {"colour": "red"}, {"network": whole["network"]}):
        with pytest.raises(UserError, match=r"settings of train\.py"):
            Settings.from_json(wrong)


def test_images_limits_the_training_part_and_its_moments():
    few = load_images(Settings(NETWORK, images=100))
    assert len(few.train.labels) == 100
    whole = datasets.load("synthetic", "data")
    np.testing.assert_allclose(few.normalise("train").mean(axis=0), 0, atol=1e-12)
    assert few.normalise("val").mean() != whole.normalise("val").mean()
    assert len(few.val.labels) == len(whole.val.labels)
    with pytest.raises(UserError, match="--images 2,001 is over the 2,000 images"):
        load_images(Settings(NETWORK, images=2001))
