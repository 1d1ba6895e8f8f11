"""Which candidate is best, and which others can't be told from it."""

import statistics
from typing import NamedTuple

# What another seed does to the validation accuracy of these networks on CIFAR-10, as a standard deviation: measured by others
# and by us. It stands in where each candidate has one seed.
SEED_NOISE = 0.0045

# Two candidates differ where their means are so many standard errors of a difference apart.
STANDARD_ERRORS = 2


class Candidate(NamedTuple):
    """A point and what it got. `results` holds one dict a seed, None for one that is not there yet."""

    stage: str
    point: dict
    results: tuple

    @property
    def finished(self):
        return all(self.results)

    @property
    def diverged(self):
        return any(result and result["diverged"] is not None for result in self.results)

    @property
    def accuracies(self):
        """Final validation accuracy of each seed that has one."""
        return [result["val"]["accuracy"] for result in self.results if result and result["val"]]

    @property
    def mean(self):
        """The mean over the seeds, None where one diverged or is missing."""
        return statistics.mean(self.accuracies) if self.finished and not self.diverged else None

    @property
    def deviation(self):
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None


def ranked(candidates):
    """The finished candidates, best first; those that diverged last."""
    finished = [candidate for candidate in candidates if candidate.finished]
    return sorted(finished, key=lambda each: (each.mean is None, -(each.mean or 0)))


def noise(candidates):
    """The standard deviation over seeds, pooled over all candidates, or SEED_NOISE where each has one seed."""
    good = [each for each in candidates if each.mean is not None and each.deviation is not None]
    squares = [(each.deviation**2, len(each.accuracies) - 1) for each in good]
    freedom = sum(n for _, n in squares)
    return (sum(square * n for square, n in squares) / freedom) ** 0.5 if freedom else SEED_NOISE


def as_good(candidates):
    """Those that can't be told from the best of `candidates`, without it."""
    good = [each for each in ranked(candidates) if each.mean is not None]
    if not good:
        return []
    error = noise(good) * (2 / len(good[0].results)) ** 0.5
    return [each for each in good[1:] if good[0].mean - each.mean <= STANDARD_ERRORS * error]
