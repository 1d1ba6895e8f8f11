"""The figures of a search, from the dict that search.json holds: accuracy against each dimension, and the best curves."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from lab.output.figures import COLOURS
from lab.output.search import SearchResult, best_first, dimension_names, format_point

# Curves that the figure of the best candidates holds.
TOP = 3
STYLES = {"coarse": ("o", COLOURS[0]), "fine": ("s", COLOURS[1])}


def accuracy_figure(result: SearchResult) -> Figure:
    """Validation accuracy against each dimension, coarse and fine apart; bars are standard deviations over the seeds."""
    names, seeds = dimension_names(result), result["search"]["seeds"]
    figure = Figure(figsize=(max(6.4, 4.2 * len(names)), 4.2), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        draw_accuracies(panel, result, name)
        scale_dimension(panel, result, name)
        panel.grid(alpha=0.3)
        panel.yaxis.set_major_formatter(PercentFormatter(1))
    panels[0].set_ylabel("validation accuracy")
    bars = f"standard deviation over {seeds} seeds" if seeds > 1 else "seed noise as assumed"
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize="small", title=f"bars: {bars}")
    return figure


def draw_accuracies(panel: Axes, result: SearchResult, name: str) -> None:
    """A point for each candidate that has a mean, against its value of the dimension `name`, and a ring around the best."""
    candidates, one_seed = result["candidates"], result["search"]["seeds"] == 1
    style: dict[str, Any] = {"linestyle": "", "capsize": 3, "markersize": 5}
    for stage, (marker, colour) in STYLES.items():
        found = [each for each in candidates if each["stage"] == stage and each["mean"] is not None]
        if found:
            x, y, deviations = zip(*((each["point"][name], each["mean"], each["deviation"]) for each in found), strict=True)
            bars = result["noise"] if one_seed else deviations
            panel.errorbar(x, y, yerr=bars, label=f"{stage} round", marker=marker, color=colour, **style)
    best = None if result["best"] is None else candidates[result["best"]]
    if best and best["mean"] is not None:
        ring: dict[str, Any] = {"marker": "o", "markersize": 13, "fillstyle": "none", "color": COLOURS[2], "linestyle": ""}
        panel.plot(best["point"][name], best["mean"], label="best", **ring)


def scale_dimension(panel: Axes, result: SearchResult, name: str) -> None:
    """The scale and the ticks of the axis of a dimension: logarithmic where it was searched so, and for any positive lambda."""
    values = [each["point"][name] for each in result["candidates"]]
    searched_in_log = any(text.startswith(f"{name}=") and text.endswith(":log") for text in result["search"]["space"])
    is_log = searched_in_log or (name == "lambda" and min(values) > 0)
    panel.set(xlabel=name, xscale="log" if is_log else "linear")
    low, high = panel.get_xlim()
    if all(isinstance(value, int) for value in values):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    elif is_log and high / low < 100:
        # Decades alone would be too few ticks here, and matplotlib's own smaller ones cover each other.
        ticks = np.geomspace(low, high, 6)[1:-1]
        panel.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        panel.xaxis.set_minor_locator(NullLocator())


def curves_figure(result: SearchResult) -> Figure:
    """The learning curves of the best candidates: validation accuracy and loss against epochs."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    best = [each for each in (result["candidates"][k] for k in best_first(result)) if each["curve"]][:TOP]
    for each, colour in zip(best, COLOURS, strict=False):
        epochs, label = [row["epoch"] for row in each["curve"]], f"{format_point(each['point'])} ({each['stage']})"
        style = {"color": colour, "marker": ".", "label": label}
        panels[0].plot(epochs, [row["accuracy"] for row in each["curve"]], **style)
        panels[1].plot(epochs, [row["loss"] for row in each["curve"]], **style)
    for panel, quantity in zip(panels, ("accuracy", "loss"), strict=True):
        panel.set(xlabel="epochs", ylabel=f"validation {quantity}")
        panel.grid(alpha=0.3)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = panels[0].get_legend_handles_labels()
    columns = TOP if len(dimension_names(result)) == 1 else 1
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize="small")
    return figure
