"""compare.py as its user calls it: what it finds, what it prints, what it exits with."""

import contextlib
import functools
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import call, narrow

from benchmarks.bugs import BUGS
from gradcheck.derivations import chain_differences
from lab.cli import compare
from lab.data import datasets
from manual import layers, losses
from networks import NAMED

ROOT = Path(__file__).parent.parent
# Layers of 4 units, so that a transposed product fits; W1 is 4x3072 all the same.
BN = ("--hidden", "4,4", "--batch-norm")
PLAIN = ("--hidden", "4,4")
SIGMOID = ("--hidden", "4", "--loss", "sigmoid")


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch):
    monkeypatch.setattr(datasets, "draw_synthetic", functools.cache(datasets.draw_synthetic))


def failing_tensors(result):
    return {tensor["name"] for network in result["networks"] for tensor in network["tensors"] if tensor["fail"]}


# Of the catalogue of planted bugs, those that a run of this length has room for.
PLANTED = (
    "penalty_missing_on_layer_1",
    "penalty_halved_on_layer_2",
    "mean_over_the_batch_missing",
    "sign_flipped_at_the_relu",
    "product_transposed",
    "relu_mask_from_the_upstream_gradient",
    "variance_path_missing",
    "mean_path_missing",
    "batch_norm_with_n_minus_1",
    "gamma_and_beta_swapped",
    "bias_gradient_averaged_twice",
    "one_entry_off_by_one_part_in_a_million",
    "one_entry_off_by_one_part_in_a_billion",
    "one_row_zero",
    "sigmoid_without_1_over_K",
    "last_image_left_out_of_the_weights",
    "one_bias_not_a_number",
    "lambda_of_the_first_layer_everywhere",
    "penalty_of_the_absolute_value",
    "relu_mask_missing_at_layer_3",
)


def arguments_of(network):
    """The arguments that describe a network to compare.py."""
    if NAMED.get(network.name) == network:
        return [network.name]
    hidden = ["--hidden", ",".join(map(str, network.hidden))]
    return [*hidden, "--loss", network.loss, *["--batch-norm"] * network.batch_norm]


@pytest.mark.parametrize("bug", [BUGS[name] for name in PLANTED], ids=PLANTED)
def test_planted_bug_is_found(capsys, tmp_path, bug):
    network = narrow(NAMED[bug.network])
    with bug.planted(network.depth):
        code, out, err = call(compare.main, capsys, *arguments_of(network), "--json", tmp_path / "result.json")
    assert (code, err) == (1, "")
    result = json.loads((tmp_path / "result.json").read_text())
    assert not any(network["faults"] for network in result["networks"])  # the bug ran, and did not merely break the code
    found = failing_tensors(result)
    assert found == bug.tensors
    diagnoses = {row["name"]: row["diagnosis"] for network in result["networks"] for row in network["tensors"]}
    for tensor in found:
        assert f"{tensor}, " in out.split("fail: ", 1)[1]
        assert diagnoses[tensor].startswith(f"{tensor}: ")
        assert diagnoses[tensor] in out
    assert "the claimed gradient is wrong" in out
    assert bug.judge(diagnoses) == "right"
    assert not any(sentence for tensor, sentence in diagnoses.items() if tensor not in found)
    assert "FAIL" in out
    if bug.name == "one_entry_off_by_one_part_in_a_million":
        assert "1 of 12,288 entries, [2, 1234] is " in out


@pytest.mark.parametrize("oracle", compare.ENTRYWISE)
def test_each_oracle_finds_a_bug_alone(monkeypatch, capsys, oracle):
    monkeypatch.setattr(losses, "l2_penalty_backward", lambda W, lam_l, out: layers.along(lam_l, W) * W)
    code, out, _ = call(compare.main, capsys, "--hidden", "3", "--oracles", oracle)
    assert code == 1
    assert "W1" in out.split("fail: ", 1)[1]
    assert call(compare.main, capsys, "--hidden", "3", "--oracles", oracle, "--lam", "0")[0] == 0


def test_taylor_finds_a_bug_alone_and_verifies_no_entry(monkeypatch, capsys):
    code, out, _ = call(compare.main, capsys, "--hidden", "3", "--oracles", "taylor")
    assert code == 3
    assert "0 of 9,259 entries verified" in out
    assert "slope 2.0" in out
    monkeypatch.setattr(losses, "l2_penalty_backward", lambda W, lam_l, out: lam_l * W)
    code, out, _ = call(compare.main, capsys, "--hidden", "3", "--oracles", "taylor")
    assert code == 1
    assert "W1, by the Taylor test" in out
    assert "slope 1.0" in out


def test_forward_that_differs_fails(monkeypatch, capsys):
    original = layers.batch_norm_forward
    monkeypatch.setattr(layers, "batch_norm_forward", lambda S, gamma, beta, eps, *out: original(S, gamma, beta, 2 * eps))
    code, out, _ = call(compare.main, capsys, *BN)
    assert code == 1
    assert "the forward passes differ in logits, loss, cost" in out
    assert "the claim and the complex step agree at" in out


def test_backward_that_changes_a_parameter_fails(monkeypatch, capsys):
    original = losses.l2_penalty_backward

    def careless(W, lam_l, out):
        W *= 1 + 1e-15
        return original(W, lam_l)

    monkeypatch.setattr(losses, "l2_penalty_backward", careless)
    code, out, _ = call(compare.main, capsys, "--hidden", "3")
    assert code == 1
    assert "the check may only read claimed W1, which changed" in out


def test_backward_that_raises_fails(monkeypatch, capsys):
    """A transposed dW does not even add up with the penalty: no traceback, but where and why."""
    monkeypatch.setattr(layers, "linear_backward", lambda dS, cache, out: (cache[0].T @ dS, dS.sum(axis=0)))
    code, out, _ = call(compare.main, capsys, "--hidden", "3")
    assert code == 1
    assert "the backward pass raised ValueError in passes.py, line " in out
    assert "fail: 3 W1" not in out  # nothing came that could be wrong at an entry
    assert "forward passes differ" not in out
    assert out.count("fail: ") == 1


def test_closed_pipe_is_no_verdict():
    """`| head` ends the command with 141, as it ends others; 1 would say that a gradient is wrong."""
    command = f"{sys.executable} compare.py --hidden 2 --oracles autograd | head -1; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert found.stderr == ""
    assert found.returncode in (0, 141)


def test_full_standard_output():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "compare.py", "--hidden", "2", "--oracles", "autograd"]
        found = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert found.returncode == 2
    assert (
        found.stderr == "compare.py: the result could not be written or the data not read: [Errno 28] No space left on device\n"
    )


def test_network_that_does_not_fit_memory(capsys):
    code, _, err = call(compare.main, capsys, "--hidden", "999999999")
    assert code == 2
    assert "out of memory" in err
    assert err.count("\n") == 1


def test_tables_fit_80_columns(capsys):
    _, out, _ = call(compare.main, capsys, "three-layer-bn", "one-layer", "--oracles", "autograd,complex-step")
    assert max(len(line) for line in out.splitlines() if "would have caught" not in line) <= 80
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_json_has_the_keys_of_the_contract(capsys):
    code, out, err = call(compare.main, capsys, *BN, "--json", "-")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert set(result) == {"verdict", "seconds", "networks"}
    (network,) = result["networks"]
    assert {"name", "parameters", "verdict", "seconds", "tensors"} <= set(network)
    assert network["name"] == "4-4-bn"
    assert network["parameters"] == sum(t["entries"] for t in network["tensors"]) == 3072 * 4 + 4 * 4 + 4 * 10 + 10 + 6 * 4
    for tensor in network["tensors"]:
        assert set(tensor) == {
            *("name", "shape", "entries", "checked", "pass", "fail", "kink", "undecided", "diagnosis", "alone"),
            *("tie", "between", "tolerance"),
            *("sensitivity", "oracles", "directions", "taylor", "verdict"),
        }
        assert tensor["entries"] == tensor["checked"] == np.prod(tensor["shape"])
        assert set(tensor["oracles"]) == set(compare.ENTRYWISE)
        for oracle in tensor["oracles"].values():
            assert {"max_abs_error", "max_rel_error", "worst"} == set(oracle)
            assert {"index", "claimed", "reference"} <= set(oracle["worst"])
            assert len(oracle["worst"]["index"]) == len(tensor["shape"])


def test_json_of_a_nan_is_valid(monkeypatch, capsys):
    monkeypatch.setattr(losses, "l2_penalty_backward", lambda W, lam_l, out: W * np.nan)
    code, out, _ = call(compare.main, capsys, "--hidden", "3", "--json", "-")
    worst = json.loads(out, parse_constant=pytest.fail)["networks"][0]["tensors"][0]["oracles"]["autograd"]["worst"]
    assert (code, worst["claimed"]) == (1, None)
    assert worst["reference"] is not None


def test_undecided_exits_with_3(monkeypatch, capsys):
    monkeypatch.setattr(chain_differences, "CENTRAL_STEP", 1e-2)
    monkeypatch.setattr(chain_differences, "RETRIES", 0)
    code, out, _ = call(compare.main, capsys, "--hidden", "4", "--oracles", "central-difference")
    assert code == 3
    assert "undecided" in out


def test_table_shows_coverage_index_and_both_values(capsys):
    code, out, _ = call(compare.main, capsys, "one-layer", "one-layer-sigmoid", "--batch-size", "3", "--seed", "4")
    assert code == 0
    assert "30,730 of 30,730" in out
    (row,) = [line for line in out.splitlines() if "complex" in line and "e-" in line][:1]
    assert len(row.split()) >= 5
    assert "PASS: 61,460 of 61,460 entries verified" in out


def test_other_options(capsys):
    assert call(compare.main, capsys, "--hidden", "3", "--lam", "0.1,0.2", "--lam", "0.5", "--batch-size", "2")[0] == 0
    code, out, _ = call(compare.main, capsys, "--hidden", "3", "--dtype", "float32")
    assert code == 0
    assert "float32" in out


BAD = {
    "unknown network": (["three"], "unknown network 'three'"),
    "unknown oracle": (["--oracles", "autograd,magic"], "unknown oracle 'magic'"),
    "no images": (["--batch-size", "0"], "'0' is not an integer from 1"),
    "too many images": (["--batch-size", "999999"], "over the 9,000 images"),
    "negative lambda": (["--lam", "-0.1"], "'-0.1' is not lambda"),
    "lambda that is no number": (["--lam", "nan"], "'nan' is not lambda"),
    "too many lambdas": (["two-layer", "--lam", "0.1,0.2,0.3"], "two-layer: lambda has 3 values, the network has 2 layers"),
    "one image and batch norm": (["three-layer-bn", "--batch-size", "1"], "needs at least 2 images"),
    "layer without units": (["--hidden", "5,0"], "'0' is not an integer from 1"),
    "names and sizes": (["two-layer", "--hidden", "5"], "either names or --hidden"),
    "loss without sizes": (["--loss", "sigmoid"], "give --hidden"),
    "JSON into nowhere": (["--json", "missing/x.json"], "missing/x.json can't be written"),
    "JSON over a folder": (["--json", "."], "is not a file that can be written"),
    "no folder": (["--data", "folder", "--data-dir", "missing"], "missing is not a folder"),
    "negative seed": (["--seed", "-1"], "'-1' is not an integer from 0"),
    "seed too large": (["--seed", "5000000000"], "'5000000000' is not an integer from 0 to 4294967295"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_exit_2(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(compare.main, capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_cuda_where_there_is_none(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = call(compare.main, capsys, "--device", "cuda")
    assert code == 2
    assert "finds no CUDA device" in err


def test_nan_in_the_data(monkeypatch, capsys):
    honest = datasets.Data.normalise
    monkeypatch.setattr(datasets.Data, "normalise", lambda self, part, rows: honest(self, part, rows=rows) * np.nan)
    code, _, err = call(compare.main, capsys, "one-layer")
    assert code == 2
    assert err.startswith("command: the data are not finite: X[0, 0] is nan")
    assert err.count("\n") == 1


@pytest.mark.cuda
def test_torch_side_on_the_gpu(capsys):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    for network in (PLAIN, BN, SIGMOID):
        assert call(compare.main, capsys, *network, "--device", "cuda")[0] == 0


def test_help_has_examples(capsys):
    code, out, _ = call(compare.main, capsys, "--help")
    assert code == 0
    assert "examples:" in out
    assert "exit codes:" in out


def test_ctrl_c_of_the_real_command_leaves_no_traceback(tmp_path):
    """A real process in a terminal, interrupted while it shows its progress: no traceback, no file."""
    ours, terminal = pty.openpty()
    command = [sys.executable, "compare.py", "nine-layer-bn", "--json", tmp_path / "result.json"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm"},
        # Where the tests run in the background of a shell, SIGINT is ignored, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(terminal)
    seen = b""
    while b"nine-layer-bn" not in seen:
        seen += os.read(ours, 1000)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # what a terminal answers once the process has gone
        while chunk := os.read(ours, 1000):
            seen += chunk
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"compare.py: interrupted" in seen
    assert b"Traceback" not in seen
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cifar10
def test_real_images(capsys, cifar10_dir):
    code, out, _ = call(compare.main, capsys, "two-layer", "--data", "cifar10", "--data-dir", cifar10_dir)
    assert code == 0
    assert "154,160 of 154,160" in out
