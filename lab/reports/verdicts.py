"""How the numbers of the reports fare, from the JSON of the experiments: met as specified, met as run, explained, or open."""

import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

from lab.reports.catalogue import Catalogue, Claim
from lab.reports.numbers import Number, value_of
from lab.reports.result_forms import ExperimentForm

# From best to worst. "to come": not all of its runs are there yet.
Verdict = Literal["specified", "as-run", "explained", "open", "to come"]
VERDICTS: tuple[Verdict, ...] = ("specified", "as-run", "explained", "open", "to come")

# The values of a number by twin, one for each seed; None stands for a run that diverged.
ValuesByTwin = dict[str, list[float | None]]


def values_by_twin(content: ExperimentForm, name: str, column: str) -> ValuesByTwin:
    """The number `name` in the runs of a column."""
    found: ValuesByTwin = {}
    for run in content["runs"]:
        if run["column"] == column:
            value = run["measured"][name] if "measured" in run else value_of(name, run)
            found.setdefault(run["implementation"], []).append(value)
    return found


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean over the seeds, or None where one diverged."""
    numbers = [value for value in values if value is not None]
    return statistics.fmean(numbers) if len(numbers) == len(values) else None


def is_met(number: Number, values: ValuesByTwin) -> bool:
    """Whether there are values, and the mean of each twin meets the number."""
    return bool(values) and all(number.is_met_by(mean_of(seeds)) for seeds in values.values())


def verdict_of(content: ExperimentForm, number: Number) -> Verdict | None:
    """How a number of an experiment fares; None for one that is only shown."""
    if not number.has_bounds:
        return None
    values = {column: values_by_twin(content, number.name, column) for column in content["columns"]}
    if is_met(number, values["specified"]):
        return "specified"
    if is_met(number, values.get("as-run", {})):
        return "as-run"
    if not all(values.values()):
        return "to come"
    return "explained" if number.why else "open"


def count_verdicts(contents: Sequence[ExperimentForm]) -> dict[Verdict, int]:
    """How many numbers there are of each of VERDICTS."""
    found = [verdict_of(content, Number(**number)) for content in contents for number in content["numbers"]]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


class ClaimResult(NamedTuple):
    """What became of a claim: by twin, how far the experiments are from each other, None where one diverged."""

    title: str
    spreads: dict[str, float | None]
    holds: bool


def claim_results(catalogue: Catalogue, contents: Sequence[ExperimentForm]) -> list[ClaimResult]:
    """The claims whose experiments are all finished, in at least one twin."""
    by_name = {content["name"]: content for content in contents}
    results = []
    for claim in catalogue.claims:
        spreads = spreads_by_twin(claim, by_name)
        if spreads:
            holds = all(spread is not None and spread <= claim.within for spread in spreads.values())
            results.append(ClaimResult(claim.title, spreads, holds))
    return results


def spreads_by_twin(claim: Claim, contents: dict[str, ExperimentForm]) -> dict[str, float | None]:
    """How far the means of a claim's experiments are from each other, for each twin that has them all."""
    if not all(name in contents for name in claim.experiments):
        return {}
    values = [values_by_twin(contents[name], claim.number, "specified") for name in claim.experiments]
    twins = set.intersection(*map(set, values))
    return {twin: spread([mean_of(each[twin]) for each in values]) for twin in sorted(twins)}


def spread(means: Sequence[float | None]) -> float | None:
    """The largest less the smallest; None where one is None."""
    numbers = [mean for mean in means if mean is not None]
    return max(numbers) - min(numbers) if len(numbers) == len(means) else None
