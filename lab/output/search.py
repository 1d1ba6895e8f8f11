"""The result of a search as a table, as sentences and as figures, from the dict that search.json holds."""

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter
from rich.markup import escape

from gradcheck.report.files import write_bytes
from gradcheck.report.tables import table_with
from lab.output.figures import COLOURS

# Curves that the figure of the best candidates holds.
TOP = 3
# Candidates that a sentence names.
MOST_NAMED = 4
STYLES = {"coarse": ("o", COLOURS[0]), "fine": ("s", COLOURS[1])}


def search_json(study, plan, candidates, best, as_good, noise, final=None):
    """The dict of search.json. `candidates` are those of `searching.ranking`, `best` is one or None, `final` a result.json."""
    return {
        "study": study,
        "search": plan.as_json(),
        "candidates": [candidate_json(each) for each in candidates],
        "best": candidates.index(best) if best else None,
        "as_good": [candidates.index(each) for each in as_good],
        "noise": noise,
        "final": final,
    }


def candidate_json(candidate):
    results = [result for result in candidate.results if result]
    good = [result for result in results if result["val"]]
    curve = mean_curve(good)
    top = max(curve, key=lambda row: row["accuracy"], default=None)
    return {
        "stage": candidate.stage,
        "point": candidate.point,
        "finished": len(results),
        "diverged": [result["diverged"] for result in results if result["diverged"] is not None],
        "accuracies": candidate.accuracies,
        "mean": candidate.mean,
        "deviation": candidate.deviation,
        "train": float(np.mean([result["train"]["accuracy"] for result in good])) if good else None,
        "best": top and {"epoch": top["epoch"], "accuracy": top["accuracy"]},
        "curve": curve,
    }


def mean_curve(results):
    """The means over seeds of what was recorded on the validation part."""
    return [
        {"epoch": rows[0]["epoch"]}
        | {name: float(np.mean([row["val"][name] for row in rows])) for name in ("loss", "accuracy")}
        for rows in zip(*(result["rows"] for result in results), strict=True)
    ]


def names(result):
    """What was varied, the first dimension first."""
    return [text.partition("=")[0] for text in result["search"]["space"]]


def percent(share):
    return "" if share is None else f"{100 * share:.2f}"


def value(number):
    return str(number) if isinstance(number, int) else f"{number:.3g}"


def search_table(result, running=""):
    """One row a candidate, the best first, those that are not finished last."""
    seeds = result["search"]["seeds"]
    deviation = ("sd",) if seeds > 1 else ()
    table = table_with(
        f"{escape(result['search']['network']['name'])}: validation accuracy in %{running}",
        left=("round",),
        right=(*names(result), "mean" if seeds > 1 else "final", *deviation, "best", "at epoch", "training"),
    )
    table.add_column("")
    for k in order(result):
        each = result["candidates"][k]
        table.add_row(
            each["stage"],
            *(value(each["point"][name]) for name in names(result)),
            percent(each["mean"]),
            *([percent(each["deviation"])] if seeds > 1 else []),
            percent(each["best"] and each["best"]["accuracy"]),
            f"{each['best']['epoch']:.3g}" if each["best"] else "",
            percent(each["train"]),
            remark(result, k),
            style="bold" if k == result["best"] else None,
        )
    return table


def remark(result, k):
    """A word or two on candidate k."""
    each, seeds = result["candidates"][k], result["search"]["seeds"]
    if each["diverged"]:
        return f"diverged at update {min(each['diverged']):,}"
    if each["finished"] < seeds:
        return f"{each['finished']} of {seeds} seeds" if seeds > 1 else "to come"
    return "best" if k == result["best"] else "not told from it" if k in result["as_good"] else ""


def order(result):
    """The indices of the candidates, the best first."""
    means = [each["mean"] for each in result["candidates"]]
    return sorted(range(len(means)), key=lambda k: (means[k] is None, -(means[k] or 0)))


def format_point(point):
    return ", ".join(f"{name} {value(number)}" for name, number in point.items())


def conclusion(result):
    """What was found, and how sure that is, as sentences."""
    if result["best"] is None:
        return ["[red]every candidate diverged: take a smaller lr_max or lambda[/]"]
    candidates, seeds = result["candidates"], result["search"]["seeds"]
    best = candidates[result["best"]]
    lines = [f"best: {format_point(best['point'])}, validation accuracy {percent(best['mean'])} %"]
    known = "measured here" if seeds > 1 else "assumed, as these networks have it on CIFAR-10; --seeds K measures it"
    noise = f"another seed moves a result by {percent(result['noise'])} points ({known})"
    if result["as_good"]:
        first, count = names(result)[0], len(result["as_good"])
        others = ", ".join(value(candidates[k]["point"][first]) for k in result["as_good"][:MOST_NAMED])
        more = f" and {count - MOST_NAMED} more" if count > MOST_NAMED else ""
        lines.append(f"[yellow]can't be told from it:[/] {first} {others}{more}; {noise}")
    else:
        lines.append(f"no other comes within two standard errors: {noise}")
    final = result["final"]
    if final and "diverged" in final:
        lines.append(f"[red]trained for longer, it diverged:[/] {escape(final['diverged'])}")
    elif final:
        lines.append(
            f"[green]trained on the split 49000 (cycles: {result['search']['final_cycles']}):[/] test accuracy "
            f"{percent(final['test']['accuracy'])} %, measured once (validation {percent(final['val']['accuracy'])} %, "
            f"training {percent(final['train']['accuracy'])} %)"
        )
    return lines


def draw_search(result, folder):
    """search.png and curves.png in `folder`. Returns the names."""
    figures = {"search.png": accuracy_figure(result), "curves.png": curves_figure(result)}
    for name, figure in figures.items():
        write_bytes(folder / name, drawn(figure, "png"))
    return list(figures)


def drawn(figure, kind):
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=120)
    return content.getvalue()


def accuracy_figure(result):
    """Validation accuracy against each dimension, coarse and fine apart, with the standard deviation over the seeds as bars."""
    dimensions = names(result)
    figure = Figure(figsize=(max(6.4, 4.2 * len(dimensions)), 4.2), layout="constrained")
    panels = figure.subplots(1, len(dimensions), sharey=True, squeeze=False)[0]
    logs = {text.partition("=")[0]: text.endswith(":log") for text in result["search"]["space"]}
    error = result["noise"] if result["search"]["seeds"] == 1 else None
    for panel, name in zip(panels, dimensions, strict=True):
        for stage, (marker, colour) in STYLES.items():
            found = [each for each in result["candidates"] if each["stage"] == stage and each["mean"] is not None]
            if found:
                bars = [error or each["deviation"] for each in found]
                x, y = [each["point"][name] for each in found], [each["mean"] for each in found]
                style = {"marker": marker, "color": colour, "linestyle": "", "capsize": 3, "markersize": 5}
                panel.errorbar(x, y, yerr=bars, label=f"{stage} round", **style)
        if result["best"] is not None:
            best = result["candidates"][result["best"]]
            ring = {"marker": "o", "markersize": 13, "fillstyle": "none", "color": COLOURS[2], "linestyle": ""}
            panel.plot(best["point"][name], best["mean"], label="best", **ring)
        panel.set(
            xlabel=name, xscale="log" if logs[name] or (name == "lambda" and min(x_values(result, name)) > 0) else "linear"
        )
        if all(isinstance(x, int) for x in x_values(result, name)):
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        elif panel.get_xscale() == "log" and np.divide(*reversed(panel.get_xlim())) < 100:
            # Decades alone would be too few ticks here, and matplotlib's own smaller ones cover each other.
            ticks = np.geomspace(*panel.get_xlim(), 6)[1:-1]
            panel.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
            panel.xaxis.set_minor_locator(NullLocator())
        panel.grid(alpha=0.3)
        panel.yaxis.set_major_formatter(PercentFormatter(1))
    panels[0].set_ylabel("validation accuracy")
    bars = "seed noise as assumed" if error else f"standard deviation over {result['search']['seeds']} seeds"
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize="small", title=f"bars: {bars}")
    return figure


def x_values(result, name):
    return [each["point"][name] for each in result["candidates"]]


def curves_figure(result):
    """The learning curves of the best candidates: validation accuracy and loss against epochs."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for k, colour in zip([k for k in order(result) if result["candidates"][k]["curve"]][:TOP], COLOURS, strict=False):
        each = result["candidates"][k]
        epochs = [row["epoch"] for row in each["curve"]]
        for panel, name in zip(panels, ("accuracy", "loss"), strict=True):
            label = f"{format_point(each['point'])} ({each['stage']})"
            panel.plot(epochs, [row[name] for row in each["curve"]], color=colour, marker=".", label=label)
    for panel, name in zip(panels, ("accuracy", "loss"), strict=True):
        panel.set(xlabel="epochs", ylabel=f"validation {name}")
        panel.grid(alpha=0.3)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = panels[0].get_legend_handles_labels()
    columns = TOP if len(names(result)) == 1 else 1
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize="small")
    return figure
