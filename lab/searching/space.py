"""What is varied, and which points are tried: a coarse grid, then a fine round in the range of the best three."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import optuna

from gradcheck.errors import UserError
from gradcheck.per_layer import lambda_per_layer
from random_streams import Stream, random_stream

SAMPLERS = ("random", "tpe", "gp", "cmaes", "qmc")
WHOLE = ("width", "depth", "n_s")
NAMES = ("lambda", *WHOLE, "lr_max", "init")

# What float32, or anybody's memory, could not hold.
LARGEST = {"lambda": 1e30, "width": 1e5, "depth": 1e3, "n_s": 1e9, "init": 1e3}

# The fine round draws from the range of so many of the coarse round's best.
BEST = 3


@dataclass(frozen=True)
class Dimension:
    """A hyperparameter from `low` to `high`, uniform in its logarithm if `log`. Raises UserError where that is no range."""

    name: str
    low: float
    high: float
    log: bool

    def __post_init__(self):
        if self.name not in NAMES:
            raise UserError(f"{self.name!r} can't be varied; choose from {', '.join(NAMES)}")
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            raise UserError(f"{self}: both ends have to be finite numbers")
        if self.low > self.high:
            raise UserError(f"{self}: the low end is above the high end")
        if self.low == self.high:
            raise UserError(f"{self}: a range of one value has nothing to search")
        if self.name in WHOLE and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise UserError(f"{self}: {self.name} is a whole number")
        if self.high > LARGEST.get(self.name, np.inf):
            raise UserError(f"{self}: the high end is over {LARGEST[self.name]:g}")
        least = 1 if self.name in WHOLE else 0
        if self.low < least or (self.low == 0 and (self.log or self.name != "lambda")):
            raise UserError(f"{self}: the low end has to be {'at least 1' if least else 'over 0'}")

    def __str__(self):
        return f"{self.name}={self.rounded(self.low)!r}..{self.rounded(self.high)!r}{':log' if self.log else ''}"

    def at(self, share):
        """The value at `share` (0 to 1) of the range."""
        value = self.low * (self.high / self.low) ** share if self.log else self.low + (self.high - self.low) * share
        return self.rounded(min(max(value, self.low), self.high))

    def rounded(self, value):
        return round(value) if self.name in WHOLE and np.isfinite(value) else float(value)

    def distribution(self):
        kind = optuna.distributions.IntDistribution if self.name in WHOLE else optuna.distributions.FloatDistribution
        return kind(self.rounded(self.low), self.rounded(self.high), log=self.log)


def dimension(text):
    """The Dimension of "NAME=LOW..HIGH" or "NAME=LOW..HIGH:log"."""
    name, _, rest = text.partition("=")
    ends, _, ending = rest.partition(":")
    low, dots, high = ends.partition("..")
    try:
        if not dots or high.startswith(".") or ending not in ("", "log"):
            raise ValueError
        return Dimension(name, float(low), float(high), ending == "log")
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{text!r} is no range: NAME=LOW..HIGH or NAME=LOW..HIGH:log, as lr_max=0.01..0.3:log") from error


def coarse_points(space, count, seed):
    """`count` points, dicts by name: the first dimension's values evenly apart, those of the others too, in a random order."""
    rng = random_stream(seed, Stream.COARSE_POINTS)
    shares = np.linspace(0, 1, count)
    columns = [shares, *(rng.permutation(shares) for _ in space[1:])]
    return [{each.name: each.at(column[k]) for each, column in zip(space, columns, strict=True)} for k in range(count)]


def fine_points(space, count, sampler, tried, seed):
    """`count` points in the range of the BEST best of `tried`, a list of (point, value or None), by one of Optuna's samplers.

    All are asked for before any is told: they are trained together. The same arguments give the same points.
    """
    ranked = sorted((pair for pair in tried if pair[1] is not None), key=lambda pair: -pair[1])[:BEST]
    box = [narrowed(each, [point[each.name] for point, _ in ranked]) for each in space]
    distributions = {each.name: each.distribution() for each in box if each.low < each.high}
    fixed = {each.name: each.low for each in box if each.low == each.high}
    study = optuna.create_study(direction="maximize", sampler=sampler_named(sampler, seed))
    inside = [
        (point, value)
        for point, value in tried
        if value is not None and all(d.low <= point[name] <= d.high for name, d in distributions.items())
    ]
    for point, value in inside:
        params = {name: point[name] for name in distributions}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    drawn = [study.ask(distributions).params for _ in range(count)]
    return [{each.name: (fixed | params)[each.name] for each in space} for params in drawn]


def narrowed(each, values):
    """The dimension between the least and the largest of `values`, which may be one."""
    found = object.__new__(Dimension)
    found.__dict__.update(name=each.name, low=min(values), high=max(values), log=each.log)
    return found


def sampler_named(name, seed):
    """One of Optuna's samplers; tpe and gp learn from the coarse round, the others spread over the range."""
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


def settings_at(base, point, factors):
    """`base`, Settings of a training, at a point; `factors` multiply lambda layer by layer, if they are given.

    Raises UserError where the network has no such dimension, or can't be built.
    """
    network, given = base.network, dict(point)
    if "depth" in given:
        width = network.hidden[0] if network.hidden else 50
        network = replace(network, hidden=(width,) * (given.pop("depth") - 1))
    if "width" in given:
        if not network.hidden:
            raise UserError(f"width can't be varied where the depth is 1 ({network.name}): there is no hidden layer")
        network = replace(network, hidden=(given.pop("width"),) * len(network.hidden))
    lam = given.pop("lambda", base.lam)
    if factors:
        lam = tuple(factor * lam for factor in factors)
    lambda_per_layer(lam, network.depth)
    step_size = given.pop("n_s", base.step_size)
    lr_max, init = given.pop("lr_max", base.lr_max), str(given.pop("init", base.init))
    return replace(base, network=network, lam=lam, step_size=step_size, lr_max=lr_max, init=init)
