"""Which candidate is best, and which others are so near that another seed might put them first."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from lab.searching.space import Point

# What another seed does to the validation accuracy of these networks on CIFAR-10, as a standard deviation: measured by others
# and by us. It stands in where each candidate has one seed.
SEED_NOISE = 0.0045

# Two candidates differ where their means are so many standard errors of a difference apart.
STANDARD_ERRORS = 2


class Candidate(NamedTuple):
    """A point of a stage and what it reached. `results` holds one dict for each seed, None for one that is to come."""

    stage: str
    point: Point
    results: tuple[dict[str, Any] | None, ...]

    @property
    def finished(self) -> bool:
        return all(self.results)

    @property
    def diverged(self) -> bool:
        return any(result and result["diverged"] is not None for result in self.results)

    @property
    def accuracies(self) -> list[float]:
        """The final validation accuracy of each seed that has one."""
        return [result["val"]["accuracy"] for result in self.results if result and result["val"]]

    @property
    def mean(self) -> float | None:
        """The mean accuracy over the seeds, None where one diverged or is missing."""
        return statistics.mean(self.accuracies) if self.finished and not self.diverged else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the seeds, None with fewer than two."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The finished candidates, the best first; those that diverged are last."""
    finished = [each for each in candidates if each.finished]
    return sorted(finished, key=lambda each: (each.mean is None, -(each.mean or 0)))


def noise(candidates: Sequence[Candidate]) -> float:
    """The standard deviation over seeds, pooled over all candidates, or SEED_NOISE where each has one seed."""
    deviations = [
        (each.deviation, len(each.accuracies) - 1)
        for each in candidates
        if each.mean is not None and each.deviation is not None
    ]
    freedom = sum(n for _, n in deviations)
    return (sum(deviation**2 * n for deviation, n in deviations) / freedom) ** 0.5 if freedom else SEED_NOISE


def within_noise(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that seeds alone may have put below the best of `candidates`, without it; the better first."""
    means = [(each, each.mean) for each in ranked(candidates) if each.mean is not None]
    if not means:
        return []
    (best, highest), *others = means
    error = noise(candidates) * (2 / len(best.results)) ** 0.5
    return [each for each, mean in others if highest - mean <= STANDARD_ERRORS * error]
