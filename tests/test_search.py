"""search.py: stacks end where single runs do, the board keeps every candidate once, bad input leaves the study alone."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from conftest import call

import manual.mlp
from gradcheck.errors import UserError
from lab import twins
from lab.cli import search
from lab.data.parts import Data, Part
from lab.output import search_folder
from lab.searching import heartbeat
from lab.searching.board import Board, Job, JobOutcome
from lab.searching.plan import SAMPLERS
from lab.searching.points import coarse_points, fine_points
from lab.searching.ranking import Candidate, noise, ranked, within_noise
from lab.searching.search import job_key
from lab.searching.space import Dimension, parse_dimension, settings_at
from lab.searching.storage import open_storage
from lab.training import checkpoint
from lab.training.checkpoint import StackCheckpoint
from lab.training.run import Run, load_images, resolve_settings
from lab.training.run_folder import RunFolder
from lab.training.settings import Settings
from lab.training.stacked import StackedTraining, stacking_key
from manual import losses
from networks import NAMED, Network, initial_state

ROOT = Path(__file__).parent.parent
TINY = ("--hidden", "4", "--step-size", "4", "--cycles", "1", "--final-cycles", "1", "--split", "small", "--verify", "off")


pytestmark = pytest.mark.usefixtures("drawn_once")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch, request):
    """Figures take longer than these searches: only tests that look at them draw any."""
    if "figures" not in request.keywords:
        monkeypatch.setattr(search_folder, "FIGURES", {})
        monkeypatch.setattr(search_folder, "search_html", lambda result, command: "")


def fewer(images):
    """A thousand images to train on, two hundred for each of the other parts."""
    parts = {
        name: Part(*(array[:n] for array in getattr(images, name)))
        for name, n in (("train", 1000), ("val", 200), ("test", 200))
    }
    return replace(images, **parts)


def small_images(n=300):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 10, n)
    drawn = (40 * rng.random((n, 3072)) + 8 * labels[:, None] + 40 * (np.arange(3072) % 10 == labels[:, None])).astype(np.uint8)
    parts = [Part(drawn[at], labels[at]) for at in (slice(0, 200), slice(200, 250), slice(250, None))]
    return Data(*parts, tuple("abcdefghij"), drawn[:250], 200)


IMAGES = small_images()


@pytest.mark.parametrize("implementation", ["manual", "torch"])
@pytest.mark.parametrize("name", NAMED)
def test_each_candidate_ends_where_it_would_have_ended_alone(tmp_path, name, implementation):
    """Lambda, its layers, the learning rate and the initial weights of each its own; 200 updates in float64."""
    images = fewer(load_images(Settings(NAMED[name])))
    base = Settings(NAMED[name], implementation, step_size=100, cycles=1, record_every=100, dtype="float64", augment="flip")
    base = resolve_settings(base, images)
    own = [(0.005, 0.1, "he"), (0.0, 0.05, "xavier"), (tuple(0.01 * k for k in range(NAMED[name].depth)), 0.02, "0.05")]
    candidates = [replace(base, lam=lam, lr_max=lr_max, init=init) for lam, lr_max, init in own]
    assert len({stacking_key(settings) for settings in candidates}) == 1
    stacked = StackedTraining(candidates, "cpu")
    rows = list(stacked.train(stacked.to_device(images), lambda: None, lambda: False))
    assert [row["update"] for row in rows] == [0, 100, 200]
    for k, (settings, state, result) in enumerate(zip(candidates, stacked.stack.states(), stacked.results(), strict=True)):
        if implementation == "torch" and k == 0:
            continue  # one of the two takes long enough
        folder = RunFolder(tmp_path / str(k))
        folder.write_settings(settings)
        alone = list(Run(settings, images, folder, "cpu").train(lambda lr, loss: None, lambda: False))
        expected = folder.read_checkpoint().states[implementation]
        for tensor, array in state.items():
            assert np.abs(array - expected[tensor]).max() <= 1e-9 * max(1, np.abs(expected[tensor]).max()), tensor
        assert result["val"]["accuracy"] == alone[-1]["val"]["accuracy"]
        assert result["train"]["cost"] == pytest.approx(alone[-1]["train"]["cost"], rel=1e-9)
        assert [row["val"]["loss"] for row in result["rows"]] == pytest.approx([row["val"]["loss"] for row in alone], rel=1e-9)


@pytest.mark.parametrize("implementation", ["manual", "torch"])
def test_a_stack_goes_on_from_its_checkpoint(tmp_path, implementation):
    """Stopped in the middle of an epoch, after one of the candidates has diverged: the rest is bit for bit the same."""
    base = Settings(NAMED["three-layer-bn"], implementation, batch_size=20, step_size=10, cycles=2, augment="flip")
    candidates = [replace(resolve_settings(base, IMAGES), lam=lam) for lam in (0.01, 1e4)]
    whole, half, rest, other = (
        StackedTraining(each, "cpu", ("train", "val")) for each in (candidates, candidates, candidates, candidates[:1])
    )
    parts = whole.to_device(IMAGES, ("train", "val", "test"))
    list(whole.train(parts, lambda: None, lambda: False))
    list(half.train(parts, lambda: None, lambda: half.update == 17))
    checkpoint.write(tmp_path / "stack", half.checkpoint())
    rest.resume(checkpoint.read(tmp_path / "stack", StackCheckpoint))
    assert (rest.update, rest.ended, rest.diverged[0]) == (17, False, None)
    list(rest.train(parts, lambda: None, lambda: False))
    without = [[{k: v for k, v in result.items() if k != "seconds"} for result in each.results()] for each in (whole, rest)]
    assert without[0] == without[1]
    assert without[0][0]["test"]["accuracy"] > 0
    assert without[0][1]["test"] is None
    with pytest.raises(UserError, match="of other candidates"):
        other.resume(checkpoint.read(tmp_path / "stack", StackCheckpoint))


@pytest.mark.parametrize("implementation", ["manual", "torch"])
def test_one_candidate_that_diverges_leaves_the_others_as_they_are(implementation):
    base = Settings(NAMED["three-layer-bn"], implementation, batch_size=20, step_size=10, cycles=1, dtype="float64")
    base = resolve_settings(base, IMAGES)
    found = []
    for lams in ((0.01, 1e4), (0.01,)):
        stacked = StackedTraining([replace(base, lam=lam) for lam in lams], "cpu")
        list(stacked.train(stacked.to_device(IMAGES), lambda: None, lambda: False))
        found.append(stacked.results())
    assert found[0][1]["diverged"] is not None
    assert found[0][1]["val"] is None
    assert found[0][0]["val"]["loss"] == pytest.approx(found[1][0]["val"]["loss"], rel=1e-9)


def test_a_stack_wants_the_state_of_its_network():
    wrong = initial_state(NAMED["one-layer"]) | {"W1": np.zeros((10, 5))}
    with pytest.raises(UserError, match="W1: shape"):
        twins.training_stack("manual", NAMED["one-layer"], [initial_state(NAMED["one-layer"]), wrong])


# What is tried.


def test_the_coarse_grid_is_that_of_the_reports():
    points = coarse_points([Dimension("lambda", 1e-5, 1e-1, False)], 8, seed=0)
    assert [point["lambda"] for point in points] == pytest.approx(np.linspace(1e-5, 1e-1, 8))
    points = coarse_points([Dimension("lambda", 1e-5, 1e-1, True)], 8, seed=0)
    assert [point["lambda"] for point in points] == pytest.approx(10 ** np.linspace(-5, -1, 8))


def test_every_dimension_of_the_coarse_round_covers_its_range():
    space = [Dimension("lambda", 1e-4, 1e-2, True), Dimension("width", 10, 80, False), Dimension("lr_max", 0.01, 1, True)]
    points = coarse_points(space, 8, seed=1)
    assert points == coarse_points(space, 8, seed=1) != coarse_points(space, 8, seed=2)
    assert sorted(point["width"] for point in points) == list(range(10, 81, 10))
    assert sorted(point["lr_max"] for point in points) == pytest.approx(10 ** np.linspace(-2, 0, 8))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_fine_round_lies_in_the_range_of_the_best_three(sampler):
    space = [Dimension("lambda", 1e-5, 1e-1, True)]
    tried = [(point, -abs(np.log10(point["lambda"]) + 3.1)) for point in coarse_points(space, 8, 0)] + [
        ({"lambda": 1e-4}, None)
    ]
    points = fine_points(space, 8, sampler, tried, seed=0)
    assert all(10 ** (-5 + 4 / 7 * 2) * 0.999 <= point["lambda"] <= 10 ** (-5 + 4 / 7 * 4) * 1.001 for point in points)
    assert len({point["lambda"] for point in points}) == 8
    assert points == fine_points(space, 8, sampler, tried, seed=0)


def test_fine_values_are_uniform_in_the_logarithm():
    space = [Dimension("lambda", 1e-5, 1e-1, True)]
    points = fine_points(space, 2000, "random", [({"lambda": low}, 1.0) for low in (1e-5, 1e-3, 1e-1)], seed=0)
    logs = np.log10([point["lambda"] for point in points])
    assert np.histogram(logs, 4, (-5, -1))[0] == pytest.approx([500] * 4, abs=80)


def test_a_point_becomes_settings():
    base = Settings(Network("two-layer", (50,)))
    point = {"lambda": 0.01, "width": 7, "depth": 4, "n_s": 90, "lr_max": 0.3, "init": 0.02}
    settings = settings_at(base, point, layer_factors=(1, 2, 3, 4))
    assert settings.network.hidden == (7, 7, 7)
    assert settings.lam == pytest.approx((0.01, 0.02, 0.03, 0.04))
    assert (settings.step_size, settings.lr_max, settings.init) == (90, 0.3, "0.02")
    with pytest.raises(UserError, match="there is no hidden layer"):
        settings_at(Settings(NAMED["one-layer"]), {"width": 7}, ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr_max=0.1", "no range"),
        ("lr_max=0.1..", "no range"),
        ("lr_max=a..b", "no range"),
        ("lr_max=0.1..0.2:lin", "no range"),
        ("lr_max=0.3..0.1", "low end is above"),
        ("lr_max=0.1..0.1", "one value"),
        ("lr_max=0..0.1", "over 0"),
        ("lambda=0..0.1:log", "over 0"),
        ("width=0..4", "at least 1"),
        ("width=1.5..4", "is an integer"),
        ("lr_max=0.1..inf", "finite"),
        ("momentum=0.1..0.2", "can't be varied"),
    ],
)
def test_what_is_not_a_range(text, words):
    with pytest.raises(UserError, match=words):
        parse_dimension(text)


# Who is best.


def candidate(*accuracies, diverged=None):
    results = [{"val": {"accuracy": a}, "diverged": None} for a in accuracies]
    if diverged is not None:
        results.append({"val": None, "diverged": diverged})
    return Candidate("coarse", {"lambda": 0.1}, tuple(results))


def test_what_is_within_the_noise_of_the_best():
    best, near, far, lost = candidate(0.52), candidate(0.51), candidate(0.49), candidate(diverged=7)
    assert ranked([lost, far, near, best]) == [best, near, far, lost]
    assert within_noise([lost, far, near, best]) == [near]  # 2 * 0.45 * sqrt(2) = 1.27 points


def test_seeds_measure_their_own_noise():
    best, near, far = candidate(0.520, 0.522), candidate(0.519, 0.521), candidate(0.510, 0.512)
    assert noise([best, near, far]) == pytest.approx(np.std([0.520, 0.522], ddof=1))
    assert within_noise([best, near, far]) == [near]
    assert candidate(0.5, 0.6, diverged=3).mean is None


# The board.


@pytest.fixture(params=["sqlite:///{}/study.db", "journal:{}/study.log"])
def storage(request, tmp_path):
    return open_storage(request.param.format(tmp_path))


JOBS = [Job(f"job-{k}", {}, {}) for k in range(4)]
KEYS = {job.key for job in JOBS}


def test_jobs_posted_twice_are_done_once(storage, monkeypatch):
    one, other = Board(storage, "study", {}), Board(storage, "study", {})
    one.post(JOBS)
    with monkeypatch.context() as patch:
        patch.setattr(other, "holders", dict)
        other.post(JOBS)
    first, second = one.claim(KEYS, 3, lambda key: 0), other.claim(KEYS, 8, lambda key: 0)
    assert (len(first), len(second)) == (3, 1)
    assert first.keys() | second.keys() == KEYS
    for board, claimed in ((one, first), (other, second)):
        for name, trial_id in claimed.items():
            board.finish(trial_id, JobOutcome(0.5, {"by": name}))
    assert one.results() == {name: {"by": name} for name in KEYS}
    one.post(JOBS)
    assert one.claim(KEYS, 8, lambda key: 0) == {}


def test_jobs_that_are_claimed_at_once_are_of_one_group(storage):
    board = Board(storage, "study", {})
    board.post(JOBS)
    assert list(board.claim(KEYS, 8, lambda key: int(key[-1]) % 2)) == ["job-0", "job-2"]


def test_a_silent_worker_loses_its_jobs_and_its_result_comes_too_late(storage, monkeypatch):
    one, other = Board(storage, "study", {}), Board(storage, "study", {})
    one.post(JOBS)
    lost = other.claim(KEYS, 8, lambda key: 0)
    with other.heartbeat():
        time.sleep(0.3)
        assert one.release_lost(KEYS) == []
    monkeypatch.setattr(heartbeat, "LOST_AFTER", 0.2)
    assert one.release_lost(KEYS) == []
    time.sleep(0.3)
    assert set(one.release_lost(KEYS)) == KEYS
    one.post(JOBS)
    again = one.claim(KEYS, 8, lambda key: 0)
    assert again.keys() == KEYS
    other.finish(lost["job-0"], JobOutcome(0.1, {"by": "other"}))
    one.finish(again["job-0"], JobOutcome(0.2, {"by": "one"}))
    assert one.results() == {"job-0": {"by": "one"}}


def test_a_worker_on_this_machine_is_known_to_be_dead_at_once():
    sign = {"beat": 1, "where": heartbeat.process_space()}
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert heartbeat.process_is_gone(sign | {"pid": process.pid})
    assert not heartbeat.process_is_gone(sign | {"pid": os.getpid()})
    assert not heartbeat.process_is_gone(sign | {"pid": process.pid, "where": "elsewhere"})


# The command.


def searched(capsys, *arguments):
    code, out, err = call(search.main, capsys, *TINY, *arguments)
    assert code == 0, err
    return out


@pytest.mark.figures
def test_a_search_from_coarse_to_the_test(capsys, tmp_path):
    out = searched(capsys, "--out", tmp_path, "--seeds", "2", "--coarse", "4", "--fine", "3")
    result = json.loads((tmp_path / "search.json").read_text())
    assert [each["stage"] for each in result["candidates"]] == ["coarse"] * 4 + ["fine"] * 3
    means = [each["mean"] for each in result["candidates"]]
    assert means[result["best"]] == max(means)
    assert all(len(each["accuracies"]) == 2 for each in result["candidates"])
    final = json.loads((tmp_path / "final" / "result.json").read_text())
    assert result["final"]["test"] == final["test"]
    config = RunFolder(tmp_path / "final").settings()
    assert config.lam == result["candidates"][result["best"]]["point"]["lambda"]
    assert (config.split, config.cycles) == ("49000", 1)
    assert "measured once" in out
    for name in ("search.png", "curves.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    study = optuna.load_study(study_name="search-4", storage=f"sqlite:///{tmp_path}/study.db")
    assert len([trial for trial in study.trials if "key" in trial.user_attrs]) == 14
    assert study.best_value == max(a for each in result["candidates"] for a in each["accuracies"])
    assert len({trial.user_attrs["key"] for trial in study.trials if "key" in trial.user_attrs}) == 14
    again = searched(capsys, "--out", tmp_path, "--seeds", "2", "--coarse", "4", "--fine", "3")
    assert again.splitlines()[-4:] == out.splitlines()[-4:]
    assert len(study.get_trials()) == len(study.trials) == 16  # two say what the settings and the fine points are


def test_other_dimensions(capsys, tmp_path):
    searched(capsys, "--out", tmp_path, "--coarse", "3", "--fine", "2", "--vary", "width=2..6", "--vary", "n_s=3..4",
             "--vary", "lr_max=0.01..0.1:log", "--vary", "init=0.01..0.1", "--vary", "depth=2..3",
             "--sampler", "tpe")  # fmt: skip
    result = json.loads((tmp_path / "search.json").read_text())
    points = [each["point"] for each in result["candidates"]]
    assert len(points) == 5
    assert {point["width"] for point in points[:3]} == {2, 4, 6}
    assert all(isinstance(point["width"], int) and 0.01 <= point["lr_max"] <= 0.1 for point in points)


def test_lambda_may_stay_where_it_is(capsys, tmp_path):
    searched(capsys, "--out", tmp_path, "--lam", "0.01", "--vary", "lr_max=0.01..0.1:log", "--coarse", "2", "--fine", "0",
             "--per-layer", "0.5,1")  # fmt: skip
    assert RunFolder(tmp_path / "final").settings().lam == (0.005, 0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--lam", "0.1..0.1"), "one value"),
        (("--lam", "0.1..0.01"), "low end is above"),
        (("--lam", "0..0.1"), "over 0"),
        (("--lam", "0.1"), "nothing to search"),
        (("--lam", ".."), "no range"),
        (("--coarse", "1"), "integer from 2"),
        (("--vary", "lambda=1e-3..1e-2"), "varied twice"),
        (("--vary", "depth=1..3", "--per-layer", "1,1"), "lambda has 2 values"),
        (("--storage", "sqlite:///missing/study.db"), "can't be opened"),
        (("--storage", "postgresql://nobody@127.0.0.1:1/none"), "can't be opened"),
        (("--storage", "nonsense"), "can't be opened"),
        (("--batch-size", "100000"), "does not fit"),
    ],
)
def test_bad_input_is_one_line(capsys, monkeypatch, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(search.main, capsys, *TINY, "--out", tmp_path, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert words in err


def test_a_study_of_other_settings_is_left_untouched(capsys, tmp_path):
    few = ("--out", tmp_path, "--coarse", "2", "--fine", "0")
    searched(capsys, *few)
    before = (tmp_path / "study.db").read_bytes()
    for other in (("--batch-size", "50"), ("--lam", "1e-4..1e-1"), ("--seeds", "2"), ("--implementation", "torch")):
        code, _, err = call(search.main, capsys, *TINY, *few, *other)
        assert (code, err.count("\n")) == (2, 1)
        assert "was made with other settings" in err
    assert (tmp_path / "study.db").read_bytes() == before
    optuna.create_study(study_name="foreign", storage=f"sqlite:///{tmp_path}/study.db").enqueue_trial({"x": 1})
    foreign = ("--study", "foreign", "--storage", f"sqlite:///{tmp_path}/study.db")
    code, _, err = call(search.main, capsys, *TINY, *few, *foreign)
    assert (code, err.count("\n")) == (2, 1)
    assert "holds the search of the study search-4" in err
    code, _, err = call(search.main, capsys, *TINY, *few, *foreign, "--out", tmp_path / "other")
    assert code == 2
    assert "was not made by search.py" in err


def test_a_network_with_a_wrong_gradient_is_not_searched(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(losses, "l2_penalty_backward", lambda W, lam_l, out: np.multiply(W, lam_l, out=out))
    code, out, err = call(search.main, capsys, *TINY, "--verify", "subset", "--out", tmp_path)
    assert code == 1
    assert "fail: 4 W1, 100 of 12,288 entries" in out
    assert err == "4 is not searched: its gradient is wrong\n"
    assert states(tmp_path / "study.db") == []


def test_a_stack_that_is_wrong_is_not_searched(monkeypatch, capsys, tmp_path):
    """A single network has the right gradient, and takes the right updates."""
    original = manual.mlp.sgd_step

    def rates_of_the_first(parameters, gradients, lr):
        original(parameters, gradients, np.full_like(lr, lr[0]) if np.ndim(lr) else lr)

    monkeypatch.setattr(manual.mlp, "sgd_step", rates_of_the_first)
    code, out, _ = call(search.main, capsys, *TINY, "--verify", "subset", "--together", "3", "--out", tmp_path)
    assert code == 1
    assert "an update of the stack of 3 manual twins does not move W1 by lr times its gradient" in " ".join(out.split())
    assert states(tmp_path / "study.db") == []


def claims(url, barrier, found):
    board = Board(open_storage(url), "study", {})
    barrier.wait()
    found.put(list(board.claim(KEYS, 1, str)))


def test_workers_that_claim_at_the_same_moment_claim_different_jobs(tmp_path):
    """Also the first to open a database, all at once."""
    url, context = f"sqlite:///{tmp_path}/study.db", multiprocessing.get_context("fork")
    Board(open_storage(url), "study", {}).post(JOBS)
    barrier, found = context.Barrier(len(JOBS)), context.Queue()
    workers = [context.Process(target=claims, args=(url, barrier, found)) for _ in JOBS]
    for worker in workers:
        worker.start()
    claimed = [key for _ in workers for key in found.get(timeout=60)]
    for worker in workers:
        worker.join()
    assert len(claimed) == len(set(claimed)) > 1


def start(*arguments):
    restore = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    command = [sys.executable, ROOT / "search.py", *map(str, (*TINY, *arguments))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=restore, cwd=ROOT)


def states(path):
    """(key, state) of every trial of the study, none while there is no study."""
    try:
        study = optuna.load_study(study_name="search-4", storage=f"sqlite:///{path}")
        trials = [trial for trial in study.get_trials(deepcopy=False) if "key" in trial.user_attrs]
        return [(trial.user_attrs["key"], trial.state.name) for trial in trials]
    except Exception:
        return []


def wait_for(condition, *processes):
    until = time.monotonic() + 120
    while not condition():
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        assert time.monotonic() < until
        time.sleep(0.02)


def test_two_workers_and_a_kill_finish_every_candidate_once(tmp_path):
    """One of two workers is killed while it trains: the other takes up what it had, and nothing is done twice."""
    path = tmp_path / "study.db"
    options = ("--storage", f"sqlite:///{path}", "--together", "2", "--seeds", "2", "--coarse", "4", "--fine", "2")
    options += ("--step-size", "300")
    workers = [start(*options, "--out", tmp_path / str(k)) for k in range(2)]
    wait_for(lambda: sum(state == "RUNNING" for _, state in states(path)) == 4, *workers)
    study = optuna.load_study(study_name="search-4", storage=f"sqlite:///{path}")
    signs = {sign["pid"]: name for name, sign in study.user_attrs.items() if name.startswith("worker:")}
    victim = signs[workers[0].pid].removeprefix("worker:")
    workers[0].kill()
    workers[0].communicate()
    had = [t for t in study.get_trials(states=[optuna.trial.TrialState.RUNNING]) if t.user_attrs.get("worker") == victim]
    out, err = workers[1].communicate(timeout=300)
    assert (workers[1].returncode, err) == (0, "")
    finished = [key for key, state in states(path) if state == "COMPLETE"]
    expected = {job_key(stage, k, seed) for stage, n in (("coarse", 4), ("fine", 2)) for k in range(n) for seed in range(2)}
    assert len(finished) == len(expected) == 12
    assert set(finished) == expected
    assert had, "the victim held no candidate when it was killed"
    assert {state for _, state in states(path)} == {"COMPLETE", "FAIL"}
    assert "measured once" in out


def test_ctrl_c_gives_back_and_the_same_command_goes_on(capsys, tmp_path):
    path = tmp_path / "study.db"
    options = ("--coarse", "3", "--fine", "0", "--out", tmp_path, "--step-size", "3000", "--together", "1")
    process = start(*options)
    wait_for(lambda: "RUNNING" in {state for _, state in states(path)}, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert re.search(r"go on with: python \S*search.py --hidden 4", err)
    assert "RUNNING" not in {state for _, state in states(path)}
