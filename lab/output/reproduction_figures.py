"""The figures of a reproduction, from its JSON files: the curves of both twins on top of each other, weights, histograms."""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from gradcheck.report.files import write_bytes
from lab.data.class_names import CIFAR10_CLASSES
from lab.output.figures import COLOURS, RIGHT, WRONG, image_bytes
from lab.output.reproduction_text import number_label
from lab.output.training import PARTS
from lab.reports.catalogue import FigureDescription
from lab.reports.result_forms import ExperimentForm, MeasureColumns, Rows, TrainingRun
from lab.reports.verdicts import mean_of, values_by_twin
from networks import IMAGE_SHAPE

PART_COLOURS = dict(zip(PARTS, COLOURS, strict=False))
QUANTITIES = ("cost", "loss", "accuracy")
LAMBDA_STYLES = {
    "specified": ("as specified", COLOURS[0], "-"),
    "as-run": ("as run", COLOURS[2], "--"),
    "what-if": ("what if", COLOURS[3], ":"),
}


def draw(description: FigureDescription, contents: Sequence[ExperimentForm]) -> Figure | None:
    """The figure that is described, of those `contents` whose runs have what it shows; None where none has."""
    drawable = [content for content in contents if has_what_it_takes(description, content)]
    return DRAWINGS[description.kind](drawable, description.column) if drawable else None


def has_what_it_takes(description: FigureDescription, content: ExperimentForm) -> bool:
    """Whether a run of an experiment can be drawn so: one that came to its end, and has weights where they are shown."""
    runs = runs_in(content, description.column).values()
    return any(description.kind != "weights" or "W1" in run for run in runs)


def write_png(figure: Figure, path: Path) -> None:
    """In 256 colours: a third of the size, and no eye sees it."""
    small = io.BytesIO()
    Image.open(io.BytesIO(image_bytes(figure, "png", dpi=100))).convert("RGB").quantize(256).save(small, "png", optimize=True)
    write_bytes(path, small.getvalue())


def runs_in(content: ExperimentForm, column: str) -> dict[str, TrainingRun]:
    """The first run of each twin in a column that came to its end, by twin."""
    runs: dict[str, TrainingRun] = {}
    for run in content["runs"]:
        if run["column"] == column and "diverged" in run and run["diverged"] is None:
            runs.setdefault(run["implementation"], run)
    return runs


def curves(contents: Sequence[ExperimentForm], column: str) -> Figure:
    """Cost, loss and accuracy against updates, a row for each experiment: the NumPy twin as lines, PyTorch's as dots on it."""
    figure = Figure(figsize=(11, 0.6 + 2.7 * len(contents)), layout="constrained")
    panels = figure.subplots(len(contents), 3, squeeze=False)
    for row, content in zip(panels, contents, strict=True):
        for panel, quantity in zip(row, QUANTITIES, strict=True):
            plot_twins(panel, runs_in(content, column), quantity)
        row[0].set_title(experiment_title(content, column), loc="left", fontsize="medium")
    return with_legend(figure, panels)


def experiment_title(content: ExperimentForm, column: str) -> str:
    return f"{content['name']}: {content['title']}{'' if column == 'specified' else ', as run'}"


def losses(contents: Sequence[ExperimentForm], column: str) -> Figure:
    """The loss alone, as small multiples of three a row."""
    rows = -(-len(contents) // 3)
    figure = Figure(figsize=(11, 0.6 + 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
    for panel in panels.flat[len(contents) :]:
        panel.axis("off")
    for panel, content in zip(panels.flat, contents, strict=False):
        plot_twins(panel, runs_in(content, column), "loss")
        panel.set_title(content["title"], loc="left", fontsize="medium")
    return with_legend(figure, panels)


def plot_twins(panel: Axes, runs: dict[str, TrainingRun], quantity: str) -> None:
    """A quantity of every recorded part against updates: the first twin as lines, the second as dots."""
    for k, (twin, run) in enumerate(runs.items()):
        style: dict[str, Any] = {"linewidth": 1.4}
        if k > 0:
            style = {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.8}
        for part, columns in recorded_parts(run["rows"]).items():
            style |= {"color": PART_COLOURS[part], "label": f"{PARTS[part]}, {twin}"}
            panel.plot(run["rows"]["update"], columns[quantity], **style)
    panel.set(xlabel="updates", ylabel=quantity)
    panel.grid(alpha=0.3)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if quantity == "accuracy":
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def recorded_parts(rows: Rows) -> dict[str, MeasureColumns]:
    """The measures of each part that was recorded."""
    columns = {"train": rows.get("train"), "val": rows.get("val"), "test": rows.get("test")}
    return {part: measures for part, measures in columns.items() if measures is not None}


def with_legend(figure: Figure, panels: np.ndarray) -> Figure:
    """The figure with one legend for all of its panels."""
    handles: dict[str, Any] = {}
    for panel in panels.flat:
        handles |= dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=6, frameon=False, fontsize="small")
    return figure


def weights(contents: Sequence[ExperimentForm], column: str) -> Figure:
    """Each row of W1 as an image over its own full range, a row of images for each experiment; the NumPy twin's."""
    figure = Figure(figsize=(11, 1.55 * len(contents)), layout="constrained")
    parts = figure.subfigures(len(contents), 1, squeeze=False)
    for part, content in zip(parts.flat, contents, strict=True):
        run = next(run for run in runs_in(content, column).values() if "W1" in run)
        images = np.frombuffer(base64.b64decode(run["W1"]), np.uint8).reshape(-1, *IMAGE_SHAPE)  # (K, 3, 32, 32)
        names = CIFAR10_CLASSES if run["settings"]["data"] == "cifar10" else range(len(images))
        part.suptitle(experiment_title(content, column), x=0.01, ha="left", fontsize="medium")
        for panel, image, name in zip(part.subplots(1, len(images)), images, names, strict=True):
            panel.imshow(image.transpose(1, 2, 0))
            panel.set_title(name, fontsize=8)
            panel.axis("off")
    return figure


def probability(contents: Sequence[ExperimentForm], column: str) -> Figure:
    """A histogram of the probability of each test image's true class, for right and for wrong answers; the first twin's."""
    figure = Figure(figsize=(1 + 5 * len(contents), 3.6), layout="constrained")
    panels = figure.subplots(1, len(contents), sharey=True, squeeze=False)[0]
    for panel, content in zip(panels, contents, strict=True):
        histogram = next(iter(runs_in(content, column).values()))["probability_of_true_class"]
        edges = np.linspace(0, 1, histogram["bins"] + 1)
        for answer, counts, colour in (("right", histogram["right"], RIGHT), ("wrong", histogram["wrong"], WRONG)):
            label = f"predicted {answer} ({sum(counts):,})"
            panel.stairs(counts, edges, fill=True, alpha=0.5, color=colour, label=label)
        panel.set_title(content["title"], loc="left", fontsize="medium")
        panel.set(xlabel="probability of the true class", xlim=(0, 1))
        panel.legend(frameon=False)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test images")
    return figure


def lambdas(contents: Sequence[ExperimentForm], column: str) -> Figure:
    """The first number of each experiment against lambda: the report's, and ours in every column."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    panel = figure.subplots()
    name = contents[0]["numbers"][0]["name"]
    contents = sorted(contents, key=lambda content: lambda_of(content, column))
    lams = [lambda_of(content, column) for content in contents]
    reported = [content["numbers"][0]["reported"] for content in contents]
    panel.plot(lams, reported, "D", color="black", markersize=5, label="reported")
    for shown, (label, colour, line) in LAMBDA_STYLES.items():
        for twin in ("manual", "torch"):
            values = [values_by_twin(content, name, shown).get(twin) for content in contents]
            means = [mean_of(seeds) if seeds else None for seeds in values]
            points = [(lam, mean) for lam, mean in zip(lams, means, strict=True) if mean is not None]
            style: dict[str, Any] = {"linestyle": line, "linewidth": 1.4}
            if twin == "torch":
                style = {"linestyle": "", "marker": "o", "markersize": 4}
            if points:
                panel.plot(*zip(*points, strict=True), color=colour, label=f"{label}, {twin}", **style)
    panel.set(xlabel="lambda", ylabel=f"{number_label(name, trains=True)}, %", xscale="log")
    panel.grid(alpha=0.3)
    panel.legend(frameon=False, fontsize="small")
    return figure


def lambda_of(content: ExperimentForm, column: str) -> float:
    """Lambda of an experiment whose runs in that column have one for all layers."""
    return next(run["settings"]["lam"] for run in content["runs"] if run["column"] == column)


DRAWINGS: dict[str, Callable[[Sequence[ExperimentForm], str], Figure]] = {
    "curves": curves,
    "losses": losses,
    "weights": weights,
    "probability": probability,
    "lambda": lambdas,
}
