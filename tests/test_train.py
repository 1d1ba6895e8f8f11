"""train.py as its users meet it: what it writes, how it stops and goes on, what it refuses."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import foreign
import numpy as np
import pytest
import torch
from conftest import call
from safetensors import safe_open
from safetensors.numpy import load_file

import manual.mlp
import models
from lab import twins
from lab.cli import figures, train, train_session
from lab.data import datasets
from lab.training import checkpoint
from lab.training.checkpoint import RunCheckpoint
from lab.training.loop import LARGEST_COST
from lab.training.run import Run, first_relu, load_images, resolve_settings
from lab.training.run_folder import RunFolder
from lab.training.settings import Settings, device_of
from manual import layers, losses, passes
from networks import NAMED, Network, nonzero_state

ROOT = Path(__file__).parent.parent
TINY = ("--hidden", "4", "--updates", "30", "--record-every", "10", "--step-size", "10")
QUICK = (*TINY, "--verify", "off")


pytestmark = pytest.mark.usefixtures("drawn_once")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch, request):
    """Figures take longer than these trainings: only tests that look at them draw any."""
    if "figures" not in request.keywords:
        monkeypatch.setattr(train_session, "draw", lambda runs, path: [])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def trained(capsys, out, *arguments):
    code, printed, err = call(train.main, capsys, *arguments, "--out", out)
    assert (code, err) == (0, "")
    return printed


def without_seconds(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.figures
def test_a_run_writes_what_it_says(capsys, out):
    printed = trained(capsys, out, *TINY, "--lam", "0.1", "--seed", "3")
    assert "verified: " in printed.splitlines()[1]
    assert "autograd" in printed.splitlines()[1]
    rows = RunFolder(out).rows()
    assert [row["update"] for row in rows] == [0, 10, 20, 30]
    assert [row["lr"] for row in rows] == pytest.approx([1e-5, 0.1, 1e-5, 0.1])
    result = json.loads((out / "result.json").read_text())
    assert (result["updates"], result["verify"], result["implementation"]) == (30, "subset", "manual")
    assert result["seconds"] == pytest.approx(sum(result["seconds_of"].values()))
    for part in ("train", "val", "test"):
        assert result[part].keys() == {"loss", "cost", "accuracy"}
        assert result[part]["cost"] > result[part]["loss"]
        assert part == "test" or result[part] == rows[-1][part]
    histogram = result["probability_of_true_class"]
    assert sum(histogram["right"]) == round(2000 * result["test"]["accuracy"])
    assert sum(histogram["right"]) + sum(histogram["wrong"]) == 2000
    settings = Settings.from_json(json.loads((out / "config.json").read_text()))
    assert (settings.lam, settings.seed, settings.images, settings.network.hidden) == (0.1, 3, 2000, (4,))
    assert checkpoint.read(out / "checkpoint.safetensors", RunCheckpoint).update == 30
    for name in ("curves.png", "probability.png"):
        assert (out / name).stat().st_size > 10_000
    assert not list(out.glob("*partial*"))
    assert "of them for the records" in printed


def test_other_constants_and_normalisations_are_trained_and_written(capsys, out):
    """Batch norm's constants, random biases and another normalisation: what is verified, trained and written is with them."""
    options = ("--batch-norm", "--bn-eps", "2.2e-16", "--bn-momentum", "0.3", "--init-bias", "0.1", "--normalise", "each-file")
    trained(capsys, out, *TINY, *options, "--implementation", "both", "--dtype", "float64")
    settings = RunFolder(out).settings()
    assert (settings.network.eps, settings.network.momentum) == (2.2e-16, 0.3)
    assert (settings.init_bias, settings.normalise) == (0.1, "each-file")
    assert RunFolder(out).rows()[-1]["drift"]["weights"] < 1e-9


def test_same_seed_same_bits_other_seed_others(capsys, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        trained(capsys, tmp_path / name, *QUICK, "--seed", seed)
    a, b, c = (load_file(tmp_path / name / "checkpoint.safetensors") for name in "abc")
    assert all((a[name] == b[name]).all() for name in a)
    assert (a["manual.W1"] != c["manual.W1"]).any()


def test_both_twins_are_recorded_with_their_distance(capsys, out):
    printed = trained(capsys, out, *QUICK, "--implementation", "both", "--batch-norm", "--dtype", "float64")
    rows = RunFolder(out).rows()
    assert all(row["drift"]["weights"] < 1e-12 and row["torch"].keys() == {"train", "val"} for row in rows)
    assert json.loads((out / "result.json").read_text())["torch"]["test"]["accuracy"] > 0
    assert "the twins have drifted apart by (relative) logits" in printed
    assert {name.partition(".")[0] for name in load_file(out / "checkpoint.safetensors")} == {"manual", "torch"}


@pytest.mark.figures
def test_the_drift_of_float32_twins_is_reported(capsys, out):
    printed = trained(capsys, out, *QUICK, "--implementation", "both")
    assert "ReLUs differ" in printed
    assert "drift.png" in printed
    assert RunFolder(out).rows()[-1]["drift"]["logits"] > 1e-9


def test_where_relus_differ_first():
    rows = [{"update": t, "drift": {"relu": {"differ": n, "layer": n or None}}} for t, n in ((0, 0), (10, 2), (20, 1))]
    assert first_relu(rows) == {"update": 10, "layer": 2}
    assert first_relu(rows[:1]) is None


@pytest.mark.figures
@pytest.mark.parametrize("settings", [(), ("--augment", "flip", "--no-shuffle", "--batches-per-epoch", "40")])
def test_one_layer_draws_its_weights(capsys, out, settings):
    printed = trained(capsys, out, "one-layer-sigmoid", "--updates", "3", *settings)
    assert "weights.png" in printed
    assert (out / "weights.png").stat().st_size > 10_000


def test_the_manual_twin_is_trained_without_pytorch(out):
    script = "import sys; sys.modules['torch'] = None; from lab.cli.train import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, *QUICK, "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (out / "result.json").exists()


# Stopping and going on.


def start(out, *arguments):
    command = [sys.executable, ROOT / "train.py", *map(str, arguments), *(("--out", out) if out else ())]
    # pytest-xdist's workers, and any background job, ignore SIGINT: children would inherit it.
    restore = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore, cwd=ROOT)


def wait_for(condition, process):
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.002)


def count_rows(out):
    path = out / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else -1


LONG = ("--hidden", "50,8", "--batch-norm", "--augment", "flip", "--lam", "0.01", "--verify", "off")


@pytest.mark.parametrize("implementation", ["manual", "torch"])
def test_killed_and_resumed_ends_as_if_never_stopped(capsys, tmp_path, implementation):
    """kill -9 when the folder is just there, behind the first record, near the end: the same bits."""
    settings = (*LONG, "--updates", "600", "--record-every", "37", "--images", "500", "--implementation", implementation)
    trained(capsys, tmp_path / "whole", *settings)
    out = tmp_path / "killed"
    reached = 0
    for k, moment in enumerate((lambda: (out / "config.json").exists(), *(lambda n=n: count_rows(out) >= n for n in (1, 16)))):
        process = start(None, "--resume", out) if k else start(out, *settings)
        wait_for(moment, process)
        time.sleep(0.013 * k)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (out / "result.json").exists(), "the run was over before it was killed"
        reached = max(reached, count_rows(out))
    assert reached >= 16
    code, _, err = call(train.main, capsys, "--resume", out)
    assert (code, err) == (0, "")
    whole, killed = (load_file(folder / "checkpoint.safetensors") for folder in (tmp_path / "whole", out))
    assert whole.keys() == killed.keys()
    assert all((whole[name] == killed[name]).all() for name in whole)
    rows = [without_seconds(RunFolder(folder).rows()) for folder in (tmp_path / "whole", out)]
    assert rows[0] == rows[1]
    assert [row["update"] for row in rows[1]] == [*range(0, 600, 37), 600]
    results = [json.loads((folder / "result.json").read_text()) for folder in (tmp_path / "whole", out)]
    assert results[0]["test"] == results[1]["test"]


def test_killed_behind_the_first_record(capsys, tmp_path):
    """The checkpoint is of update 0: its row may not come twice, and a file that was left half written is removed."""
    trained(capsys, tmp_path / "whole", *QUICK)
    out = tmp_path / "killed"
    process = start(out, *QUICK, "--updates", "1000000", "--record-every", "500000")
    wait_for(lambda: (out / "checkpoint.safetensors").exists(), process)
    process.kill()
    process.communicate()
    (out / ".checkpoint.safetensors.1.partial").write_bytes(b"half")
    for path in (out / "config.json", out / "checkpoint.safetensors"):
        assert path.exists()
    config = json.loads((out / "config.json").read_text()) | {"updates": 30, "record_every": 10}
    (out / "config.json").write_text(json.dumps(config))
    at_zero = checkpoint.read(out / "checkpoint.safetensors", RunCheckpoint)
    assert at_zero.update == 0
    checkpoint.write(out / "checkpoint.safetensors", replace(at_zero, settings=config))
    code, _, err = call(train.main, capsys, "--resume", out)
    assert (code, err) == (0, "")
    rows = [without_seconds(RunFolder(folder).rows()) for folder in (tmp_path / "whole", out)]
    assert rows[0] == rows[1]
    assert not list(out.glob(".*"))


def test_a_row_without_its_checkpoint_comes_again(monkeypatch, capsys, tmp_path):
    """The row is written first: a kill between the two must lose no row."""
    trained(capsys, tmp_path / "whole", *QUICK)
    original, out = checkpoint.write, tmp_path / "killed"

    def killed(path, content):
        if content.update == 20:
            raise KeyboardInterrupt
        original(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", killed)
        assert call(train.main, capsys, *QUICK, "--out", out)[0] == 130
    assert [row["update"] for row in RunFolder(out).rows()] == [0, 10, 20]
    assert call(train.main, capsys, "--resume", out)[0] == 0
    rows = [without_seconds(RunFolder(folder).rows()) for folder in (tmp_path / "whole", out)]
    assert rows[0] == rows[1]


def test_a_stop_leaves_a_checkpoint_wherever_it_comes(tmp_path):
    settings = Settings(Network("small", hidden=(4,)), updates=12, record_every=5, step_size=10)
    images = load_images(settings)
    settings = resolve_settings(settings, images)
    for stop in range(1, 12):
        folder = RunFolder(tmp_path / str(stop))
        folder.write_settings(settings)
        started = Run(settings, images, folder, "cpu")
        asked = iter(range(1, 100))
        list(started.train(lambda lr, loss: None, lambda asked=asked, stop=stop: next(asked) >= stop))
        assert started.progress.update == folder.read_checkpoint().update == stop
        assert [row["update"] for row in folder.rows()] == [t for t in (0, 5, 10) if t <= stop]


@pytest.mark.parametrize("lost", ["nothing", "the checkpoint of the last row", "half a row"])
def test_what_a_kill_leaves_between_two_files_is_repaired(capsys, tmp_path, lost):
    trained(capsys, tmp_path / "whole", *QUICK)
    out = tmp_path / "killed"
    trained(capsys, out, *QUICK)
    (out / "result.json").unlink()
    lines = (out / "metrics.jsonl").read_text().splitlines(keepends=True)
    if lost != "nothing":
        trained(capsys, tmp_path / "shorter", *QUICK, "--updates", "20")
        earlier = checkpoint.read(tmp_path / "shorter" / "checkpoint.safetensors", RunCheckpoint)
        settings = checkpoint.read(out / "checkpoint.safetensors", RunCheckpoint).settings
        checkpoint.write(out / "checkpoint.safetensors", replace(earlier, settings=settings))
        if lost == "half a row":
            (out / "metrics.jsonl").write_text("".join(lines[:3]) + lines[3][:17])
    code, _, err = call(train.main, capsys, "--resume", out)
    assert (code, err) == (0, "")
    rows = [without_seconds(RunFolder(folder).rows()) for folder in (tmp_path / "whole", out)]
    assert rows[0] == rows[1]
    whole, killed = (load_file(folder / "checkpoint.safetensors") for folder in (tmp_path / "whole", out))
    assert all((whole[name] == killed[name]).all() for name in whole)


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(capsys, tmp_path):
    out = tmp_path / "a run"
    process = start(out, *LONG, "--updates", "100000", "--record-every", "50000")
    wait_for(lambda: count_rows(out) >= 1, process)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.count("\n") == 1
    update = checkpoint.read(out / "checkpoint.safetensors", RunCheckpoint).update
    assert err.startswith(f"stopped after {update:,} of 100,000 updates; go on with: python ")
    assert err.rstrip().endswith(f"train.py --resume '{out}'")
    assert 0 < update < 50000


def test_a_checkpoint_of_one_twin_opens_in_the_other(capsys, tmp_path):
    for first, then in (("manual", "torch"), ("torch", "manual"), ("both", "torch"), ("manual", "both")):
        out = tmp_path / f"{first}-{then}"
        settings = (*QUICK, "--batch-norm", "--dtype", "float64", "--implementation", first)
        trained(capsys, out, *settings)
        (out / "result.json").unlink()
        lines = (out / "metrics.jsonl").read_text().splitlines(keepends=True)
        trained(capsys, tmp_path / f"{out.name}-short", *settings, "--updates", "20")
        earlier = checkpoint.read(tmp_path / f"{out.name}-short" / "checkpoint.safetensors", RunCheckpoint)
        settings = checkpoint.read(out / "checkpoint.safetensors", RunCheckpoint).settings
        checkpoint.write(out / "checkpoint.safetensors", replace(earlier, settings=settings))
        code, _, err = call(train.main, capsys, "--resume", out, "--implementation", then)
        assert (code, err) == (0, "")
        rows = RunFolder(out).rows()
        assert len(rows) == len(lines)
        assert rows[-1]["train"]["loss"] == pytest.approx(json.loads(lines[-1])["train"]["loss"], rel=1e-10)
        assert json.loads((out / "result.json").read_text())["implementation"] == then


@pytest.mark.parametrize("then", ["torch", "both", "manual"])
def test_killed_before_the_result_and_resumed_in_another_twin(capsys, out, then):
    printed = trained(capsys, out, *QUICK, "--dtype", "float64", "--implementation", "both" if then == "manual" else "manual")
    whole = json.loads((out / "result.json").read_text())
    (out / "result.json").unlink()
    code, printed, err = call(train.main, capsys, "--resume", out, "--implementation", then)
    assert (code, err) == (0, "")
    result = json.loads((out / "result.json").read_text())
    assert result["implementation"] == then
    assert result["test"]["loss"] == pytest.approx(whole["test"]["loss"], rel=1e-9)
    assert ("drift" in result) == ("apart by" in printed) == (then == "both")


def test_a_finished_run_is_shown_again(capsys, out):
    trained(capsys, out, *QUICK)
    before = (out / "result.json").read_bytes()
    code, printed, err = call(train.main, capsys, "--resume", out)
    assert (code, err) == (0, "")
    assert "is finished already" in printed
    assert (out / "result.json").read_bytes() == before
    code, _, err = call(train.main, capsys, "--resume", out, "--implementation", "torch")
    assert code == 2
    assert "is finished already" in err


# Verified first.


@pytest.mark.parametrize("implementation", ["manual", "torch", "both"])
def test_a_network_with_a_wrong_gradient_is_not_trained(monkeypatch, capsys, out, implementation):
    monkeypatch.setattr(losses, "l2_penalty_backward", lambda W, lam_l, out: np.multiply(W, lam_l, out=out))
    arguments = (*TINY, "--lam", "0.1", "--implementation", implementation, "--out", out)
    code, printed, err = call(train.main, capsys, *arguments)
    assert code == 1
    assert "fail: 4 W1, 100 of 12,288 entries" in printed
    assert "fail: 4 W2, 40 of 40 entries" in printed
    assert err == "4 is not trained: its gradient is wrong\n"
    assert not out.exists()
    # At lambda 0 the penalty has no gradient, and the very same code is right.
    assert call(train.main, capsys, *TINY, "--lam", "0", "--implementation", implementation, "--out", out)[0] == 0


def test_a_sample_is_not_all(monkeypatch, capsys, tmp_path):
    original = layers.linear_backward

    def one_entry_wrong(dS, cache, out):
        dW, db = original(dS, cache, out)
        if dW.shape[1] == 3072:
            dW[3, 7] *= 1.001
        return dW, db

    monkeypatch.setattr(layers, "linear_backward", one_entry_wrong)
    code, printed, _ = call(train.main, capsys, *TINY, "--out", tmp_path / "subset")
    assert code == 1
    assert "154 of 12,342" in printed  # which pass
    assert "does not move W1 by lr times its gradient" in printed
    code, printed, _ = call(train.main, capsys, *TINY, "--verify", "full", "--out", tmp_path / "full")
    assert code == 1
    assert "1 of 12,288 entries, [3, 7] is" in printed
    printed = trained(capsys, tmp_path / "off", *TINY, "--verify", "off")
    assert "THE GRADIENT IS NOT VERIFIED" in printed
    assert "THE GRADIENT WAS NOT VERIFIED" in printed
    assert json.loads((tmp_path / "off" / "result.json").read_text())["verify"] == "off"


def test_a_gradient_that_is_wrong_in_float32_alone(monkeypatch, capsys, out):
    original = layers.linear_backward

    def spoiled(dS, cache, out):
        dW, db = original(dS, cache, out)
        return (dW * np.float32(1.01) if dW.dtype == np.float32 else dW), db

    monkeypatch.setattr(layers, "linear_backward", spoiled)
    code, printed, _ = call(train.main, capsys, *TINY, "--out", out)
    assert code == 1
    assert "fail: 4 W1" in printed


@pytest.mark.parametrize("factor", [1 + 1e-4, 0.5])
def test_an_update_that_does_not_quite_follow_the_gradient_is_found(monkeypatch, capsys, out, factor):
    original = manual.mlp.sgd_step
    monkeypatch.setattr("manual.mlp.sgd_step", lambda parameters, gradients, lr: original(parameters, gradients, factor * lr))
    code, printed, _ = call(train.main, capsys, *TINY, "--out", out)
    assert code == 1
    assert "does not move W1 by lr times its gradient" in printed


def test_a_bug_that_zeros_hide_is_found(monkeypatch, capsys, out):
    """At the start gamma is 1 and beta 0: the check moves them."""
    original = layers.batch_norm_backward

    def without_gamma(dout, cache, out):
        S_hat, inv_std, gamma = cache
        return original(dout, (S_hat, inv_std, np.ones_like(gamma)), out)

    monkeypatch.setattr(layers, "batch_norm_backward", without_gamma)
    code, printed, _ = call(train.main, capsys, *TINY, "--batch-norm", "--out", out)
    assert code == 1
    assert "fail: 4-bn W1" in printed


@pytest.mark.parametrize("module", ["manual", "models"])
def test_an_update_that_does_not_follow_the_gradient_is_found(monkeypatch, capsys, out, module):
    def ascent(parameters, gradients, lr):
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter += lr * gradients[name]

    monkeypatch.setattr(f"{module}.mlp.sgd_step", ascent)
    code, printed, _ = call(train.main, capsys, *TINY, "--implementation", "both", "--out", out)
    assert code == 1
    twin = {"manual": "manual", "models": "torch"}[module]
    assert f"an update of the {twin} twin does not move W1 by lr times its gradient" in printed


@pytest.mark.parametrize(
    ("owner", "name", "whose"),
    [
        (layers, "relu_forward", "the forward pass, which is differentiated, raised ValueError in test_train.py, line "),
        (models.MLP, "cost_and_gradients", "PyTorch, which the gradient is compared with, raised ValueError in test_train.py"),
        (
            models.MLP,
            "train_step",
            "update 1 of the walk (100 images, weights as they are) of the torch twin raised ValueError",
        ),
    ],
)
def test_what_raises_before_training_is_said_in_one_line(monkeypatch, capsys, out, owner, name, whose):
    def broken(*arguments):
        raise ValueError("not today")

    monkeypatch.setattr(owner, name, broken)
    code, printed, err = call(train.main, capsys, *TINY, "--implementation", "torch", "--out", out)
    assert code == 1
    assert f"fail: 4, {whose}" in " ".join(printed.split())
    assert "Traceback" not in printed + err
    assert not out.exists()


def test_verification_uses_the_lambda_of_each_layer(monkeypatch, capsys, out):
    original = passes.backward

    def with_the_lambda_of_the_first(network, parameters, caches, loss_cache, lam, out=passes.NEW_ARRAYS):
        return original(network, parameters, caches, loss_cache, (lam[0],) * len(lam), out)

    monkeypatch.setattr(passes, "backward", with_the_lambda_of_the_first)
    code, printed, _ = call(train.main, capsys, *TINY, "--lam", "0.1,0.2", "--out", out)
    assert code == 1
    assert "W2" in printed.split("fail: ", 1)[1]


# What goes wrong.


def test_divergence(capsys, out):
    arguments = ("--hidden", "4", "--schedule", "constant", "--lr", "1000", "--lam", "0.1", "--updates", "30")
    code, _, err = call(train.main, capsys, *arguments, "--record-every", "2", "--out", out)
    assert code == 1
    assert err.startswith("command: the manual twin diverged at update ")
    assert ", lr 1e+03: loss " in err
    last = checkpoint.read(out / "checkpoint.safetensors", RunCheckpoint)
    assert RunFolder(out).rows()[-1]["train"]["cost"] < LARGEST_COST
    assert RunFolder(out).rows()[-1]["update"] == last.update
    assert err.rstrip().endswith(f"the last good checkpoint is of update {last.update}: {out / 'checkpoint.safetensors'}")
    assert all(np.isfinite(array).all() for array in last.states["manual"].values())
    assert not (out / "result.json").exists()


@pytest.mark.parametrize("implementation", ["manual", "torch"])
@pytest.mark.parametrize(
    ("arguments", "update", "last"),
    [
        (("--lr", "1e30", "--updates", "1"), 1, "is of update 0"),
        (("--lr", "1e6", "--updates", "1"), 1, "is of update 0"),
        (("--lr", "1e6", "--updates", "9", "--record-every", "1"), 1, "is of update 0"),
        (("--init", "1000", "--updates", "1"), 0, "there is no checkpoint yet"),
        (("--lam", "1e100", "--updates", "1"), 0, "there is no checkpoint yet"),
    ],
)
def test_divergence_is_found_wherever_it_shows(capsys, out, implementation, arguments, update, last):
    settings = ("--hidden", "4", "--schedule", "constant", "--lam", "0.1", *arguments)
    code, _, err = call(train.main, capsys, *settings, "--verify", "off", "--implementation", implementation, "--out", out)
    assert code == 1
    assert f"the {implementation} twin diverged at update {update}, lr " in err
    assert last in err
    assert err.count("\n") == 1
    assert not (out / "result.json").exists()


def test_a_poor_learning_rate_finishes(capsys, out):
    """The reports' eta = 0.1 for one layer: poor but finite."""
    trained(capsys, out, "one-layer", "--schedule", "constant", "--lr", "0.1", "--init", "0.01", "--epochs", "3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name one network to train"),
        (("two-layer", "three-layer"), "name one network to train"),
        (("four-layer",), "unknown network 'four-layer'"),
        (("two-layer", "--hidden", "3"), "either names or --hidden"),
        (("two-layer", "--lr", "0.1"), "--lr has no meaning for --schedule cyclical"),
        (("two-layer", "--schedule", "constant", "--lr-max", "1"), "--lr-max has no meaning for --schedule constant"),
        (("two-layer", "--schedule", "constant", "--cycles", "1"), "--cycles has no meaning for --schedule constant"),
        (("two-layer", "--schedule", "step"), "--schedule step needs --decay-every"),
        (("two-layer", "--lr-min", "1"), "--lr-min is over --lr-max"),
        (("two-layer", "--lr-max", "nan"), "'nan' is not a number over 0"),
        (("two-layer", "--lr-max", "much"), "'much' is not a number over 0"),
        (("two-layer", "--cycles", "0"), "'0' is not an integer from 1"),
        (("two-layer", "--cycles", "1", "--epochs", "1"), "not allowed with argument"),
        (("two-layer", "--init", "she"), "neither he, xavier nor"),
        (("two-layer", "--init", "1e300"), "neither he, xavier nor"),
        (("two-layer", "--init-bias", "-1"), "'-1' is not a number over 0"),
        (("two-layer", "--normalise", "none"), "invalid choice: 'none'"),
        (("two-layer", "--bn-eps", "1e-3"), "--bn-eps has no meaning for networks without batch norm"),
        (("three-layer-bn", "--bn-momentum", "1.5"), "'1.5' is over 1"),
        (("two-layer", "--images", "2001"), "--images 2,001 is over the 2,000 images"),
        (("two-layer", "--out", ""), "an empty name is not a folder"),
        (("two-layer", "--lam", "-1"), "'-1' is not lambda"),
        (("two-layer", "--lam", "1,2,3"), "two-layer: lambda has 3 values"),
        (("two-layer", "--batch-size", "2001"), "--batch-size 2001 does not fit the 2,000 images"),
        (("three-layer-bn", "--batch-size", "1"), "at least 2 images"),
        (("two-layer", "--images", "10"), "--batch-size 100 does not fit the 10 images"),
        (("two-layer", "--data", "cifar10", "--data-dir", "/dev/null/x"), "/dev/null/x"),
        (("two-layer", "--out", "/dev/null/x"), "the folder /dev/null/x can't be made"),
        (("two-layer", "--device", "cuda"), "finds no CUDA device"),
        (("--resume", "nowhere"), "nowhere holds no run"),
        (("--resume", "nowhere", "--lam", "1"), "--resume goes on with the settings of the run; drop --lam"),
        (("--resume", "nowhere", "two-layer"), "drop the network"),
    ],
)
def test_wrong_arguments(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = call(train.main, capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_run_is_not_written_over(capsys, out):
    trained(capsys, out, *QUICK)
    code, _, err = call(train.main, capsys, *QUICK, "--out", out)
    assert code == 2
    assert f"holds a run already; name another folder with --out, or go on with --resume {out}" in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("checkpoint.safetensors", b"nonsense", "checkpoint.safetensors is not a checkpoint of train.py"),
        ("checkpoint.safetensors", b"", "checkpoint.safetensors is not a checkpoint of train.py"),
        ("config.json", b"{", "config.json can't be read"),
        ("config.json", b"{}", "config.json can't be read"),
        ("config.json", None, "are of different runs"),
        ("config.json", b"seed", "seed is 'abc'"),
        ("metrics.jsonl", b"nonsense\n", "metrics.jsonl can't be read"),
        ("metrics.jsonl", b"3\n", "metrics.jsonl can't be read"),
        ("metrics.jsonl", b"", "metrics.jsonl lacks the record of update 0"),
        ("result.json", b"", "result.json can't be read"),
        ("result.json", b"[]", "result.json can't be read"),
        ("result.json", b"\xff", "result.json can't be read"),
    ],
)
def test_a_broken_run_is_not_resumed(capsys, out, name, content, message):
    trained(capsys, out, *QUICK)
    (out / "result.json").unlink()
    if content is None:
        content = (out / "config.json").read_bytes().replace(b'"lam": 0.0', b'"lam": 0.5')
    if content == b"seed":
        content = (out / "config.json").read_bytes().replace(b'"seed": 0', b'"seed": "abc"')
    (out / name).write_bytes(content)
    code, _, err = call(train.main, capsys, "--resume", out)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_the_form_of_a_checkpoint(capsys, out):
    """Runs of earlier versions are resumed: what the file holds keeps its names."""
    trained(capsys, out, *QUICK, "--batch-norm", "--implementation", "both")
    with safe_open(out / "checkpoint.safetensors", "numpy") as file:
        metadata, names = file.metadata(), set(file.keys())
    assert metadata.keys() == {"update", "generator", "seconds", "settings"}
    assert json.loads(metadata["settings"]) == json.loads((out / "config.json").read_text())
    assert json.loads(metadata["seconds"]).keys() == {"updates", "records"}
    assert json.loads(metadata["generator"])["bit_generator"] == "PCG64"
    tensors = ("W1", "b1", "gamma1", "beta1", "running_mean1", "running_var1", "W2", "b2")
    assert names == {f"{twin}.{name}" for twin in ("manual", "torch") for name in tensors}


@pytest.mark.figures
def test_a_run_from_when_drift_was_called_apart(capsys, out):
    """It is drawn, shown and continued, without the drift of its earlier records."""
    trained(capsys, out, *QUICK, "--implementation", "both")
    for name in ("metrics.jsonl", "result.json"):
        (out / name).write_text((out / name).read_text().replace('"drift"', '"apart"'))
    code, printed, _ = call(figures.main, capsys, out)
    assert (code, "drift.png" in printed) == (0, False)
    code, printed, _ = call(train.main, capsys, "--resume", out)
    assert (code, "drifted" in printed) == (0, False)
    (out / "result.json").unlink()
    code, printed, _ = call(train.main, capsys, "--resume", out)
    assert (code, "drifted" in printed) == (0, True)


@pytest.mark.parametrize("broken", [{"update": "x"}, {"update": -4}, {"generator": {}}, {"seconds": {}}, {"states": {}}])
def test_a_checkpoint_that_is_incomplete(capsys, out, broken):
    trained(capsys, out, *QUICK)
    (out / "result.json").unlink()
    path = out / "checkpoint.safetensors"
    checkpoint.write(path, replace(checkpoint.read(path, RunCheckpoint), **broken))
    code, _, err = call(train.main, capsys, "--resume", out)
    assert (code, err.count("\n")) == (2, 1)
    assert "is not a checkpoint of train.py: its metadata are incomplete" in err


def test_a_run_does_not_go_on_with_other_data(monkeypatch, capsys, out):
    trained(capsys, out, *QUICK)
    (out / "result.json").unlink()
    original = datasets.draw_synthetic
    monkeypatch.setattr(datasets, "draw_synthetic", lambda seed: original(seed + 1))
    code, _, err = call(train.main, capsys, "--resume", out)
    assert code == 2
    assert "the data are not those that the run began with" in err


# The GPU, and what stands in for it.


@pytest.mark.parametrize(
    ("implementation", "asked", "expected"),
    [
        ("manual", "auto", "cpu"),
        ("both", "auto", "cpu"),
        ("torch", "auto", "cuda"),
        ("manual", "cuda", "cuda"),
        ("torch", "cpu", "cpu"),
    ],
)
def test_device_with_a_gpu(monkeypatch, implementation, asked, expected):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert device_of(Settings(NAMED["two-layer"], implementation, device=asked)) == expected


def test_the_manual_twin_runs_on_arrays_like_cupys(monkeypatch, network):
    monkeypatch.setitem(sys.modules, "cupy", foreign)
    rng = np.random.default_rng(0)
    network = replace(network, inputs=3072)
    pair = [twins.training_twin("manual", network, nonzero_state(network), "float64", device) for device in ("cuda", "cpu")]
    X, y = rng.standard_normal((9, 3072)), rng.integers(0, 10, 9)
    for _ in range(3):
        rows, flipped = rng.permutation(9)[:5], rng.random(5) < 0.5
        steps = []
        for twin in pair:
            batch = twin.batch(twin.array(X), twin.array(y), rows, flipped)
            steps.append(twin.train_step(*batch, twin.network.lambdas(0.1), 0.1))
            assert not isinstance(batch[0], np.ndarray) or twin is pair[1]
        assert steps[0] == steps[1]
    lam = pair[0].network.lambdas(0.1)
    like_cupy, numpy = ({**twin.state(), "evaluation": twin.evaluate(twin.array(X), twin.array(y), lam)} for twin in pair)
    assert all(np.array_equal(like_cupy[name], numpy[name]) for name in numpy)
    answers = [twin.cost_and_gradients(twin.array(X), twin.array(y), 0.1).gradients for twin in pair]
    assert all(np.array_equal(answers[0][name], answers[1][name]) for name in answers[1])


def test_without_cupy_one_line_says_what_to_install(monkeypatch, capsys, out):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.init", lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(train_session, "verified", lambda settings, verify: True)
    code, _, err = call(train.main, capsys, *TINY, "--device", "cuda", "--out", out)
    assert code == 2
    assert "needs CuPy: pip install cupy-cuda12x" in err
    assert err.count("\n") == 1


@pytest.mark.cuda
@pytest.mark.parametrize("implementation", ["manual", "torch", "both"])
def test_training_on_a_gpu(capsys, tmp_path, implementation):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if implementation != "torch":
        pytest.importorskip("cupy", reason="needs CuPy")
    for device in ("cuda", "cpu"):
        arguments = (*TINY, "--batch-norm", "--dtype", "float64", "--implementation", implementation, "--device", device)
        trained(capsys, tmp_path / device, *arguments)
    losses = [RunFolder(tmp_path / device).rows()[-1]["train"]["loss"] for device in ("cuda", "cpu")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


# Figures, and real images.


def test_figures_of_several_runs(capsys, tmp_path):
    for name in ("one-layer", "one-layer-sigmoid"):
        trained(capsys, tmp_path / name, name, "--updates", "3")
    folders = (tmp_path / "one-layer", tmp_path / "one-layer-sigmoid")
    code, printed, _ = call(figures.main, capsys, *folders, "--out", tmp_path / "beside")
    assert code == 0
    assert {Path(line).name for line in printed.split()} == {"curves.png", "probability.png", "weights.png"}
    assert all(Path(line).stat().st_size > 10_000 for line in printed.split())
    assert call(figures.main, capsys, *folders)[2].count("--out DIR") == 1
    code, _, err = call(figures.main, capsys, tmp_path)
    assert (code, err.count("\n")) == (2, 1)


def test_named_networks_are_all_trainable(capsys, tmp_path):
    for name in NAMED:
        trained(capsys, tmp_path / name, name, "--updates", "2", "--implementation", "both", "--verify", "off")
