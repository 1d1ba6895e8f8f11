"""Random correct networks of every kind that a checker may meet, each drawn from one seed: it must raise no alarm at any."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from gradcheck import CheckResult
from lab import twins
from lab.network_check import check_network
from networks import LOSSES, Network, initial_state, moved_off_zeros

# About how many multiplications one oracle may need for a network; a network that needs more gets narrower layers.
MOST_WORK = 1e8
# A bias that no input outweighs.
DEAD_BIAS = -1e3

Rng = np.random.Generator
State = dict[str, np.ndarray]


class DrawnNetwork(NamedTuple):
    """`network` with its `state`, at X (n, d), y (n,), for one lambda or one a layer; `kinds` are words on what it is like."""

    seed: int
    network: Network
    init: str
    state: State
    X: np.ndarray
    y: np.ndarray
    lam: float | tuple[float, ...]
    dtype: str
    kinds: tuple[str, ...]

    @property
    def description(self) -> str:
        sizes = "-".join(map(str, self.network.sizes))
        lam = ",".join(f"{lam_l:.2g}" for lam_l in np.atleast_1d(self.lam))
        return f"{sizes}, batch {len(self.X)}, init {self.init}, lambda {lam}; {', '.join(self.kinds)}"

    def twins(self) -> tuple[Any, Any]:
        """The manual twin in the network's dtype and the PyTorch twin in float64."""
        return twins.build(self.network, self.state, self.dtype)

    def check(self) -> CheckResult:
        """The CheckResult of the manual twin."""
        return check_network(f"seed {self.seed}", *self.twins(), self.X, self.y, [self.lam], seed=self.seed)


def log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw(seed: int, most_work: float = MOST_WORK) -> DrawnNetwork:
    """The network of this seed, its layers narrowed until an oracle needs no more multiplications than `most_work`."""
    rng = np.random.default_rng([seed, 4])
    n, depth = round(log_uniform(rng, 2, 1000)), int(rng.integers(1, 10))
    sizes = [int(rng.integers(2, 41)), *(round(log_uniform(rng, 1, 40)) for _ in range(depth - 1)), int(rng.integers(2, 13))]
    while work(sizes, n) > most_work:
        widest = int(np.argmax(sizes[:-1]))
        sizes[widest] = -(-sizes[widest] // 2)
    network = Network(
        f"seed {seed}",
        hidden=tuple(sizes[1:-1]),
        batch_norm=depth > 1 and bool(rng.integers(2)),
        loss=LOSSES[rng.integers(2)],
        inputs=sizes[0],
        outputs=sizes[-1],
    )
    init = str(rng.choice(["he", "xavier", f"{log_uniform(rng, 1e-4, 2):.3g}"], p=[0.2, 0.2, 0.6]))
    state = initial_state(network, init, seed)
    kinds = [network.loss, "batch norm" if network.batch_norm else "no batch norm", kind_of_batch(n), kind_of_init(init)]
    if rng.random() < 0.7:
        state = moved_off_zeros(state, seed)
    else:
        kinds.append("biases 0")
    X = rng.standard_normal((n, network.inputs))
    lam, kind = draw_lambda(rng, depth)
    kinds.append(kind)
    for kind, change in SPECIAL.items():
        if rng.random() < 0.15 and depth > 1:
            change(rng, network, state, X)
            kinds.append(kind)
    dtype = "float32" if rng.random() < 0.15 else "float64"
    X = X.astype(dtype).astype(np.float64)
    y = rng.integers(0, network.outputs, n)
    return DrawnNetwork(seed, network, init, state, X, y, lam, dtype, (*kinds, dtype))


def kind_of_batch(n: int) -> str:
    return "batch 2 to 9" if n < 10 else "batch 10 to 99" if n < 100 else "batch 100 to 1000"


def kind_of_init(init: str) -> str:
    return "he or xavier" if init in ("he", "xavier") else "init 1e-4 to 1e-2" if float(init) < 1e-2 else "init 1e-2 to 2"


def work(sizes: Sequence[int], n: int) -> int:
    """About how many multiplications an oracle needs: for each entry of a layer, those of a forward pass from that layer on."""
    products = [a * b for a, b in pairwise(sizes)]
    return n * sum(product * sum(products[layer + 1 :], sizes[-1]) for layer, product in enumerate(products))


def draw_lambda(rng: Rng, depth: int) -> tuple[float | tuple[float, ...], str]:
    """Lambda (0, another number, or one number a layer) and its kind."""
    kind = rng.integers(4)
    if kind == 0:
        return 0.0, "lambda 0"
    if kind == 1:
        return tuple(rng.uniform(0, 1, depth)), "lambda a layer"
    return float(rng.uniform()) if kind == 2 else log_uniform(rng, 1e-6, 1), "one lambda"


def kill_units(rng: Rng, network: Network, state: State, X: np.ndarray) -> None:
    """Some hidden units, few or most of each layer, are active at no input: their gradients are exactly 0."""
    share = rng.choice([0.2, 0.9])
    for layer, units in enumerate(network.hidden, start=1):
        dead = rng.random(units) < share
        dead[rng.integers(units)] = False
        state[f"beta{layer}" if network.batch_norm else f"b{layer}"][dead] = DEAD_BIAS


def kill_layer(rng: Rng, network: Network, state: State, X: np.ndarray) -> None:
    """No unit of one hidden layer is active: all gradients below it are exactly 0, except for those of the penalty."""
    layer = rng.integers(1, network.depth)
    state[f"beta{layer}" if network.batch_norm else f"b{layer}"][:] = DEAD_BIAS


def blank_columns(rng: Rng, network: Network, state: State, X: np.ndarray) -> None:
    """Some inputs are 0 in every image."""
    X[:, rng.random(network.inputs) < 0.5] = 0.0


def tie_units(rng: Rng, network: Network, state: State, X: np.ndarray) -> None:
    """Some units are at the kink itself in every image: their weights and biases are 0, and beta after a batch norm."""
    layer = rng.integers(1, network.depth)
    tied = rng.random(network.hidden[layer - 1]) < 0.3
    for name in (f"W{layer}", f"b{layer}", f"beta{layer}"):
        if name in state:
            state[name][tied] = 0.0


def blank_image(rng: Rng, network: Network, state: State, X: np.ndarray) -> None:
    """One image is all zeros: where the biases are 0 as well, all units of the first layer are at the kink there."""
    X[rng.integers(len(X))] = 0.0


SPECIAL = {
    "dead units": kill_units,
    "dead layer": kill_layer,
    "blank columns": blank_columns,
    "exact ties": tie_units,
    "blank image": blank_image,
}
