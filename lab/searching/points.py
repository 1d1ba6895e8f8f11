"""Which points are tried: a coarse grid over the whole space, then a fine round in the range of the best three."""

import warnings
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from lab.searching.space import Dimension, Point
from random_streams import Stream, random_stream

# The fine round draws from the range of so many of the coarse round's best points.
BEST = 3


def coarse_points(space: Sequence[Dimension], count: int, seed: int) -> list[Point]:
    """`count` points: `count` values at equal distances in each dimension, the first one's in order, the others' shuffled."""
    rng = random_stream(seed, Stream.COARSE_POINTS)
    shares = np.linspace(0, 1, count)  # (count,)
    columns = [shares, *(rng.permutation(shares) for _ in space[1:])]
    return [{each.name: each.at(column[k]) for each, column in zip(space, columns, strict=True)} for k in range(count)]


def fine_points(
    space: Sequence[Dimension], count: int, sampler: str, tried: Sequence[tuple[Point, float | None]], seed: int
) -> list[Point]:
    """`count` points in the range of the BEST best of `tried`, drawn by the Optuna sampler that is called `sampler`.

    `tried` holds points with their accuracies, None for one that diverged; at least one has an accuracy. All points are drawn
    before any of them is trained, because they are trained together. The same arguments give the same points.
    """
    trained = [(point, accuracy) for point, accuracy in tried if accuracy is not None]
    best = [point for point, _ in sorted(trained, key=lambda pair: -pair[1])[:BEST]]
    ranges = {each.name: (min(p[each.name] for p in best), max(p[each.name] for p in best)) for each in space}
    # Optuna draws from ranges of more than one value.
    distributions = {each.name: distribution(each, *ranges[each.name]) for each in space if len(set(ranges[each.name])) == 2}
    study = optuna.create_study(direction="maximize", sampler=make_sampler(sampler, seed))
    for point, accuracy in trained:
        params = {name: point[name] for name in distributions}
        if all(ranges[name][0] <= value <= ranges[name][1] for name, value in params.items()):
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=accuracy))
    drawn = [study.ask(distributions).params for _ in range(count)]
    return [{each.name: params.get(each.name, ranges[each.name][0]) for each in space} for params in drawn]


def distribution(dimension: Dimension, low: float, high: float) -> BaseDistribution:
    """Optuna's distribution of a dimension from `low` to `high`."""
    if dimension.is_integer:
        return IntDistribution(round(low), round(high), log=dimension.log)
    return FloatDistribution(low, high, log=dimension.log)


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """The Optuna sampler of that name: tpe and gp learn from the coarse round, the others cover the range."""
    makers = {
        "random": lambda: optuna.samplers.RandomSampler(seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, constant_liar=True),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=1),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=1),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return makers[name]()
