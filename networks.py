"""What each network is, and the numbers that both of its twins start from.

A network is a description: layer sizes, batch norm or not, which loss. `manual/` and `models/` each build it. Parameters
are a dict `W1, b1, gamma1, beta1, W2, ...` of float64 arrays with `W (out, in)` as in `nn.Linear`; the statistics of batch
norm are `running_mean1, running_var1, ...`. Both together are the *state* of a network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import UserError
from gradcheck.per_layer import Lambda, check_shapes, lambda_per_layer, split_name
from random_streams import Stream, random_stream

LOSSES = ("softmax", "sigmoid")
# Red, green, blue; rows; columns.
IMAGE_SHAPE = (3, 32, 32)
IMAGE_PIXELS = 3 * 32 * 32
# Beyond it a forward pass in float32 could overflow.
LARGEST_STD = 1e3


@dataclass(frozen=True)
class Network:
    """`inputs -> hidden[0] -> ... -> outputs`, ReLU between, batch norm before each ReLU if `batch_norm`.

    `loss` is "softmax" (softmax and cross-entropy) or "sigmoid" (sigmoid and multiple binary cross-entropy). `eps` and
    `momentum` are those of `nn.BatchNorm1d`: eps is added to the variance, momentum weighs the new value.
    """

    name: str
    hidden: tuple[int, ...] = ()
    batch_norm: bool = False
    loss: str = "softmax"
    inputs: int = IMAGE_PIXELS
    outputs: int = 10
    eps: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self) -> None:
        if min(self.sizes) < 1:
            raise UserError(f"network {self.name}: every layer needs at least one unit, got {self.sizes}")
        if not (self.eps > 0 and 0 <= self.momentum <= 1):
            raise UserError(f"network {self.name}: batch norm needs eps over 0 and momentum from 0 to 1")
        if self.loss not in LOSSES:
            raise UserError(f"loss {self.loss!r} is unknown; choose one of {', '.join(LOSSES)}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each layer, the input first: (3072, 50, 10)."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def depth(self) -> int:
        """The number of weight matrices: what the k in "k-layer" counts."""
        return len(self.hidden) + 1

    @property
    def parameter_count(self) -> int:
        """The number of entries of all parameters."""
        return sum(int(np.prod(shape)) for shape in self.parameter_shapes().values())

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter, in the order of the forward pass."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(1, self.depth + 1):
            fan_in, fan_out = self.sizes[layer - 1], self.sizes[layer]
            shapes[f"W{layer}"] = (fan_out, fan_in)
            shapes[f"b{layer}"] = (fan_out,)
            if self.batch_norm and layer < self.depth:
                shapes[f"gamma{layer}"] = (fan_out,)
                shapes[f"beta{layer}"] = (fan_out,)
        return shapes

    def statistic_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each running statistic of batch norm; empty without it."""
        if not self.batch_norm:
            return {}
        return {
            f"running_{statistic}{layer}": (units,)
            for layer, units in enumerate(self.hidden, start=1)
            for statistic in ("mean", "var")
        }

    def check_batch(self, n: int) -> None:
        """Raises UserError where the network can't be trained on n images at a time."""
        if self.batch_norm and n < 2:
            raise UserError(f"{self.name} has batch norm, which needs at least 2 images in a batch")

    def lambdas(self, lam: Lambda) -> tuple[float, ...]:
        """Lambda of each layer, of one number or one a layer. Raises UserError where there are not as many as layers."""
        try:
            return lambda_per_layer(lam, self.depth)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from error

    def check_state(self, state: Mapping[str, Array]) -> None:
        """Raises UserError where a name is missing in `state`, or is not the network's, or where an array has another shape."""
        check_shapes(self.name, state, self.parameter_shapes() | self.statistic_shapes())


NAMED = {
    network.name: network
    for network in (
        Network("one-layer"),
        Network("one-layer-sigmoid", loss="sigmoid"),
        Network("two-layer", hidden=(50,)),
        Network("three-layer", hidden=(50, 50)),
        Network("three-layer-bn", hidden=(50, 50), batch_norm=True),
        Network("nine-layer", hidden=(50, 30, 20, 20, 10, 10, 10, 10)),
        Network("nine-layer-bn", hidden=(50, 30, 20, 20, 10, 10, 10, 10), batch_norm=True),
    )
}


def weight_std(init: str | float, fan_in: int) -> float:
    """Standard deviation of a weight: "he" sqrt(2/fan_in), "xavier" sqrt(1/fan_in), or the number itself.

    Raises UserError where `init` is none of these.
    """
    if init == "he":
        return (2 / fan_in) ** 0.5
    if init == "xavier":
        return (1 / fan_in) ** 0.5
    try:
        std = float(init)
    except ValueError:
        std = float("nan")
    if not 0 < std <= LARGEST_STD:
        raise UserError(f"init {init!r} is neither he, xavier nor a standard deviation over 0 and up to {LARGEST_STD:g}")
    return std


def initial_state(network: Network, init: str | float = "he", seed: int = 0, bias_std: float = 0.0) -> dict[str, Array]:
    """Parameters and statistics before training, float64: W random, gamma = 1, beta = 0, mean = 0, variance = 1.

    b is 0, or random with the standard deviation `bias_std`; the W of a seed are the same either way. Raises UserError where
    `init` is not one of `weight_std`.
    """
    rng, bias_rng = np.random.default_rng(seed), random_stream(seed, Stream.INITIAL_BIASES)
    state = {}
    for name, shape in (network.parameter_shapes() | network.statistic_shapes()).items():
        kind, _ = split_name(name)
        if kind == "W":
            state[name] = weight_std(init, fan_in=shape[1]) * rng.standard_normal(shape)
        elif kind == "b" and bias_std:
            state[name] = bias_std * bias_rng.standard_normal(shape)
        else:
            state[name] = np.ones(shape) if kind in ("gamma", "running_var") else np.zeros(shape)
    return state


def nonzero_state(network: Network, seed: int = 0) -> dict[str, Array]:
    """He's `initial_state`, `moved_off_zeros`."""
    return moved_off_zeros(initial_state(network, seed=seed), seed)


def moved_off_zeros(state: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """A copy of `state` moved off its zeros and ones, so that no zero and no one hides a bug in a backward pass.

    To b, gamma, beta and the running mean comes noise of standard deviation 0.1; the running variance is scaled by up to
    a factor of 1.5 either way, and stays positive.
    """
    rng = random_stream(seed, Stream.OFF_ZEROS)
    moved = {name: array.astype(np.float64) for name, array in state.items()}
    for name, array in moved.items():
        kind, _ = split_name(name)
        if kind == "running_var":
            array *= 1.5 ** rng.uniform(-1, 1, array.shape)
        elif kind != "W":
            array += 0.1 * rng.standard_normal(array.shape)
    return moved


# A number for one network; an array (C,) for stacked ones.
Numbers = TypeVar("Numbers")


class Evaluation(NamedTuple, Generic[Numbers]):
    """What both twins answer to `evaluate(X, y, lam)`: running statistics, no gradient; accuracy from 0 to 1."""

    loss: Numbers
    cost: Numbers
    accuracy: Numbers
