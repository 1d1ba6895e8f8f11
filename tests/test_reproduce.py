"""reproduce.py: a quick pass of every experiment, what is kept, what goes on, and what goes wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import call

from lab.cli import reproduce
from lab.reports.catalogue_file import read_catalogue
from lab.reports.request import Request, RunKey
from lab.reports.task import Worker
from lab.reports.training_task import TrainingTask
from lab.training import checkpoint
from lab.training.checkpoint import StackCheckpoint
from lab.training.stacked import StackedTraining
from manual import layers, losses

ROOT = Path(__file__).parent.parent
CATALOGUE = read_catalogue()

pytestmark = pytest.mark.usefixtures("drawn_once")


def contents(folder, name):
    """The JSON of an experiment without what differs from run to run: the time, and the commit where somebody works on."""
    content = json.loads((folder / f"{name}.json").read_text())
    for run in content["runs"]:
        assert run["seconds"] > 0
        assert re.fullmatch(r"[0-9a-f]{12}\+?", run["commit"] or "0" * 12)
        del run["seconds"], run["commit"]
    return content


@pytest.fixture(autouse=True)
def undrawn(monkeypatch, request):
    """The pages take longer than these trainings: only tests that look at them draw any; the quick pass draws them once."""
    if "figures" not in request.keywords:
        monkeypatch.setattr("lab.output.reproduction_pages.write_pages", lambda *arguments: None)


def verify_nothing(patch):
    """Every gradient passes, which saves time where other tests verify it. Returns the settings that would be verified."""
    verified = []

    def verify(settings, *others):
        verified.append(settings)
        return SimpleNamespace(verdict="pass")

    patch.setattr("lab.reports.training_task.verify_first_batch", verify)
    return verified


@pytest.fixture(scope="module")
def quick(tmp_path_factory, drawn_once):
    """The folder of a quick pass of everything, and what was printed."""
    folder = tmp_path_factory.mktemp("quick")
    with pytest.MonkeyPatch.context() as patch, open(folder / "out", "w+") as out:
        verify_nothing(patch)
        patch.setattr("lab.output.reproduction_figures.write_png", lambda figure, path: path.write_bytes(b"drawn"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "argv", ["reproduce.py"])
        assert reproduce.main(["--quick", "--jobs", "1", "--results", str(folder)]) == 0
        out.seek(0)
        return folder, out.read()


def test_quick_pass_of_every_experiment(quick):
    folder, out = quick
    for name, experiment in CATALOGUE.experiments.items():
        runs = contents(folder, name)["runs"]
        twins = ["manual", "torch"] if experiment.trains else ["both"]
        assert [(run["column"], run["implementation"]) for run in runs] == [(c, t) for c in experiment.columns for t in twins]
        assert f"\n{name} " in out
    # Twenty updates, and both twins on the same path.
    by_hand, torch = contents(folder, "004-9l-bn")["runs"][:2]
    assert by_hand["rows"]["update"] == [0, 10, 20]
    assert by_hand["rows"]["train"]["loss"] == pytest.approx(torch["rows"]["train"]["loss"], rel=1e-3)
    assert by_hand["command"] == "python reproduce.py --quick 004-9l-bn"
    assert {"README.md", "index.html", "figures"} <= {path.name for path in folder.iterdir()}
    assert {path.stem for path in (folder / "figures").iterdir()} == {figure.name for figure in CATALOGUE.figures}
    assert not (folder / ".unfinished").exists()
    assert "W1" in contents(folder, "002-s1")["runs"][0]
    assert "W1" not in contents(folder, "003-bonus1-1")["runs"][0]


def test_report_checks(quick):
    """Report 000's own protocol, a one-sided difference over 2h, fails at 1e-6 for a correct gradient; a central one passes."""
    central, one_sided = contents(quick[0], "000-gradcheck")["runs"]
    assert central["measured"] == {"allclose, atol 1e-5": True, "allclose, atol 1e-6": True}
    assert one_sided["measured"] == {"allclose, atol 1e-5": True, "allclose, atol 1e-6": False}
    for name in CATALOGUE.experiments:
        if "gradcheck" in name:
            assert all(run["verdict"] == "pass" and run["pass"] == run["entries"] for run in contents(quick[0], name)["runs"])


def test_finished_runs_are_kept_until_their_settings_change(quick, monkeypatch, capsys, tmp_path):
    folder = tmp_path
    shutil.copy(quick[0] / "000-fig3.json", folder)
    arguments = ("--quick", "000-fig3", "--jobs", 1, "--results", folder)
    before = (folder / "000-fig3.json").read_text()
    trained, train = [], StackedTraining.train

    def recorded_train(self, *others):
        trained.append([(settings.lam, settings.implementation) for settings in self.candidates])
        return train(self, *others)

    monkeypatch.setattr(StackedTraining, "train", recorded_train)
    assert call(reproduce.main, capsys, *arguments)[0] == 0
    assert not trained
    assert (folder / "000-fig3.json").read_text() == before
    # Another lambda in the file of a finished run: that run alone is done again.
    content = json.loads(before)
    content["runs"][1]["settings"]["lam"] = 0.5
    (folder / "000-fig3.json").write_text(json.dumps(content))
    assert call(reproduce.main, capsys, *arguments)[0] == 0
    assert trained == [[(0.01, "torch")]]
    assert contents(folder, "000-fig3") == contents(quick[0], "000-fig3")


def test_what_was_stopped_goes_on_where_it_was(quick, monkeypatch, capsys, tmp_path):
    arguments = ("--quick", "004-3l-bn", "004-sens-0.1-bn", "--jobs", 1, "--results", tmp_path)
    calls = []

    @contextmanager
    def after_some():
        yield lambda: calls.append(1) or len(calls) > 16

    with monkeypatch.context() as patch:
        patch.setattr("lab.cli.session.interruptible", after_some)
        code, out, err = call(reproduce.main, capsys, *arguments)
    assert (code, out) == (130, "")
    assert "stopped; what is finished is kept" in err
    (unfinished,) = (tmp_path / ".unfinished").iterdir()
    begun, stack = [], StackedTraining.resume

    def resumed(self, checkpoint):
        stack(self, checkpoint)
        begun.append(self.update)

    monkeypatch.setattr(StackedTraining, "resume", resumed)
    assert call(reproduce.main, capsys, *arguments)[0] == 0
    assert len(begun) == 1
    assert 10 < begun[0] < 20
    assert not unfinished.exists()
    whole = tmp_path / "whole"
    assert call(reproduce.main, capsys, *arguments[:-1], whole)[0] == 0
    for name in ("004-3l-bn", "004-sens-0.1-bn"):
        assert contents(tmp_path, name) == contents(whole, name)


def wrong_linear(monkeypatch):
    right = layers.linear_backward
    monkeypatch.setattr(layers, "linear_backward", lambda *a: [1.1 * right(*a)[0], right(*a)[1]])


def wrong_penalty(monkeypatch):
    """Report 000's bug. It does not show at lambda 0, where the first of these trainings is."""
    right = losses.l2_penalty_backward
    monkeypatch.setattr(losses, "l2_penalty_backward", lambda W, lam, out=None: right(W, lam / 2, out))


@pytest.mark.parametrize("plant", [wrong_linear, wrong_penalty])
def test_a_wrong_gradient_is_not_trained(monkeypatch, capsys, tmp_path, plant):
    plant(monkeypatch)
    code, out, err = call(reproduce.main, capsys, "--quick", "002-s2", "002-s3", "--jobs", 1, "--results", tmp_path)
    assert code == 1
    assert "W1" in out
    assert "FAIL" in out
    assert err.endswith("one-layer is not trained: its gradient is wrong\n")
    assert not (tmp_path / "002-s3.json").exists()


def test_what_no_longer_fits_goes_when_its_successor_comes(monkeypatch, capsys, tmp_path):
    """Seeds and twins that are not asked for now must not stay with settings of yesterday."""
    arguments = ("--quick", "002-s1", "--jobs", 1, "--results", tmp_path)
    assert call(reproduce.main, capsys, *arguments, "--seeds", 2)[0] == 0
    experiment = CATALOGUE.experiments["002-s1"]
    changed = replace(experiment, columns={"specified": replace(experiment.columns["specified"], lam=0.5)})
    changed_catalogue = replace(CATALOGUE, experiments=CATALOGUE.experiments | {"002-s1": changed})
    monkeypatch.setattr(reproduce, "read_catalogue", lambda: changed_catalogue)
    assert call(reproduce.main, capsys, *arguments, "--implementation", "manual")[0] == 0
    found = [(run["implementation"], run["seed"], run["settings"]["lam"]) for run in contents(tmp_path, "002-s1")["runs"]]
    assert found == [("manual", 0, 0.5)]


def test_results_on_other_images_are_left_alone(quick, capsys):
    before = (quick[0] / "002-s1.json").read_text()
    code, _, err = call(reproduce.main, capsys, "002-s1", "--results", quick[0])
    assert code == 2
    assert "holds runs on synthetic images, not cifar10; name another folder with --results" in err
    assert (quick[0] / "002-s1.json").read_text() == before


@pytest.mark.figures
def test_pages_of_one_twin_and_another_seed(capsys, tmp_path):
    names = ("002-s1", "003-bonus4", "000-fig3")
    for twin, seed in (("torch", 0), ("manual", 3)):
        options = ("--quick", *names, "--implementation", twin, "--seed", seed, "--jobs", 1, "--results", tmp_path / twin)
        assert call(reproduce.main, capsys, *options)[0] == 0
        drawn = {path.stem for path in (tmp_path / twin / "figures").iterdir()}
        assert {"003-probability", "000-fig3"} <= drawn
        assert ("002-weights" in drawn) == (twin == "manual")


def test_list(quick, capsys, tmp_path):
    code, out, _ = call(reproduce.main, capsys, "--list", "--quick", "000", "--results", quick[0])
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("000-fig4")]
    assert line.split()[-4:] == ["3", "4", "of", "4"]
    _, out, _ = call(reproduce.main, capsys, "--list", "--quick", "000-fig4", "--seeds", 2, "--results", tmp_path)
    assert out.splitlines()[-1].split()[-3:] == ["0", "of", "8"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("005",), "unknown experiment '005'; a report (000, 001, 002, 003, 004), a name of --list, or a part of one"),
        (("--quick", "--data", "cifar10"), "--quick trains on synthetic images; drop --data"),
        (("--pages", "000"), "--pages writes the pages of all that is there; name no experiment"),
        (("--pages", "--results", "nowhere"), "nowhere holds no results; run without --pages to make them"),
        (("--pages", "--list"), "--list and --pages are two commands; give one"),
        (("--seeds", "0"), "argument --seeds: '0' is not an integer from 1 to 4294967295"),
        (("000-fig3", "--data-dir", "README.md"), "README.md is not a folder"),
    ],
)
def test_wrong_arguments(capsys, tmp_path, arguments, message):
    given = arguments if "--results" in arguments or "--list" in arguments else (*arguments, "--results", tmp_path, "--jobs", 1)
    code, out, err = call(reproduce.main, capsys, *given)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_damaged_file_is_named(capsys, tmp_path):
    (tmp_path / "000-fig3.json").write_text("{")
    code, _, err = call(reproduce.main, capsys, "--quick", "000-fig3", "--results", tmp_path)
    assert code == 2
    assert "000-fig3.json can't be read" in err


def is_alive(group):
    """Whether any process of a group is there."""
    try:
        os.killpg(group, 0)
        return True
    except ProcessLookupError:
        return False


def test_two_processes_stop_and_go_on(tmp_path):
    """Ctrl-C goes to the command and its processes: no traceback, none left behind, and each goes on where it was."""
    options = ["002-s1", "--data", "synthetic", "--seeds", "1", "--results", str(tmp_path)]
    command = [sys.executable, "reproduce.py", *options, "--jobs", "2"]
    silent = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT, "start_new_session": True}
    # pytest-xdist's workers ignore SIGINT, and children would inherit it.
    restore = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    with subprocess.Popen(command, **silent, preexec_fn=restore) as process:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob(".unfinished/*.safetensors"))) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1].startswith("stopped; what is finished is kept")
    assert "Traceback" not in err
    while is_alive(process.pid):
        assert time.monotonic() < until
        time.sleep(0.05)
    updates = [checkpoint.read(path, StackCheckpoint).update for path in tmp_path.glob(".unfinished/*")]
    assert all(0 < update < 800 for update in updates)
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "Traceback" not in finished.stderr
    by_hand, torch = contents(tmp_path, "002-s1")["runs"]
    assert by_hand["command"].startswith("python train.py one-layer --split small --schedule constant --epochs 40")
    assert by_hand["command"].endswith("--implementation manual --data synthetic")
    assert by_hand["rows"]["update"] == [*range(0, 801, 20)]
    assert by_hand["test"]["loss"] == pytest.approx(torch["test"]["loss"], rel=0.05)
    assert not list(tmp_path.glob(".unfinished/*"))


@pytest.mark.cifar10
def test_the_reports_on_cifar10(capsys, cifar10_dir, tmp_path):
    """Both twins meet what two reports have, in the shortest of their trainings."""
    arguments = ("000-overfit", "002-s2", "--seeds", 1, "--jobs", 1, "--data-dir", cifar10_dir, "--results", tmp_path)
    code, out, _ = call(reproduce.main, capsys, *arguments)
    assert code == 0
    assert "2 of 2 numbers within tolerance as specified, 0 more as run" in out


def test_a_training_reports_how_far_it_is(tmp_path):
    """The work that is reported adds up to what was expected, so that the time left can be told."""
    runs = Request(data="synthetic", quick=True).runs(CATALOGUE.experiments["002-s1"])
    reported = []
    task = TrainingTask((runs[RunKey("specified", "manual", 0)],), ("val",), "cpu", tmp_path / "unfinished")
    task(Worker(reported.append, lambda: False))
    assert sum(reported) == pytest.approx(task.work)


def test_a_process_verifies_a_gradient_once(monkeypatch, capsys, tmp_path):
    """Each network, implementation, dtype and kind of penalty: these have one lambda as specified, one a layer as run."""
    verified = verify_nothing(monkeypatch)
    names = ("000-fig3", "000-fig4", "000-coarse-1")
    assert call(reproduce.main, capsys, "--quick", *names, "--jobs", 1, "--results", tmp_path)[0] == 0
    questions = [(settings.network.name, settings.implementation, isinstance(settings.lam, tuple)) for settings in verified]
    assert sorted(questions) == [("two-layer", twin, per_layer) for twin in ("manual", "torch") for per_layer in (False, True)]
