"""The reports' gradient checks, on the synthetic images; and the measures by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import call

import reproduce
from reporting.training import training_table
from reports import measures
from reports.experiments import GRADIENT_CHECKS, TRAININGS

ROOT = Path(__file__).parent.parent


def test_report_checks_run(capsys):
    code, out, _ = call(reproduce.main, capsys, "000-gradcheck", "001-gradcheck", "004-gradcheck-2l", "004-gradcheck-3l")
    assert code == 0
    rows = [line for line in out.splitlines() if line.startswith("| 00")]
    assert [row.split()[1] for row in rows] == ["000-gradcheck", "001-gradcheck", "004-gradcheck-2l", "004-gradcheck-3l"]
    assert all("| pass" in row for row in rows)
    # Report 000's own protocol, a one-sided difference over 2h, fails at 1e-6 for a correct gradient too.
    assert "allclose, atol 1e-5 | True" in out
    assert out.count("False") == 2


def test_data_that_are_too_few(monkeypatch, capsys):
    whole = reproduce.data.load

    def few(*arguments, **options):
        images = whole(*arguments, **options)
        return replace(images, train=images.train._replace(images=images.train.images[:50], labels=images.train.labels[:50]))

    monkeypatch.setattr(reproduce.data, "load", few)
    code, _, err = call(reproduce.main, capsys, "001-gradcheck")
    assert code == 2
    assert err == "command: 001-gradcheck needs 100 training images of at most 10 classes; the data have 50 of 10\n"


def test_unknown_experiment(capsys):
    code, _, err = call(reproduce.main, capsys, "005")
    assert code == 2
    assert "unknown experiment '005'" in err


@pytest.mark.parametrize("experiment", GRADIENT_CHECKS, ids=lambda e: e.name)
def test_measures_have_the_reported_keys(experiment):
    gradients = {"W1": np.ones((2, 2)), "b1": np.ones(2), "W2": np.ones((2, 2)), "b2": np.ones(2)}
    assert list(measures.MEASURES[experiment.measure](gradients, gradients)) == list(experiment.reported)


def test_measures_by_hand():
    hand, numerical = {"W1": np.array([1.0, 0.0]), "b1": np.array([2.0])}, {"W1": np.array([1.5, 0.0]), "b1": np.array([2.0])}
    assert measures.relative(hand, numerical) == {"max relative": "2.00e-01"}
    assert measures.relative_by_tensor(hand, numerical) == {"W1": "2.00e-01", "b1": "0.00e+00"}
    assert measures.relative_to_larger(hand, numerical) == {"max relative": "3.33e-01"}
    found = measures.absolute(hand, numerical)
    assert [found[f"W {word} error"] for word in ("mean", "std", "max")] == ["2.50e-01", "2.50e-01", "5.00e-01"]
    assert [found[f"W gradient {word}"] for word in ("min", "max", "std")] == ["0.00", "1.00", "0.50"]
    assert found["b max error"] == "0.00e+00"
    close = measures.allclose({"W1": np.array([1.0])}, {"W1": np.array([1.0 + 5e-6])})
    assert close == {"allclose, atol 1e-5": "True", "allclose, atol 1e-6": "False"}


def test_the_readme_shows_the_results(capsys):
    code, out, _ = call(reproduce.main, capsys, "--data", "cifar10", "--table", "--results", ROOT / "results")
    assert code == 0
    assert out.count("| yes") == len(TRAININGS)
    assert out in (ROOT / "README.md").read_text()


def shortened(monkeypatch, **settings):
    short = tuple(replace(e, settings=replace(e.settings, updates=4, epochs=None, cycles=None, **settings)) for e in TRAININGS)
    monkeypatch.setattr(reproduce, "TRAININGS", short)


def test_trainings_run_in_both_twins_and_are_kept(monkeypatch, capsys, tmp_path):
    shortened(monkeypatch)
    names = ["000-fig3", "004-9l-bn"]
    code, out, err = call(reproduce.main, capsys, *names, "--results", tmp_path)
    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines()[2:]] == names
    assert "NO: out of range" in out  # after four updates on synthetic images
    assert {path.name for path in (tmp_path / "synthetic").iterdir()} == {
        f"{name}-{twin}" for name in names for twin in ("manual", "torch")
    }

    def fail(*arguments):
        raise AssertionError("a finished training ran again")

    monkeypatch.setattr("training.run.Run.train", fail)
    assert call(reproduce.main, capsys, *names, "--results", tmp_path)[:2] == (0, out)
    shortened(monkeypatch, lam=0.3)
    code, _, err = call(reproduce.main, capsys, "000-fig3", "--results", tmp_path)
    assert code == 2
    assert "000-fig3-manual holds a run with other settings" in err


def test_a_table_of_nothing(capsys, tmp_path):
    code, out, err = call(reproduce.main, capsys, "--table", "--results", tmp_path)
    assert (code, out) == (2, "")
    assert f"no training is finished by both twins in {tmp_path}/synthetic; leave out --table" in err


def test_the_table_says_what_is_wrong():
    experiment = next(e for e in TRAININGS if e.name == "000-fig3")

    def row(manual, torch):
        results = {"manual": {"test": {"accuracy": manual}}, "torch": {"test": {"accuracy": torch}}}
        return training_table([experiment], [results]).splitlines()[-1]

    assert "| yes" in row(0.46, 0.47)
    assert "NO: the twins differ" in row(0.452, 0.465)
    assert "NO: out of range" in row(0.44, 0.444)
    assert len(training_table([experiment], [{"manual": None, "torch": None}]).splitlines()) == 2
