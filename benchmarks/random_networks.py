"""Random correct networks of every kind that a checker may meet, each drawn from one seed: it must raise no alarm at any."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lab import twins
from lab.network_check import check_network
from networks import LOSSES, Network, initial_state, moved_off_zeros

# Multiplications that one network may cost a single oracle, about; a network over it gets narrower layers.
WORK = 1e8
# A bias that no input outweighs.
DEAD = -1e3


class Drawn(NamedTuple):
    """`network` with its `state`, at X (n, d), y (n,), for one lambda or one a layer; `kinds` are words on what it is like."""

    seed: int
    network: Network
    init: str
    state: dict
    X: np.ndarray
    y: np.ndarray
    lam: float | tuple
    dtype: str
    kinds: tuple

    @property
    def words(self):
        sizes = "-".join(map(str, self.network.sizes))
        lam = ",".join(f"{lam_l:.2g}" for lam_l in np.atleast_1d(self.lam))
        return f"{sizes}, batch {len(self.X)}, init {self.init}, lambda {lam}; {', '.join(self.kinds)}"

    def twins(self):
        """The manual twin in the network's dtype and the PyTorch twin in float64."""
        return twins.build(self.network, self.state, self.dtype)

    def check(self, **options):
        """The CheckResult of the manual twin, or of `claimed`."""
        claimed, reference = self.twins()
        claimed = options.pop("claimed", claimed)
        return check_network(f"seed {self.seed}", claimed, reference, self.X, self.y, [self.lam], seed=self.seed, **options)


def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw(seed, most=WORK):
    """The network of this seed, its layers narrowed until it costs no more multiplications than `most`."""
    rng = np.random.default_rng([seed, 4])
    n, depth = round(log_uniform(rng, 2, 1000)), int(rng.integers(1, 10))
    sizes = [int(rng.integers(2, 41)), *(round(log_uniform(rng, 1, 40)) for _ in range(depth - 1)), int(rng.integers(2, 13))]
    while work(sizes, n) > most:
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
    kinds = [network.loss, "batch norm" if network.batch_norm else "no batch norm", batch_in_words(n), init_in_words(init)]
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
    return Drawn(seed, network, init, state, X, y, lam, dtype, (*kinds, dtype))


def batch_in_words(n):
    return "batch 2 to 9" if n < 10 else "batch 10 to 99" if n < 100 else "batch 100 to 1000"


def init_in_words(init):
    return "he or xavier" if init in ("he", "xavier") else "init 1e-4 to 1e-2" if float(init) < 1e-2 else "init 1e-2 to 2"


def work(sizes, n):
    """Multiplications of a forward pass from each layer on, for each entry of that layer: what an oracle costs, about."""
    products = [a * b for a, b in pairwise(sizes)]
    return n * sum(product * sum(products[layer + 1 :], sizes[-1]) for layer, product in enumerate(products))


def draw_lambda(rng, depth):
    """Lambda, none, one number or one a layer, and a word on it."""
    kind = rng.integers(4)
    if kind == 0:
        return 0.0, "lambda 0"
    if kind == 1:
        return tuple(rng.uniform(0, 1, depth)), "lambda a layer"
    return float(rng.uniform()) if kind == 2 else log_uniform(rng, 1e-6, 1), "one lambda"


def kill_units(rng, network, state, X):
    """Units that no input makes active, a few in every hidden layer or all but one: their gradients are exactly 0."""
    share = rng.choice([0.2, 0.9])
    for layer, units in enumerate(network.hidden, start=1):
        dead = rng.random(units) < share
        dead[rng.integers(units)] = False
        state[f"beta{layer}" if network.batch_norm else f"b{layer}"][dead] = DEAD


def kill_layer(rng, network, state, X):
    """A hidden layer of which nothing comes out: all gradients below it are exactly 0, but those of the penalty."""
    layer = rng.integers(1, network.depth)
    state[f"beta{layer}" if network.batch_norm else f"b{layer}"][:] = DEAD


def blank_columns(rng, network, state, X):
    """Inputs that are 0 in every image."""
    X[:, rng.random(network.inputs) < 0.5] = 0.0


def tie_units(rng, network, state, X):
    """Units at the kink itself in every image: weights and bias 0, and beta behind a batch norm."""
    layer = rng.integers(1, network.depth)
    tied = rng.random(network.hidden[layer - 1]) < 0.3
    for name in (f"W{layer}", f"b{layer}", f"beta{layer}"):
        if name in state:
            state[name][tied] = 0.0


def blank_image(rng, network, state, X):
    """An image of zeros: where the biases are 0 as well, all units are at the kink there."""
    X[rng.integers(len(X))] = 0.0


SPECIAL = {
    "dead units": kill_units,
    "dead layer": kill_layer,
    "blank columns": blank_columns,
    "exact ties": tie_units,
    "blank image": blank_image,
}
