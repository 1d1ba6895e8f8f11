"""The figures of training runs, from their files alone: curves, weights as images, how probable the true class is."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gradcheck.errors import UserError
from gradcheck.report.files import write_bytes
from lab.output.training import twins_of
from lab.training.loop import Row
from lab.training.run_folder import RunFolder
from lab.training.settings import training_plan
from networks import IMAGE_PIXELS, IMAGE_SHAPE, Network

# Colours that people with any colour vision tell apart (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
RIGHT, WRONG = COLOURS[:2]
AXES = {"cost": "cost", "loss": "loss", "accuracy": "accuracy", "lr": "learning rate"}

# What `result.json` holds.
Result = dict[str, Any]


def draw(runs: Sequence[RunFolder], path: Path) -> list[str]:
    """Draws what the files of `runs` hold into the folder `path`. Returns the names of the files.

    Several runs stand in one figure: their curves in the same panels, the rest side by side. Raises UserError.
    """
    figures = {"curves.png": curves(runs)}
    if any("drift" in row for run in runs for row in run.rows()):
        figures["drift.png"] = drift(runs)
    results = [run.read_result() for run in runs]
    finished = [(run, result) for run, result in zip(runs, results, strict=True) if result]
    if len(finished) == len(runs):
        figures["probability.png"] = probability(finished)
        if all(shows_images(run.settings().network) for run in runs):
            figures["weights.png"] = weights(finished)
    for name, figure in figures.items():
        write_bytes(path / name, image_bytes(figure, "png"))
    return list(figures)


def image_bytes(figure: Figure, format: str, dpi: int = 120) -> bytes:
    """The figure as the content of an image file, "png" or "svg"."""
    content = io.BytesIO()
    figure.savefig(content, format=format, dpi=dpi)
    return content.getvalue()


def shows_images(network: Network) -> bool:
    """Whether each row of W1 is an image."""
    return network.depth == 1 and network.inputs == IMAGE_PIXELS


def curves(runs: Sequence[RunFolder]) -> Figure:
    """Cost, loss, accuracy and learning rate against updates: training full, validation dashed, a second twin as dots."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    panels: dict[str, Axes] = dict(zip(AXES, figure.subplots(2, 2).flat, strict=True))
    for run, colour in zip(runs, COLOURS * len(runs), strict=False):
        rows, settings = run.rows(), run.settings()
        plot_measures(panels, rows, run.path.name if len(runs) > 1 else "", colour)
        rate = training_plan(settings).lr
        panels["lr"].plot([rate(t) for t in range(rows[-1]["update"] + 1 if rows else 0)], color=colour, drawstyle="steps-post")
    for quantity, panel in panels.items():
        panel.set(xlabel="updates", ylabel=AXES[quantity])
        panel.grid(alpha=0.3)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panel.set_ylim(bottom=0)
    panels["accuracy"].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    handles, labels = panels["cost"].get_legend_handles_labels()
    columns = 4 if len(runs) == 1 else 2  # the names of runs are long
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize="small")
    return figure


def plot_measures(panels: dict[str, Axes], rows: Sequence[Row], run: str, colour: str) -> None:
    """Cost, loss and accuracy of each part and twin of a run; `run` is its name where there are others, else empty."""
    names = dict.fromkeys(name for row in rows for name in twins_of(row))  # a run may have gone on in the other twin
    for k, name in enumerate(names):
        found = [(row["update"], twins_of(row)[name]) for row in rows if name in twins_of(row)]
        updates = [update for update, _ in found]
        for part, label, line, marker in (("train", "training", "-", "."), ("val", "validation", "--", "x")):
            words = [run, name if len(names) > 1 else "", label]
            style: dict[str, Any] = {"linestyle": line} if k == 0 else {"linestyle": "", "marker": marker}
            style |= {"color": colour if part == "train" or run else WRONG, "label": " ".join(filter(None, words))}
            for quantity in ("cost", "loss", "accuracy"):
                panels[quantity].plot(updates, [measures[part][quantity] for _, measures in found], **style)


def drift(runs: Sequence[RunFolder]) -> Figure:
    """How far two twins have drifted, relative, against updates; nothing is drawn where they are equal."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    panel = figure.subplots()
    with_distances = [run for run in runs if any("drift" in row for row in run.rows())]
    for run, style in zip(with_distances, ("-", "--", ":", "-.") * len(runs), strict=False):
        rows = [row for row in run.rows() if "drift" in row]
        for quantity, colour in zip(("logits", "cost", "weights"), COLOURS, strict=False):
            distances = [row["drift"][quantity] or np.nan for row in rows]
            label = f"{run.path.name} {quantity}" if len(runs) > 1 else quantity
            panel.plot([row["update"] for row in rows], distances, style, marker=".", color=colour, label=label)
    panel.set(xlabel="updates", ylabel="relative distance of the twins", yscale="log")
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize="small")
    return figure


def probability(finished: Sequence[tuple[RunFolder, Result]]) -> Figure:
    """How probable the network holds the true class of each test image, right and wrong predictions apart."""
    found = [(run, name, of_twin) for run, result in finished for name, of_twin in twins_of(result).items()]
    figure = Figure(figsize=(1 + 4.5 * len(found), 4), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, (run, name, of_twin) in zip(panels, found, strict=True):
        histogram = of_twin["probability_of_true_class"]
        edges = np.linspace(0, 1, histogram["bins"] + 1)
        for key, colour in (("right", RIGHT), ("wrong", WRONG)):
            counts = histogram[key]
            panel.stairs(counts, edges, fill=True, alpha=0.5, color=colour, label=f"predicted {key} ({sum(counts):,})")
        network = run.settings().network
        line_above = f"{run.path.name}\n" if len(finished) > 1 else ""
        panel.set_title(f"{line_above}{network.name}, {name}: {network.loss}", fontsize="medium")
        panel.set(xlabel="probability of the true class", xlim=(0, 1))
        panel.legend(frameon=False)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test images")
    panels[0].set_ylim(top=1.25 * panels[0].get_ylim()[1])  # room for the legend above the highest bar
    return figure


def weights(finished: Sequence[tuple[RunFolder, Result]]) -> Figure:
    """Each row of W1 of a one-layer network as an image, one row of images a twin; each image uses its own full range."""
    found = []
    for run, result in finished:
        checkpoint = run.read_checkpoint()
        if checkpoint is None:
            raise UserError(f"{run.checkpoint} is missing; put it back, it holds the weights to draw")
        found += [(run, result["classes"], name, state["W1"]) for name, state in checkpoint.states.items()]
    rows = len(found[0][3])
    figure = Figure(figsize=(1.2 * rows, 1.75 * len(found)), layout="constrained")
    parts = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
    for part, (run, classes, name, W1) in zip(parts, found, strict=True):
        settings, line_above = run.settings(), f"{run.path.name}\n" if len(finished) > 1 else ""
        part.suptitle(f"{line_above}W1 of {settings.network.name}, {name}, lambda {settings.lam}", fontsize=10)
        for panel, row, title in zip(part.subplots(1, rows), W1, classes, strict=True):
            image = row.reshape(IMAGE_SHAPE).transpose(1, 2, 0)  # (32, 32, 3)
            panel.imshow((image - image.min()) / (np.ptp(image) or 1))
            panel.set_title(title if len(title) <= 12 else f"{title[:11]}…", fontsize=8)
            panel.axis("off")
    return figure
