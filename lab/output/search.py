"""The result of a search: the dict that search.json holds, and what it says as a table and in sentences."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from rich.markup import escape
from rich.table import Table

from gradcheck.report.tables import table_with
from lab.searching.plan import FINAL_SPLIT, SearchPlan
from lab.searching.ranking import Candidate, noise, ranked, within_noise
from lab.searching.space import Point

# Candidates that a sentence names.
MOST_NAMED = 4


class BestRecord(TypedDict):
    """The record at which the mean validation accuracy of a candidate was highest."""

    epoch: float
    accuracy: float


class Record(BestRecord):
    """The means over the seeds of what was recorded on the validation part."""

    loss: float


class CandidateResult(TypedDict):
    """A candidate, with None for what it does not have yet."""

    stage: str
    point: Point
    finished: int  # seeds
    diverged: list[int]  # for each seed that diverged, the update at which it did
    accuracies: list[float]  # on the validation part, of each seed at the end
    mean: float | None
    deviation: float | None  # None for one seed, too
    train: float | None  # the mean accuracy on the training part
    best: BestRecord | None
    curve: list[Record]


class SearchResult(TypedDict):
    """What search.json holds. Candidates are named by their indices."""

    study: str
    search: dict[str, Any]  # SearchPlan.as_json
    candidates: list[CandidateResult]
    best: int | None
    as_good: list[int]  # within the noise of the best
    noise: float
    final: dict[str, Any] | None  # the result.json of the last training, or {"diverged": a sentence}


def search_json(study: str, plan: SearchPlan, candidates: list[Candidate], final: dict[str, Any] | None = None) -> SearchResult:
    """The result of a search, with what its candidates have reached so far."""
    best = next((each for each in ranked(candidates) if each.mean is not None), None)
    return {
        "study": study,
        "search": plan.as_json(),
        "candidates": [candidate_json(each) for each in candidates],
        "best": candidates.index(best) if best else None,
        "as_good": [candidates.index(each) for each in within_noise(candidates)],
        "noise": noise(candidates),
        "final": final,
    }


def candidate_json(candidate: Candidate) -> CandidateResult:
    results = [result for result in candidate.results if result]
    trained = [result for result in results if result["val"]]
    curve = mean_curve(trained)
    best = max(curve, key=lambda record: record["accuracy"], default=None)
    return {
        "stage": candidate.stage,
        "point": candidate.point,
        "finished": len(results),
        "diverged": [result["diverged"] for result in results if result["diverged"] is not None],
        "accuracies": candidate.accuracies,
        "mean": candidate.mean,
        "deviation": candidate.deviation,
        "train": float(np.mean([result["train"]["accuracy"] for result in trained])) if trained else None,
        "best": {"epoch": best["epoch"], "accuracy": best["accuracy"]} if best else None,
        "curve": curve,
    }


def mean_curve(results: Sequence[dict[str, Any]]) -> list[Record]:
    """The means over seeds of what was recorded on the validation part."""
    return [
        {
            "epoch": rows[0]["epoch"],
            "loss": float(np.mean([row["val"]["loss"] for row in rows])),
            "accuracy": float(np.mean([row["val"]["accuracy"] for row in rows])),
        }
        for rows in zip(*(result["rows"] for result in results), strict=True)
    ]


def dimension_names(result: SearchResult) -> list[str]:
    """What was varied, the first dimension first."""
    return [text.partition("=")[0] for text in result["search"]["space"]]


def best_first(result: SearchResult) -> list[int]:
    """The indices of the candidates, the best first, those without a mean last."""
    means = [each["mean"] for each in result["candidates"]]
    return sorted(range(len(means)), key=lambda k: (means[k] is None, -(means[k] or 0)))


def format_percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def format_value(number: int | float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.3g}"


def format_point(point: Point) -> str:
    return ", ".join(f"{name} {format_value(number)}" for name, number in point.items())


def search_table(result: SearchResult, progress: str = "") -> Table:
    """One row a candidate, the best first, those that are not finished last; `progress` says what goes on."""
    seeds, names = result["search"]["seeds"], dimension_names(result)
    title = f"{escape(result['search']['network']['name'])}: validation accuracy in %"
    deviation = ("sd",) if seeds > 1 else ()
    table = table_with(
        f"{title}, {progress}" if progress else title,
        left=("round",),
        right=(*names, "mean" if seeds > 1 else "final", *deviation, "best", "at epoch", "training"),
    )
    table.add_column("")
    for k in best_first(result):
        each = result["candidates"][k]
        table.add_row(
            each["stage"],
            *(format_value(each["point"][name]) for name in names),
            format_percent(each["mean"]),
            *([format_percent(each["deviation"])] if seeds > 1 else []),
            format_percent(each["best"]["accuracy"]) if each["best"] else "",
            f"{each['best']['epoch']:.3g}" if each["best"] else "",
            format_percent(each["train"]),
            remark(result, k),
            style="bold" if k == result["best"] else None,
        )
    return table


def remark(result: SearchResult, k: int) -> str:
    """A few words on candidate k."""
    each, seeds = result["candidates"][k], result["search"]["seeds"]
    if each["diverged"]:
        return f"diverged at update {min(each['diverged']):,}"
    if each["finished"] < seeds:
        return f"{each['finished']} of {seeds} seeds" if seeds > 1 else "to come"
    return "best" if k == result["best"] else "within noise of the best" if k in result["as_good"] else ""


def conclusion(result: SearchResult) -> list[str]:
    """What was found, and how sure that is, as sentences."""
    if result["best"] is None:
        return ["[red]every candidate diverged: take a smaller lr_max or lambda[/]"]
    best = result["candidates"][result["best"]]
    first = f"best: {format_point(best['point'])}, validation accuracy {format_percent(best['mean'])} %"
    return [first, noise_sentence(result), *final_sentences(result)]


def noise_sentence(result: SearchResult) -> str:
    """Which candidates are within the noise of the best, and where that noise is known from."""
    measured = result["search"]["seeds"] > 1
    source = "measured here" if measured else "assumed, as these networks have it on CIFAR-10; --seeds K measures it"
    noise = f"another seed moves a result by {format_percent(result['noise'])} points ({source})"
    if not result["as_good"]:
        return f"no other candidate comes within two standard errors of it: {noise}"
    name, count = dimension_names(result)[0], len(result["as_good"])
    others = ", ".join(format_value(result["candidates"][k]["point"][name]) for k in result["as_good"][:MOST_NAMED])
    more = f" and {count - MOST_NAMED} more" if count > MOST_NAMED else ""
    return f"[yellow]within noise of the best:[/] {name} {others}{more}; {noise}"


def final_sentences(result: SearchResult) -> list[str]:
    """How the last training ended, if there was one."""
    final = result["final"]
    if not final:
        return []
    if "diverged" in final:
        return [f"[red]the winner diverged when it was trained for longer:[/] {escape(final['diverged'])}"]
    test, val, train = (format_percent(final[part]["accuracy"]) for part in ("test", "val", "train"))
    return [
        f"[green]trained on the split {FINAL_SPLIT} (cycles: {result['search']['final_cycles']}):[/] test accuracy {test} %, "
        f"measured once (validation {val} %, training {train} %)"
    ]
