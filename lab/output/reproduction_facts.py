"""What the pages of a reproduction say beside its numbers: claims, time, environment; explanations and doubts."""

import json
from collections import defaultdict
from collections.abc import Sequence

from lab.output.reproduction import number_rows
from lab.reports.catalogue import Catalogue
from lab.reports.result_forms import ExperimentForm, FinishedRun
from lab.reports.verdicts import ClaimResult, claim_results

TWINS = {"manual": "NumPy", "torch": "PyTorch"}


def facts(contents: Sequence[ExperimentForm], catalogue: Catalogue) -> list[str]:
    """What became of each claim, where all runs were made, and how long they took, as sentences."""
    runs = [run for content in contents for run in content["runs"]]
    sentences = [claim_sentence(result) for result in claim_results(catalogue, contents)]
    sentences.append(time_sentence(runs))
    environments = {", ".join(f"{name} {value}" for name, value in run["environment"].items()) for run in runs}
    sentences += [f"Made with {environment}." for environment in sorted(environments)]
    commits = ", ".join(sorted({run["commit"] or "none" for run in runs}))
    sentences.append(f"Commits (+: with changes that were not committed): {commits}.")
    sentences.append(f"Images: {', '.join(sorted({run['settings']['data'] for run in runs}))}.")
    return sentences


def claim_sentence(result: ClaimResult) -> str:
    spreads = ", ".join(
        f"{TWINS[twin]} {'diverged' if spread is None else f'{spread:.2f}'}" for twin, spread in result.spreads.items()
    )
    return f"{'Holds' if result.holds else 'DOES NOT HOLD'}: {result.title} (apart by {spreads} points)."


def time_sentence(runs: Sequence[FinishedRun]) -> str:
    """How many different runs there are, and how long they took: experiments of equal settings share a run."""
    different = {json.dumps([run["settings"], run["implementation"]]): run for run in runs}
    seconds: dict[str, float] = defaultdict(float)
    for run in different.values():
        seconds[run["implementation"]] += run["seconds"]
    times = ", ".join(f"{TWINS[twin]} {seconds[twin] / 60:.0f} min" for twin in TWINS if twin in seconds)
    seeds = ", ".join(map(str, sorted({run["seed"] for run in runs})))
    took = f"; they took, summed over the processes: {times}" if times else ""
    return f"{len(different):,} different runs, seeds {seeds}{took}."


def explanations(contents: Sequence[ExperimentForm]) -> dict[str, list[str]]:
    """Why numbers are not met: each sentence, with the names of the numbers that it explains."""
    names: dict[str, list[str]] = defaultdict(list)
    for content in contents:
        for row in number_rows(content):
            if row.verdict == "explained":
                names[row.why].append(f"{row.experiment} ({row.number})")
    return names


def doubts(contents: Sequence[ExperimentForm]) -> dict[str, list[str]]:
    """What is doubtful in the reports: each sentence, with the names of the experiments that it is true of."""
    names: dict[str, list[str]] = defaultdict(list)
    for content in contents:
        for sentence in content["doubts"]:
            names[sentence].append(content["name"])
    return names
