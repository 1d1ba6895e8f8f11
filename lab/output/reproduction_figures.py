"""The figures of a reproduction, from its JSON files: the curves of both twins on top of each other, weights, histograms."""

import base64
import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from gradcheck.report.files import write_bytes
from lab.data.class_names import CIFAR10_CLASSES
from lab.output.figures import COLOURS, RIGHT, WRONG
from lab.output.reproduction import in_words, measured
from networks import IMAGE_SHAPE

PARTS = {"train": ("training", COLOURS[0]), "val": ("validation", COLOURS[1]), "test": ("test", COLOURS[2])}
QUANTITIES = ("cost", "loss", "accuracy")
LAMBDA_STYLES = {
    "specified": ("as specified", COLOURS[0], "-"),
    "as-run": ("as run", COLOURS[2], "--"),
    "what-if": ("what if", COLOURS[3], ":"),
}


def draw(picture, contents):
    """The figure that `picture` of the catalogue asks for, of `contents`, the dicts of its experiments; None if runs lack."""
    needed = NEEDED.get(picture.kind, set())
    chosen = [each for each in contents if any(needed <= run.keys() for run in runs_in(each, picture.column).values())]
    return KINDS[picture.kind](chosen, picture.column) if chosen else None


def write_png(figure, path):
    """In 256 colours: a third of the size, and no eye sees it."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=100)
    Image.open(drawn).convert("RGB").quantize(256).save(small, "png", optimize=True)
    write_bytes(path, small.getvalue())


def runs_in(content, column):
    """The first run of each twin in a column that came to its end, by twin."""
    found = {}
    for run in content["runs"]:
        if run["column"] == column and run["diverged"] is None:
            found.setdefault(run["implementation"], run)
    return found


def curves(contents, column):
    """Cost, loss and accuracy against updates, a row for each experiment: the NumPy twin as lines, PyTorch's as dots on it."""
    figure = Figure(figsize=(11, 0.6 + 2.7 * len(contents)), layout="constrained")
    panels = figure.subplots(len(contents), 3, squeeze=False)
    for row, content in zip(panels, contents, strict=True):
        for panel, quantity in zip(row, QUANTITIES, strict=True):
            plot_twins(panel, runs_in(content, column), quantity)
        row[0].set_title(titled(content, column), loc="left", fontsize="medium")
    return with_legend(figure, panels)


def titled(content, column):
    return f"{content['name']}: {content['title']}{'' if column == 'specified' else ', as run'}"


def losses(contents, column):
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


def plot_twins(panel, runs, quantity):
    for k, (twin, run) in enumerate(runs.items()):
        rows = run["rows"]
        for part, (label, colour) in PARTS.items():
            if part in rows:
                style = {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.8} if k else {"linewidth": 1.4}
                panel.plot(rows["update"], rows[part][quantity], color=colour, label=f"{label}, {twin}", **style)
    panel.set(xlabel="updates", ylabel=quantity)
    panel.grid(alpha=0.3)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if quantity == "accuracy":
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def with_legend(figure, panels):
    named = {}
    for panel in panels.flat:
        named |= dict(zip(*panel.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(named.values(), named, loc="outside upper center", ncols=6, frameon=False, fontsize="small")
    return figure


def weights(contents, column):
    """Each row of W1 as an image over its own full range, a row of images for each experiment; the NumPy twin's."""
    figure = Figure(figsize=(11, 1.55 * len(contents)), layout="constrained")
    parts = np.atleast_1d(figure.subfigures(len(contents), 1))
    for part, content in zip(parts, contents, strict=True):
        run = next(run for run in runs_in(content, column).values() if "W1" in run)
        images = np.frombuffer(base64.b64decode(run["W1"]), np.uint8).reshape(-1, *IMAGE_SHAPE)  # (K, 3, 32, 32)
        names = CIFAR10_CLASSES if run["settings"]["data"] == "cifar10" else range(len(images))
        part.suptitle(titled(content, column), x=0.01, ha="left", fontsize="medium")
        for panel, image, name in zip(part.subplots(1, len(images)), images, names, strict=True):
            panel.imshow(image.transpose(1, 2, 0))
            panel.set_title(name, fontsize=8)
            panel.axis("off")
    return figure


def probability(contents, column):
    """How probable a network (the NumPy twin, if it ran) holds the true class of each test image, right and wrong apart."""
    figure = Figure(figsize=(1 + 5 * len(contents), 3.6), layout="constrained")
    panels = figure.subplots(1, len(contents), sharey=True, squeeze=False)[0]
    for panel, content in zip(panels, contents, strict=True):
        histogram = next(iter(runs_in(content, column).values()))["probability_of_true_class"]
        edges = np.linspace(0, 1, histogram["bins"] + 1)
        for key, colour in (("right", RIGHT), ("wrong", WRONG)):
            counts = histogram[key]
            panel.stairs(counts, edges, fill=True, alpha=0.5, color=colour, label=f"predicted {key} ({sum(counts):,})")
        panel.set_title(content["title"], loc="left", fontsize="medium")
        panel.set(xlabel="probability of the true class", xlim=(0, 1))
        panel.legend(frameon=False)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test images")
    return figure


def lambdas(contents, column):
    """The first number of each experiment against lambda: the report's, and ours in every column."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    panel = figure.subplots()
    name = contents[0]["numbers"][0]["name"]
    contents = sorted(contents, key=lambda content: lambda_of(content, column))
    x = [lambda_of(content, column) for content in contents]
    panel.plot(
        x, [content["numbers"][0]["reported"] for content in contents], "D", color="black", markersize=5, label="reported"
    )
    for shown, (label, colour, line) in LAMBDA_STYLES.items():
        for k, twin in enumerate(("manual", "torch")):
            found = [measured(content, name, shown).get(twin) for content in contents]
            points = [(at, np.mean(values)) for at, values in zip(x, found, strict=True) if values and None not in values]
            if points:
                style = {"linestyle": "", "marker": "o", "markersize": 4} if k else {"linestyle": line, "linewidth": 1.4}
                panel.plot(*zip(*points, strict=True), color=colour, label=f"{label}, {twin}", **style)
    panel.set(xlabel="lambda", ylabel=f"{in_words(name)}, %", xscale="log")
    panel.grid(alpha=0.3)
    panel.legend(frameon=False, fontsize="small")
    return figure


def lambda_of(content, column):
    return next(run["settings"]["lam"] for run in content["runs"] if run["column"] == column)


# What a run must hold to be drawn so.
NEEDED = {"weights": {"W1"}}
KINDS = {"curves": curves, "losses": losses, "weights": weights, "probability": probability, "lambda": lambdas}
