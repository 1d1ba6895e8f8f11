"""What the reports measured: the file of experiments, how a number is read off a run, when it is met, and the pages."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gradcheck.errors import UserError
from lab.output.reproduction import headline, number_rows
from lab.output.reproduction_figures import draw
from lab.output.reproduction_pages import readme, reproduction_html
from lab.reports import measures
from lab.reports.catalogue import Claim
from lab.reports.catalogue_file import read_catalogue
from lab.reports.measures import MEASURES
from lab.reports.numbers import ESCAPED, reported_number, value_of
from lab.reports.request import Request, RunKey
from lab.reports.results import Results
from lab.reports.verdicts import claim_results, count_verdicts, values_by_twin
from lab.training.settings import Settings
from networks import NAMED

ROOT = Path(__file__).parent.parent
CATALOGUE = read_catalogue()
RESULTS = Results(ROOT / "results")


def test_every_number_of_the_reports_is_there():
    assert len(CATALOGUE.experiments) == 73
    assert sum(each.has_bounds for e in CATALOGUE.experiments.values() for each in e.numbers) == 128
    assert {e.report for e in CATALOGUE.experiments.values()} == {"000", "001", "002", "003", "004"}


def test_settings_are_those_of_train():
    fig4 = CATALOGUE.experiments["000-fig4"]
    specified = Settings(NAMED["two-layer"], split="small", init="xavier", lam=0.01, step_size=800, cycles=3)
    assert fig4.columns["specified"] == specified
    as_run = replace(specified, lam=(0.005, 0.01), normalise="each-part", shuffle=False, epochs=50, cycles=None)
    assert fig4.columns["as-run"] == as_run
    command = "python train.py two-layer --split small --init xavier --lam 0.01 --step-size 800 --cycles 3"
    assert fig4.commands["specified"] == command
    bn = CATALOGUE.experiments["004-9l-bn"].columns["as-run"].network
    assert (bn.name, bn.eps, bn.momentum) == ("nine-layer-bn", 2.2e-16, 0.3)


EXPERIMENT = """
[experiment.x]
report = "000"
title = "x"
specified = {{ {specified} }}
reported = {{ {reported} }}
{own}
"""


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"specified": 'network = "three-layers"'}, r"x: unknown network 'three-layers'; choose from"),
        ({"specified": 'network = "two-layer", lambda = 1'}, r"x: unrecognized arguments: --lambda 1"),
        ({"specified": 'network = "two-layer", lam = -1'}, r"x: argument --lam: '-1' is not lambda"),
        ({"reported": '"vall accuracy" = 3'}, r"x: 'vall accuracy': 'vall' is not one of train, val, test"),
        ({"reported": '"val accuracy mean" = 3'}, r"'mean' is not one of final, best, top5, escape"),
        ({"reported": '"val loss" = 3'}, r"x: val loss needs a tolerance-loss, or low and high"),
        ({"reported": '"val accuracy" = { value = "good" }'}, r"x: val accuracy needs a tolerance, or low and high"),
        ({"reported": '"val accuracy" = { size = 3 }'}, r"x: val accuracy: .*not size"),
        (
            {"reported": '"val accuracy best" = 3', "own": 'record = ["train"]'},
            r"best' is taken over the updates: record",
        ),
        ({"own": 'also = { "val accuracy" = "?" }'}, r"x: 'val accuracy' is in reported and in also"),
        ({"own": 'why = { "test accuracy" = "so" }'}, r"x: 'test accuracy' is not one of val accuracy"),
        ({"own": "why = 3"}, r"x: why is not a table"),
        ({"specified": 'network = "two-layer", out = "here"'}, r"x: --out says where a run is kept, not what is trained"),
        ({"own": "colour = 3"}, r"x: 'colour' is not one of "),
        ({"own": "[figure]\nf = 3"}, r"f: 3 is not a table"),
        ({"own": 'like = "a"\n[shared.a]\nlike = "a"'}, r"x: like: there is no \[shared.a\]"),
        (
            {"own": '[figure.f]\nkind = "curves"\ntitle = ""\nexperiments = ["x"]\ncolumn = "run"'},
            r"f: column 'run' is not one of",
        ),
        ({"own": 'like = "y"'}, r"x: like: there is no \[shared.y\]"),
        ({"own": 'record = ["all"]'}, r"x: record: 'all' is not one of train, val, test"),
        ({"own": 'kind = "gradient-check"'}, r"x: a gradient check needs .*images"),
        ({"own": '[claim.c]\ntitle = ""\nnumber = ""\nexperiments = ["z"]\nwithin = 1'}, r"c: there is no experiment z"),
        ({"own": '[figure.f]\nkind = "pie"\ntitle = ""\nexperiments = ["x"]'}, r"f: kind 'pie' is not one of curves"),
        ({"own": "x = ["}, r"can't be read"),
    ],
)
def test_a_file_that_says_what_does_not_exist(tmp_path, parts, message):
    whole = {"specified": 'network = "two-layer"', "reported": '"val accuracy" = 3', "own": ""} | parts
    path = tmp_path / "experiments.toml"
    path.write_text(EXPERIMENT.format(**whole | {"own": f"tolerance = 1\n{whole['own']}"}))
    with pytest.raises(UserError, match=message):
        read_catalogue(path)


def test_choosing():
    def names(*wanted):
        return [each.name for each in CATALOGUE.select(wanted)]

    assert len(names()) == 73
    assert names("004-sens")[0] == "004-sens-0.1-bn"
    assert len(names("gradcheck")) == 6
    assert names("000-fig3", "004-9l-bn") == ["000-fig3", "004-9l-bn"]
    for wrong in ("005", "000-fig", "04"):
        with pytest.raises(UserError, match=f"unknown experiment '{wrong}'"):
            names(wrong)


RUN = {
    "diverged": None,
    "rows": {
        "update": [0, 10, 20],
        "train": {"loss": [2.3, 2.3, 2.0]},
        "val": {"accuracy": [0.1, 0.3, 0.2], "loss": [3, 1, 2]},
    },
    "val": {"accuracy": 0.2, "loss": 2.0},
}


def test_numbers_are_read_off_a_run():
    assert value_of("val accuracy", RUN) == pytest.approx(20)
    assert value_of("val accuracy best", RUN) == pytest.approx(30)
    assert value_of("val loss best", RUN) == 1
    assert value_of("val accuracy top5", RUN | {"rows": {"val": {"accuracy": [0, 1, 2, 3, 4, 5, 6]}}}) == pytest.approx(400)
    assert value_of("train loss escape", RUN) == 20
    assert value_of("train loss escape", RUN | {"rows": {"update": [0], "train": {"loss": [ESCAPED]}}}) == float("inf")
    assert value_of("val accuracy", RUN | {"diverged": 7}) is None


def test_what_a_finished_run_must_be_to_be_kept():
    """It has the settings and the recorded parts that the experiment has today, and images of the same folder."""
    experiment, key = CATALOGUE.experiments["002-s1"], RunKey("specified", "manual", 1)
    request = Request()
    run = {"diverged": None, "settings": request.identity(request.run_settings(experiment, key), 1)}
    run["rows"] = dict.fromkeys(("update", "train", "val", "test"))
    assert request.accepts(experiment, key, run)
    assert not request.accepts(experiment, key, run | {"rows": dict.fromkeys(("update", "train", "val"))})
    assert request.accepts(experiment, key, run | {"rows": {}, "diverged": 7})
    assert not request.accepts(experiment, RunKey("specified", "manual", 2), run)
    assert not request.accepts(experiment, RunKey("what-if", "manual", 1), run)
    here, there = (Request(data="folder", data_dir=folder) for folder in ("here", "there"))
    run["settings"] = here.identity(here.run_settings(experiment, key), 1)
    assert here.accepts(experiment, key, run)
    assert not there.accepts(experiment, key, run)


def test_what_meets_a_number():
    by_tolerance = reported_number("val accuracy", 50.0, {"accuracy": 1.5})
    assert [by_tolerance.is_met_by(v) for v in (48.49, 48.5, 51.5, 51.51, None)] == [False, True, True, False, False]
    assert reported_number("test accuracy", 52.29, {"accuracy": 1.5}).is_met_by(0.5379 * 100)
    assert reported_number("W1", {"value": 4e-7, "high": 1e-6}, {}).is_met_by(2e-8)
    assert not reported_number("W1", {"value": 4e-7, "high": 1e-6}, {}).is_met_by(2e-6)
    assert reported_number("allclose", {"value": False}, {}).is_met_by(False)
    assert not reported_number("allclose", {"value": False}, {}).is_met_by(True)


def experiment_of(specified, as_run=(), why="", tolerance=1.0, data="cifar10"):
    """An experiment whose "val accuracy" is 50, with runs of both twins: the accuracies of its seeds in each column."""
    runs = [
        {"column": column, "implementation": twin, "seed": seed, "diverged": None, "val": {"accuracy": value / 100}, "rows": {}}
        | {"settings": {"data": data}}
        for column, twins in (("specified", specified), ("as-run", as_run))
        for twin, values in zip(("manual", "torch"), twins, strict=False)
        for seed, value in enumerate(values)
    ]
    numbers = [reported_number("val accuracy", 50.0, {"accuracy": tolerance}, why).as_json()]
    columns = ["specified", "as-run"] if as_run else ["specified"]
    about = {"name": "x", "report": "000", "title": "", "trains": True, "doubts": [], "columns": columns}
    return about | {"numbers": numbers, "runs": runs}


def test_a_number_is_met_by_the_mean_of_each_twin():
    def verdict(*arguments, **options):
        return number_rows(experiment_of(*arguments, **options))[0].verdict

    assert verdict([[50], [50.9]]) == "specified"
    assert verdict([[48, 52], [49, 51]]) == "specified"
    assert verdict([[50], [51.1]]) == "open"
    assert verdict([[50], [51.1]], why="so") == "explained"
    assert verdict([[50], [60]], [[50], [50]]) == "as-run"
    assert verdict([[50], [60]], [[50], [60]]) == "open"
    assert verdict([]) == "to come"
    assert number_rows(experiment_of([[48, 52]]))[0].cells["specified"] == {"manual": "50.00 ± 2.83"}


def test_the_headline_counts():
    met, run, why = experiment_of([[50]]), experiment_of([[1]], [[50]]), experiment_of([[1]], why="so")
    assert headline([met, run, why]) == ("1 of 3 numbers within tolerance as specified, 1 more as run, the rest (1) explained")
    assert "1 NOT MET AND NOT EXPLAINED" in headline([met, experiment_of([[1]])])
    assert "1 to come" in headline([met, experiment_of([])])
    assert headline([experiment_of([[50]], data="folder")]).startswith("on folder images, which no report used: 1 of")


def test_a_claim_on_several_experiments():
    claim = Claim("c", "close", "val accuracy", ("a", "b"), within=2.0)
    with_claim = replace(CATALOGUE, claims=(claim,))
    a, b, c = (experiment_of([[value], [value]]) | {"name": name} for name, value in (("a", 50), ("b", 51.5), ("b", 52.5)))
    assert claim_results(with_claim, [a, b]) == [("close", {"manual": pytest.approx(1.5), "torch": pytest.approx(1.5)}, True)]
    assert not claim_results(with_claim, [a, c])[0][2]
    assert claim_results(with_claim, [a]) == []
    assert claim_results(with_claim, [a, b | {"runs": []}]) == []
    one_twin = b | {"runs": [run for run in b["runs"] if run["implementation"] == "torch"]}
    assert claim_results(with_claim, [a, one_twin]) == [("close", {"torch": pytest.approx(1.5)}, True)]
    for run in b["runs"]:
        run["diverged"] = 7
    assert claim_results(with_claim, [a, b]) == [("close", {"manual": None, "torch": None}, False)]


@pytest.mark.parametrize("name", [name for name, each in CATALOGUE.experiments.items() if not each.trains])
def test_measures_have_the_reported_keys(name):
    gradients = {"W1": np.ones((2, 2)), "b1": np.ones(2), "W2": np.ones((2, 2)), "b2": np.ones(2)}
    for check in CATALOGUE.experiments[name].columns.values():
        found = MEASURES[check.measure](gradients, gradients)
        assert {each.name for each in CATALOGUE.experiments[name].numbers} == set(found)


def test_measures_by_hand():
    claimed, numerical = (
        {"W1": np.array([1.0, 0.0]), "b1": np.array([2.0])},
        {"W1": np.array([1.5, 0.0]), "b1": np.array([2.0])},
    )
    assert measures.relative(claimed, numerical) == {"max relative": pytest.approx(0.2)}
    assert measures.relative_by_tensor(claimed, numerical) == {"W1": pytest.approx(0.2), "b1": 0}
    assert measures.relative_to_larger(claimed, numerical) == {"max relative": pytest.approx(1 / 3)}
    found = measures.absolute(claimed, numerical)
    assert [found[f"W {word} error"] for word in ("mean", "std", "max")] == [0.25, 0.25, 0.5]
    assert [found[f"W gradient {word}"] for word in ("min", "max", "std")] == [0, 1, 0.5]
    assert found["b max error"] == 0
    close = measures.allclose({"W1": np.array([1.0])}, {"W1": np.array([1.0 + 5e-6])})
    assert close == {"allclose, atol 1e-5": True, "allclose, atol 1e-6": False}


# What is committed.


def committed():
    return [RESULTS.read(name) for name in CATALOGUE.experiments]


@pytest.mark.parametrize("name", CATALOGUE.experiments)
def test_results_are_whole_and_say_what_the_file_says(name):
    content, experiment = RESULTS.read(name), CATALOGUE.experiments[name]
    assert {key: value for key, value in content.items() if key != "runs"} == json.loads(json.dumps(experiment.description()))
    found = {(run["column"], run["implementation"], run["seed"]) for run in content["runs"]}
    twins = ("manual", "torch") if experiment.trains else ("both",)
    seeds = {column: experiment.seeds if column == "specified" else 1 for column in experiment.columns}
    assert found >= {(column, twin, seed) for column in seeds for twin in twins for seed in range(seeds[column])}


def test_every_number_is_met_or_explained():
    found = count_verdicts(committed())
    assert sum(found.values()) == 128
    assert found["open"] == found["to come"] == 0
    assert all(holds for _, _, holds in claim_results(CATALOGUE, committed()))


@pytest.mark.parametrize(("name", "reported"), [("000-coarse-2", 52.28), ("000-coarse-4", 47.70), ("000-coarse-8", 41.46)])
def test_report_000_comes_back_as_it_was_run(name, reported):
    for values in values_by_twin(RESULTS.read(name), "val accuracy", "as-run").values():
        assert abs(values[0] - reported) <= 0.7


def test_pages_are_those_of_the_results():
    contents = committed()
    figures = [each for each in CATALOGUE.figures if (RESULTS.path / "figures" / f"{each.name}.png").exists()]
    assert figures == list(CATALOGUE.figures)
    assert (RESULTS.path / "README.md").read_text(encoding="utf-8") == readme(contents, CATALOGUE, figures)
    images = {each.name: (RESULTS.path / "figures" / f"{each.name}.png").read_bytes() for each in figures}
    assert (RESULTS.path / "index.html").read_text(encoding="utf-8") == reproduction_html(contents, CATALOGUE, figures, images)


def test_results_are_a_few_megabytes():
    assert sum(path.stat().st_size for path in RESULTS.path.rglob("*") if path.is_file() and ".unf" not in str(path)) < 8e6


def test_the_readme_shows_some_of_it():
    def rows(text):
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
        return {tuple(row[2:10]) for row in cells if len(row) > 9 and re.match(r"\d|order", row[3])}

    readme_of_all = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Five reports again")[2]
    assert headline(committed()) in " ".join(readme_of_all.split())
    assert 10 < len(rows(readme_of_all)) == len(rows(readme_of_all) & rows((RESULTS.path / "README.md").read_text()))


@pytest.mark.parametrize("picture", CATALOGUE.figures, ids=lambda picture: picture.name)
def test_a_figure_shows_both_twins(picture):
    figure = draw(picture, [content for content in committed() if picture.shows(content["name"])])
    labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    labels |= {label for panel in figure.axes for label in panel.get_legend_handles_labels()[1]}
    if picture.kind in ("curves", "losses", "lambda"):
        assert any("manual" in label for label in labels)
        assert any("torch" in label for label in labels)
    else:
        assert figure.axes
