"""compare.py --pair, assert_gradients_match and the state guard, as a stranger meets them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, Problem, call

import gradcheck
from gradcheck import assert_gradients_match, check, cli
from gradcheck.errors import UserError
from gradcheck.guard import bits, generators
from lab.cli import compare
from lab.network_check import check_network

ROOT = Path(__file__).parent.parent

PAIR = """\
import numpy as np

rng = np.random.default_rng(0)
X, w = rng.standard_normal((6, 4)), rng.standard_normal((3, 4))
parameters = {"w": w}

def cost(parameters):
    return (np.tanh(X @ parameters["w"].T) ** 2).sum()

def gradients(parameters):
    T = np.tanh(X @ parameters["w"].T)
    return {"w": (2 * T * (1 - T**2)).T @ X}
"""


def run(capsys, tmp_path, source, *options, name="mine.py"):
    path = tmp_path / name
    path.write_text(textwrap.dedent(source))
    return call(compare.main, capsys, "--pair", path, *options)


def test_a_pair_file(capsys, tmp_path):
    code, out, err = run(capsys, tmp_path, PAIR, "--json", tmp_path / "result.json")
    assert (code, err) == (0, "")
    assert "PASS: 12 of 12 entries verified" in out
    (network,) = json.loads((tmp_path / "result.json").read_text())["networks"]
    assert (network["name"], network["verdict"], network["notes"]) == ("mine", "pass", [])


def test_notes_stand_in_the_terminal_in_yellow_and_in_the_json(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    source = PAIR.replace("return (np.tanh", "return float((np.tanh").replace("** 2).sum()", "** 2).sum())")
    code, out, _ = run(capsys, tmp_path, source, "--json", tmp_path / "result.json")
    note = "NO COMPLEX STEP: for complex parameters, cost(parameters) raised TypeError in mine.py, line 8"
    assert code == 0
    assert f"\x1b[1;33mmine: {note}" in out
    (network,) = json.loads((tmp_path / "result.json").read_text())["networks"]
    assert network["notes"][0].startswith(note)


def test_the_verdict_states_the_coverage_of_a_sample(capsys, tmp_path):
    source = PAIR.replace("(3, 4)", "(3000, 4)").replace("    return (", "    import time; time.sleep(1e-4)\n    return (")
    code, out, _ = run(capsys, tmp_path, source, "--budget", "1", "--seed", "3", "--oracles", "central-difference")
    assert code == 0
    assert "mine: A SAMPLE: " in out
    assert "drawn with seed 3" in out
    last = out.splitlines()[-1]
    assert last.startswith("PASS: ")
    assert " of 12,000 entries verified, and " in last
    assert " random directions in " in last


BAD = {
    "syntax error": ("parameters = {", "can't be run: SyntaxError in mine.py, line 1: '{' was never closed"),
    "raises": ("\n\nopen('nowhere')", "can't be run: FileNotFoundError in mine.py, line 3: "),
    "exits": ("import sys\nsys.exit(0)", "can't be run: SystemExit in mine.py, line 2: 0"),
    "imports nothing": ("import nowhere_at_all", "can't be run: ModuleNotFoundError in mine.py, line 1: "),
    "no names": ("parameters = {}", "has no cost and no gradients; a pair file defines parameters, cost and gradients"),
    "a list": (PAIR + "parameters = [w]", "mine.py: parameters is a list; it has to be a dict of arrays by name"),
    "no function": (PAIR + "cost = 3", "mine.py: cost is an int; it has to be a function of parameters"),
    "integers": (
        PAIR + "parameters = {'w': np.ones((3, 4), int)}",
        "parameter w has dtype int64; it has to be float64 or float32",
    ),
    "empty": (PAIR + "parameters = {'w': np.ones((0, 4))}", "parameter w is empty: its shape is (0, 4)"),
    "array": (PAIR + "cost = lambda p: p['w'].sum(axis=0)", "cost(parameters) has shape (4,); it has to be a single number"),
    "nan": (PAIR + "cost = lambda p: np.nan", "cost(parameters) is nan; a gradient needs a finite real cost"),
    "random": (PAIR + "cost = lambda p: rng.random()", "is not the same twice"),
    "raising cost": (PAIR + "cost = lambda p: p['v']", "cost(parameters) raised KeyError in mine.py, line 13: 'v'"),
    "mixed": (PAIR + "import torch\nparameters['v'] = torch.ones(2)", "parameter w: all have to be arrays, or all tensors"),
    "layers": (PAIR + "layers = 3", "layers is an int; it has to be a Layers(X, y, ...)"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_pair_file_is_one_line_and_exit_2(capsys, tmp_path, name):
    source, message = BAD[name]
    code, out, err = run(capsys, tmp_path, source, "--json", tmp_path / "result.json")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("command: ")
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("two-layer",), "--pair brings its own cost and data; leave out networks"),
        (("--hidden", "4"), "leave out --hidden"),
        (("--hidden", "4", "--batch-norm"), "leave out --hidden"),
        (("--batch-norm",), "leave out --batch-norm"),
        (("--loss", "sigmoid"), "leave out --loss"),
        (("--lam", "0.1"), "leave out --lam"),
        (("--batch-size", "5"), "leave out --batch-size"),
        (("--dtype", "float32"), "leave out --dtype"),
        (("--budget", "0"), "'0' is not a number over 0"),
        (("--budget", "nan"), "'nan' is not a number over 0"),
        (("--pair", "nowhere.py"), "nowhere.py is not a file; name a Python file"),
    ],
)
def test_options_that_do_not_fit_a_pair(capsys, tmp_path, options, message):
    code, out, err = run(capsys, tmp_path, PAIR, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_budget_without_a_pair(capsys):
    code, _, err = call(compare.main, capsys, "two-layer", "--budget", "3")
    assert code == 2
    assert err.endswith(": --budget is for --pair\n")


def test_what_a_pair_prints_does_not_spoil_the_json(capsys, tmp_path):
    source = "print('loading')\n" + PAIR.replace("    return (", "    print('called')\n    return (")
    code, out, err = run(capsys, tmp_path, source, "--json", "-")
    assert (code, json.loads(out)["verdict"]) == (0, "pass")
    assert "loading" in err
    assert "called" in err


def test_pairs_in_different_folders_import_their_own_modules(capsys, tmp_path):
    """Also one that is named as one of ours."""
    source = "import helper, networks, models.net\nassert 'site-packages' not in networks.__file__\n" + PAIR
    source = source.replace("w = rng.standard_normal((3, 4))", "w = rng.standard_normal((3, 4)) * helper.SIZE")
    paths = []
    for size in (1, 1000):
        folder = tmp_path / str(size)
        (folder / "models").mkdir(parents=True)
        (folder / "models" / "__init__.py").touch()
        (folder / "models" / "net.py").write_text("SIZE = " + str(size))
        (folder / "networks.py").write_text("OWN = True")
        (folder / "helper.py").write_text(f"SIZE = {size}")
        (folder / "mine.py").write_text(f"import models.net\nassert models.net.SIZE == {size}\n{source}assert networks.OWN")
        paths += ["--pair", folder / "mine.py"]
    import models
    import networks

    code, _, err = call(compare.main, capsys, *paths, "--oracles", "complex-step")
    assert (code, err) == (0, "")
    assert sys.modules["networks"] is networks
    assert sys.modules["models"] is models
    assert not any(str(tmp_path) in path for path in sys.path)


def test_a_cost_that_draws_from_the_global_generators(capsys, tmp_path):
    """Dropout: the same draws each time, and the generators afterwards as before."""
    source = """
        import random
        import numpy as np
        import torch

        parameters = {"w": np.arange(1.0, 6.0)}

        def mask():
            return (np.random.rand(5) < 0.8) * (1 + torch.rand(5).numpy()) * random.random()

        def cost(parameters):
            return (mask() * parameters["w"] ** 2).sum()

        def gradients(parameters):
            return {"w": 2 * mask() * parameters["w"]}
    """
    before = {name: bits(state) for name, (state, _) in generators().items()}
    code, _, err = run(capsys, tmp_path, source)
    assert (code, err) == (0, "")
    assert {name: bits(state) for name, (state, _) in generators().items()} == before


def test_ctrl_c_in_a_slow_pair(tmp_path):
    source = PAIR.replace("    return (", "    print(end='.', flush=True)\n    import time; time.sleep(0.5)\n    return (", 1)
    (tmp_path / "mine.py").write_text(source)
    command = [sys.executable, ROOT / "compare.py", "--pair", tmp_path / "mine.py", "--json", tmp_path / "result.json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell that runs the tests in the background lets them ignore Ctrl-C, and so what they start.
    process = subprocess.Popen(command, **pipes, cwd=tmp_path, preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL))
    process.stderr.read(3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.lstrip(".")) == (130, "compare.py: interrupted\n")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != "" or path.is_file()) == ["mine.py"]


# The guard of the state.


def tanh_pair():
    parameters = {"w": np.linspace(-1, 1, 6), "b": np.ones(1)}

    def cost(p):
        return (np.tanh(p["w"]) ** 2).sum() * p["b"][0]

    def gradients(p):
        T = np.tanh(p["w"])
        return {"w": 2 * T * (1 - T**2) * p["b"][0], "b": np.array([(T**2).sum()])}

    return parameters, cost, gradients


def draws_and_changes(array, raises=False):
    np.random.rand()
    torch.rand(1)
    array += 1e-15 if isinstance(array, np.ndarray) else torch.tensor(1e-15).to(array)
    if raises:
        raise ArithmeticError("on purpose")


def state_of(*arrays):
    return [bits(array) for array in arrays], {name: bits(state) for name, (state, _) in generators().items()}


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("in_torch", [False, True])
def test_gradients_that_change_their_parameters_fail_and_all_is_put_back(in_torch, raises):
    parameters, cost, gradients = tanh_pair()
    if in_torch:
        parameters = {name: torch.tensor(array) for name, array in parameters.items()}
        cost = lambda p: (torch.tanh(p["w"]) ** 2).sum() * p["b"][0]  # noqa: E731

    def careless(p):
        draws_and_changes(p["w"], raises)
        found = gradients({name: np.asarray(value) for name, value in p.items()})
        return {name: torch.tensor(g) for name, g in found.items()} if in_torch else found

    before = state_of(*parameters.values())
    result = check(parameters, cost, careless)
    assert state_of(*parameters.values()) == before
    assert result.verdict == "fail"
    assert "gradients changes its parameters in place: w; it may only read what it is given" in result.faults
    assert any("ArithmeticError" in fault for fault in result.faults) == raises


def test_a_cost_that_changes_its_parameters_fails_and_all_is_put_back():
    parameters, cost, gradients = tanh_pair()

    def careless(p):
        value = cost(p)
        draws_and_changes(p["w"])
        return value

    before = state_of(*parameters.values())
    result = check(parameters, careless, gradients)
    assert (result.verdict, result.faults) == (
        "fail",
        ["cost changes its parameters in place: w; it may only read what it is given"],
    )
    assert state_of(*parameters.values()) == before


@pytest.mark.parametrize("raises", [False, True])
def test_a_cost_that_reaches_for_the_parameters_outside(raises):
    parameters, cost, gradients = tanh_pair()

    def careless(p):
        draws_and_changes(parameters["w"], raises)
        return cost(p)

    before = state_of(*parameters.values())
    if raises:
        with pytest.raises(UserError, match=r"ArithmeticError in test_pair_command\.py, line "):
            check(parameters, careless, gradients)
    else:
        assert check(parameters, careless, gradients).faults == ["cost changes parameters['w'], which it may only read"]
    assert state_of(*parameters.values()) == before


@pytest.mark.parametrize("name", ["relu", "bn"])
def test_a_network_whose_backward_raises_after_it_changed_everything(name):
    p = Problem(SMALL[name])
    honest = p.manual.cost_and_gradients

    def careless(X, y, lam):
        honest(X, y, lam)
        if p.manual.statistics:
            p.manual.statistics["running_mean1"] += 1
        draws_and_changes(p.manual.parameters["W1"], raises=True)

    p.manual.cost_and_gradients = careless

    def everything():
        return state_of(*p.manual.state().values(), *p.torch.state_dict().values(), p.X, p.y)

    before = everything()
    result = check_network("net", p.manual, p.torch, p.X, p.y, (0.0, 0.1))
    assert everything() == before
    assert result.verdict == "fail"
    assert result.faults[0].startswith("the backward pass raised ArithmeticError in test_pair_command.py")
    assert "the check may only read claimed W1, which changed" in result.faults


def test_an_interrupt_puts_everything_back():
    parameters, cost, _ = tanh_pair()

    def interrupted(p):
        p["w"] += 1
        raise KeyboardInterrupt

    before = state_of(*parameters.values())
    with pytest.raises(KeyboardInterrupt):
        check(parameters, cost, interrupted)
    assert state_of(*parameters.values()) == before


# The assertion.

TEST_FILE = """\
import numpy as np
import pytest
from gradcheck import assert_gradients_match

parameters = {"w": np.array([0.1, 0.2, 0.3]), "b": np.ones(2)}


def cost(p):
    return (p["w"] ** 3).sum() + (p["b"] ** 2).sum()


def gradients(p):
    return {"w": 3 * p["w"] ** 2 * np.array([1, 1 + 1e-9, 1]), "b": 2 * p["b"]}


class TestCubes:
    @pytest.mark.parametrize("seed", [7, "it's $HOME"])
    def test_cubes(self, seed):
        assert_gradients_match(parameters, cost, gradients, seed=7)


def test_right():
    right = lambda p: {"w": 3 * p["w"] ** 2, "b": 2 * p["b"]}
    assert assert_gradients_match(parameters, cost, right).verdict == "pass"
"""


CALL = "        assert_gradients_match(parameters, cost, gradients, seed=7)"


def shell(command, cwd):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "300", "PATH": path}
    environment.pop("PYTEST_CURRENT_TEST", None)
    done = subprocess.run(command, shell=True, cwd=cwd, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def test_the_message_of_a_failed_assertion_can_be_acted_on(tmp_path):
    (tmp_path / "test_cubes.py").write_text(TEST_FILE)
    code, out = shell("python -m pytest -q test_cubes.py", tmp_path)
    assert code == 1
    assert "2 failed, 1 passed" in out
    for words in (
        "AssertionError: the gradient is wrong",
        "fail: pair w, 1 of 3 entries, [1] is 1.200000001200000e-01, complex-step says 1.200000000000000e-01",
        "w: the single entry [1] is wrong",
        f"test_cubes.py line {TEST_FILE.splitlines().index(CALL) + 1}, seed=7",
    ):
        assert words in out
    again = [line.partition("run it again: ")[2] for line in out.splitlines() if line.startswith("E ")]
    again = [command for command in again if command]
    assert len(again) == 2
    code, out = shell(again[1], tmp_path)
    assert code == 1
    assert "1 failed" in out
    assert "fail: pair w, 1 of 3 entries, [1] is 1.200000001200000e-01" in out


def test_the_assertion_outside_pytest_names_the_file(tmp_path):
    source = TEST_FILE.partition("class TestCubes")[0] + "assert_gradients_match(parameters, cost, gradients)\n"
    path = tmp_path / "a script.py"
    path.write_text(source)
    code, out = shell(f"python '{path}'", tmp_path)
    assert code == 1
    assert f"run it again: python '{path}'  # a script.py line 16, seed=0" in out


def test_the_assertion_of_what_can_not_be_verified():
    with pytest.raises(UserError, match="parameters is empty"):
        assert_gradients_match({}, None, None)

    def noise(p):
        return float(np.round(p["w"].sum(), 3))

    with pytest.raises(AssertionError, match="the gradient is not verified"):
        assert_gradients_match({"w": np.array([0.1234])}, noise, lambda p: {"w": np.ones(1)})


def test_the_check_of_a_cheap_pair_is_fast():
    started = time.perf_counter()
    assert assert_gradients_match(*tanh_pair()).verdict == "pass"
    assert time.perf_counter() - started < 2


def test_nothing_is_checked_where_a_later_file_is_no_pair(capsys, tmp_path):
    (tmp_path / "good.py").write_text(textwrap.dedent(PAIR))
    (tmp_path / "bad.py").write_text("parameters, cost, gradients = {'w': 1}, 3, 4")
    code, out, err = call(cli.main, capsys, tmp_path / "good.py", tmp_path / "bad.py")
    assert (code, out, err) == (2, "", f"command: {tmp_path}/bad.py: cost is an int; it has to be a function of parameters\n")


def test_a_folder_with_a_gradcheck_of_its_own_does_not_hide_the_one_that_checks(capsys, tmp_path):
    (tmp_path / "gradcheck.py").write_text("raise RuntimeError('the wrong one')")
    (tmp_path / "mine.py").write_text("from gradcheck import Layers\n" + textwrap.dedent(PAIR))
    assert call(cli.main, capsys, tmp_path / "mine.py")[0] == 0


def test_a_cost_that_is_the_first_to_import_pytorch(tmp_path):
    """Its generator is put back after each call, as those are that were there from the beginning."""
    source = """
        import numpy as np

        parameters = {"w": np.arange(1.0, 6.0)}

        def mask():
            import torch
            return torch.rand(5).numpy()

        def cost(p):
            return (mask() * p["w"] ** 2).sum()

        def gradients(p):
            return {"w": 2 * mask() * p["w"]}
    """
    (tmp_path / "mine.py").write_text(textwrap.dedent(source))
    command = [sys.executable, "-m", "gradcheck", tmp_path / "mine.py"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version(capsys):
    assert call(cli.main, capsys, "--version") == (0, f"gradcheck {gradcheck.__version__}\n", "")
