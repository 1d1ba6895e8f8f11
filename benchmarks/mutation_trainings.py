"""Trainings that show whether a changed `manual/` trains as the original does, and how far rounding alone takes it.

They go through all that a training goes through: batches of several sizes, mirrored images, updates, evaluation, states; with
and without batch norm, one network and stacks, both losses, in float64 and float32, and with logits in the thousands.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.rounding.draws import DRAWS, SAFETY, UNIT
from networks import Network, initial_state, moved_off_zeros

UPDATES = 60
# One size twice and then another, one that is over the images of the check, and a small one.
BATCH_SIZES = (20, 20, 33, 20, 150, 2)
# Images that the batches are drawn from; all of them are evaluated.
IMAGES = 200

# Called with the arrays that an update has left, to change them by rounding.
Disturb = Callable[[Mapping[str, Array]], None]


class Training(NamedTuple):
    """`copies` networks in a stack, each from numbers of its own, or one without a stack where it is 0.

    The initial weights are those of He times `scale`.
    """

    network: Network
    dtype: str
    copies: int = 0
    scale: float = 1.0
    lr: float = 0.05


def trainings() -> list[Training]:
    one, two = Network("one"), Network("two", (7,), loss="sigmoid")
    three, norm = Network("three", (7, 5)), Network("norm", (7, 5), batch_norm=True)
    norm_sigmoid = Network("norm-sigmoid", (7,), batch_norm=True, loss="sigmoid")
    found = [Training(network, "float64", copies) for network in (one, two, norm) for copies in (0, 3)]
    found += [Training(three, "float64"), Training(norm_sigmoid, "float64", 2)]
    found += [Training(norm, "float32", 3), Training(norm_sigmoid, "float32"), Training(three, "float32", 2)]
    large = (one, Network("one-sigmoid", loss="sigmoid"))
    return found + [Training(network, dtype, scale=1e3, lr=1e-3) for network in large for dtype in ("float64", "float32")]


def undisturbed(arrays: Mapping[str, Array]) -> None:
    """Leaves the arrays as they are."""


def train(training: Training, X: Array, y: Array, disturb: Disturb = undisturbed, updates: int = UPDATES) -> Arrays:
    """All that the training shows, by name: states, losses and costs, evaluations, and the gradient where there is one."""
    from lab import twins

    network, copies = training.network, training.copies
    states = [scaled_state(training, seed) for seed in range(max(copies, 1))]
    given = [{name: array.copy() for name, array in state.items()} for state in states]
    lam: Any = [0.01, 0.02, 0.03][: network.depth]
    lr: Any = training.lr
    if copies:
        network_or_stack: Any = twins.training_stack("manual", network, states, training.dtype)
        lam, lr = np.outer(lam, np.arange(1, copies + 1)), lr * np.arange(1, copies + 1)
    else:
        network_or_stack = twins.training_twin("manual", network, states[0], training.dtype)
    seen = dict(observed(network_or_stack, X.astype(training.dtype), y, lam, lr, disturb, updates))
    for k, (state, before) in enumerate(zip(states, given, strict=True)):
        seen |= {f"given {name} {k}": array for name, array in state.items() if not np.array_equal(array, before[name])}
    return seen


def scaled_state(training: Training, seed: int) -> Arrays:
    state = moved_off_zeros(initial_state(training.network, seed=seed), seed)
    return {name: array * training.scale if name.startswith("W") else array for name, array in state.items()}


def observed(twin: Any, X: Array, y: Array, lam: Any, lr: Any, disturb: Disturb, updates: int) -> Iterator[tuple[str, Array]]:
    """Trains the twin, or stack, at batches of X (n, d), y (n,), and yields what is seen of it by name."""
    rng = np.random.default_rng(0)
    X, y = twin.array(X), twin.array(y)
    numbers, halfway = [], state_of(twin)
    for t in range(updates):
        n = BATCH_SIZES[t % len(BATCH_SIZES)]
        rows, flipped = rng.choice(len(y), n, replace=False), rng.random(n) < 0.5 if t % 2 else None
        numbers.append(twin.train_step(*twin.batch(X, y, rows, flipped), lam, lr))
        disturb(twin.parameters | twin.statistics)
        if t == updates // 2:
            halfway = state_of(twin)
            yield "evaluation halfway", np.array(twin.evaluate(X, y, lam))
    yield "losses and costs", np.array(numbers)
    yield from ((f"{name} halfway", array) for name, array in halfway.items())
    yield from ((f"{name} at the end", array) for name, array in state_of(twin).items())
    yield "evaluation at the end", np.array(twin.evaluate(X, y, lam))
    if not hasattr(twin, "states"):
        yield from seen_of_one(twin, X, y, lam)


def seen_of_one(twin: Any, X: Array, y: Array, lam: Sequence[float]) -> Iterator[tuple[str, Array]]:
    """What one network answers that a stack does not."""
    yield from ((f"activations {k}", twin.to_numpy(A)) for k, A in enumerate(twin.activations(X)))
    yield "logits", twin.to_numpy(twin.forward(X))
    yield "logits in training mode", twin.to_numpy(twin.forward(X, training=True))
    yield from ((f"{name} after it", array) for name, array in state_of(twin).items())
    answer = twin.cost_and_gradients(X, y, tuple(lam))
    yield "loss and cost", np.array([answer.loss, answer.cost])
    yield from ((f"gradient of {name}", array) for name, array in answer.gradients.items())


def state_of(twin: Any) -> Arrays:
    """The state of a twin, or of each network of a stack, by name."""
    if not hasattr(twin, "states"):
        return dict(twin.state())
    return {f"{name} {k}": array for k, state in enumerate(twin.states()) for name, array in state.items()}


class Original(NamedTuple):
    """What a training shows with the original, and how far rounding may move each array of it."""

    training: Training
    seen: Arrays
    allowed: dict[str, float]


def original(training: Training, X: Array, y: Array) -> Original:
    """The training beside others whose state is changed by a rounding unit after every update, up or down at random."""
    seen, rng, unit = train(training, X, y), np.random.default_rng(1), UNIT[training.dtype]

    def disturb(arrays: Mapping[str, Array]) -> None:
        for array in arrays.values():
            array *= 1 + unit * rng.choice((-2, 2), array.shape)  # twice: 1 - unit is a number, 1 + unit rounds to 1

    drawn = [train(training, X, y, disturb) for _ in range(DRAWS)]
    allowed = {name: SAFETY * max(distance(other[name], array) for other in drawn) for name, array in seen.items()}
    return Original(training, seen, allowed)


def distance(found: Array, expected: Array) -> float:
    """The largest difference over the largest entry; infinite where shapes or what is finite differ."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if np.array_equal(found, expected, equal_nan=True):
        return 0.0
    largest = np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max()
    return float(largest) if np.isfinite(largest) else float("inf")


class Apart(NamedTuple):
    """How far a training has come from the original: `quantity` is the one that is farthest past what rounding allows."""

    training: str
    quantity: str
    distance: float
    allowed: float


def apart(originals: Sequence[Original], X: Array, y: Array) -> Iterator[Apart]:
    """Of each training, the quantity that is farthest past what rounding allows."""
    for each in originals:
        seen, name = train(each.training, X, y), description(each.training)
        strange = sorted(seen.keys() ^ each.seen.keys())
        if strange:
            yield Apart(name, strange[0], float("inf"), 0.0)
            continue
        distances = {quantity: distance(seen[quantity], array) for quantity, array in each.seen.items()}
        worst = max(distances, key=lambda quantity: distances[quantity] - each.allowed[quantity])
        yield Apart(name, worst, distances[worst], each.allowed[worst])


def description(training: Training) -> str:
    stack = f", {training.copies} in a stack" if training.copies else ""
    large = ", large logits" if training.scale > 1 else ""
    return f"{training.network.name} in {training.dtype}{stack}{large}"
