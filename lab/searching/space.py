"""What is varied: ranges of hyperparameters, and the settings of a training at a point of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gradcheck.errors import UserError
from gradcheck.per_layer import lambda_per_layer
from lab.training.settings import Settings

INTEGERS = ("width", "depth", "n_s")
NAMES = ("lambda", *INTEGERS, "lr_max", "init")

# Beyond these, float32 overflows or no machine has the memory.
LARGEST = {"lambda": 1e30, "width": 1e5, "depth": 1e3, "n_s": 1e9, "init": 1e3}

# The value of each dimension, by name.
Point = dict[str, int | float]


@dataclass(frozen=True)
class Dimension:
    """A hyperparameter that is varied from `low` to `high`, uniformly in its logarithm if `log`.

    Raises UserError where the name is none of NAMES or the ends make no range of it.
    """

    name: str
    low: float
    high: float
    log: bool

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UserError(f"{self.name!r} can't be varied; choose from {', '.join(NAMES)}")
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise UserError(f"{self}: both ends have to be finite numbers")
        if self.low > self.high:
            raise UserError(f"{self}: the low end is above the high end")
        if self.low == self.high:
            raise UserError(f"{self}: a range of one value has nothing to search")
        if self.is_integer and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise UserError(f"{self}: {self.name} is an integer")
        if self.high > LARGEST.get(self.name, math.inf):
            raise UserError(f"{self}: the high end is over {LARGEST[self.name]:g}")
        if self.is_integer and self.low < 1:
            raise UserError(f"{self}: the low end has to be at least 1")
        if self.low < 0 or (self.low == 0 and (self.log or self.name != "lambda")):
            raise UserError(f"{self}: the low end has to be over 0")

    def __str__(self) -> str:
        """The text that `parse_dimension` reads."""
        return f"{self.name}={self.rounded(self.low)!r}..{self.rounded(self.high)!r}{':log' if self.log else ''}"

    @property
    def is_integer(self) -> bool:
        return self.name in INTEGERS

    def at(self, share: float) -> int | float:
        """The value at `share`, from 0 to 1, of the range."""
        value = self.low * (self.high / self.low) ** share if self.log else self.low + (self.high - self.low) * share
        return self.rounded(min(max(value, self.low), self.high))

    def rounded(self, value: float) -> int | float:
        """`value` as a value of this dimension: an int if it is an integer, else a float."""
        return round(value) if self.is_integer and math.isfinite(value) else float(value)


def parse_dimension(text: str) -> Dimension:
    """The Dimension of "NAME=LOW..HIGH" or "NAME=LOW..HIGH:log". Raises UserError."""
    name, _, rest = text.partition("=")
    ends, _, ending = rest.partition(":")
    low, dots, high = ends.partition("..")
    try:
        if not dots or high.startswith(".") or ending not in ("", "log"):
            raise ValueError
        numbers = float(low), float(high)
    except ValueError as error:
        raise UserError(f"{text!r} is no range: NAME=LOW..HIGH or NAME=LOW..HIGH:log, as lr_max=0.01..0.3:log") from error
    return Dimension(name, *numbers, ending == "log")


def settings_at(base: Settings, point: Point, layer_factors: Sequence[float] = ()) -> Settings:
    """`base` with the values of `point`; `layer_factors`, if there are any, multiply lambda layer by layer.

    Raises UserError where the network has no such dimension, or can't be built.
    """
    network = base.network
    if "depth" in point:
        width = network.hidden[0] if network.hidden else 50
        network = replace(network, hidden=(width,) * (int(point["depth"]) - 1))
    if "width" in point:
        if not network.hidden:
            raise UserError(f"width can't be varied where the depth is 1 ({network.name}): there is no hidden layer")
        network = replace(network, hidden=(int(point["width"]),) * len(network.hidden))
    lam = point.get("lambda", base.lam)
    if layer_factors:
        per_layer = lambda_per_layer(lam, len(layer_factors))
        lam = tuple(factor * lam_l for factor, lam_l in zip(layer_factors, per_layer, strict=True))
    network.lambdas(lam)  # raises where there are not as many as layers
    step_size = int(point["n_s"]) if "n_s" in point else base.step_size
    lr_max, init = point.get("lr_max", base.lr_max), str(point.get("init", base.init))
    return replace(base, network=network, lam=lam, step_size=step_size, lr_max=lr_max, init=init)
