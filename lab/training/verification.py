"""Before the first update: is the gradient of the very network, loss, lambda and data right, and do updates follow it?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradcheck import ORACLES, CheckResult
from gradcheck.arrays import Array
from gradcheck.subject import Advance
from lab import twins
from lab.data.parts import Data
from lab.network_check import check_network
from lab.training.settings import Settings, training_plan
from networks import Network, initial_state, moved_off_zeros
from random_streams import Stream, random_stream

if TYPE_CHECKING:
    from lab.walking.walker import Walker

# Entries of each tensor that the quick check takes.
SAMPLE = 100

# Images of the first batch that it is taken at: more cost time and find no more.
VERIFIED_IMAGES = 100


def verify(settings: Settings, state: Mapping[str, Array], X: Array, y: Array, device: str, advance: Advance) -> CheckResult:
    """Checks the gradient of `settings.network` at images X (n, d) float64 with classes y (n,).

    The parameters are those of `state`, moved off their zeros and ones. The gradient is checked in float64 by all oracles, and
    in float32, if that is what trains, against autograd: at SAMPLE entries of each tensor, or at all with `--verify full`.
    """
    network = settings.network
    state = moved_off_zeros(state, settings.seed)
    sample = None if settings.verify == "full" else draw_sample(network, settings.seed)

    def check(dtype: str, oracles: tuple[str, ...]) -> CheckResult:
        claimed, reference = twins.build(network, state, dtype, device)
        return check_network(
            network.name, claimed, reference, X, y, [settings.lambdas], oracles, advance, sample, settings.seed
        )

    result = check("float64", ORACLES)
    if settings.dtype == "float32" and result.verdict != "fail":
        in_float32 = check("float32", ("autograd",))
        if in_float32.verdict == "fail":  # undecided means only that rounding switched a ReLU
            return in_float32
    return result


def draw_sample(network: Network, seed: int) -> dict[str, Array]:
    """The flat indices of the entries to check, ascending, by tensor."""
    rng = random_stream(seed, Stream.VERIFIED_ENTRIES)
    sizes = {name: int(np.prod(shape)) for name, shape in network.parameter_shapes().items()}
    return {name: np.sort(rng.choice(size, min(size, SAMPLE), replace=False)) for name, size in sizes.items()}


def walk_before_training(
    settings: Settings, state: Mapping[str, Array], candidates: Sequence[Settings], images: Data, device: str
) -> list[str]:
    """A sentence on each twin of a run with these settings that does not walk as PyTorch does, from `state`.

    The same of the stack that `candidates` are to be trained in, if there are any.
    """
    from lab.walking.beside_pytorch import (  # they import PyTorch, without which the manual twin can be trained
        images_needed,
        walk,
    )
    from lab.walking.walker import walker_of_twin

    walkers = [
        walker_of_twin(implementation, settings.network, state, settings.lambdas, settings.dtype, device)
        for implementation in settings.twins
    ]
    if candidates:
        walkers.append(stack_to_walk(candidates, device))
    batch_size, flip = training_plan(settings).batch_size, settings.augment == "flip"
    available = len(images.train.labels)
    # Spread over all images: a folder may hold them class by class.
    rows = np.linspace(0, available - 1, min(available, images_needed(batch_size))).astype(int)
    X, y = images.normalise("train", rows=rows), images.train.labels[rows]
    found = [walk(walker, X, y, batch_size, flip, settings.seed) for walker in walkers]
    return [sentence for sentence in found if sentence]


def stack_to_walk(candidates: Sequence[Settings], device: str) -> "Walker":
    """The stack of candidates as `stacked.StackedTraining` begins with it."""
    from lab.walking.walker import walker_of_stack

    first, states = candidates[0], [initial_state(s.network, s.init, s.seed, s.init_bias) for s in candidates]
    lam = np.array([s.lambdas for s in candidates]).T  # (depth, C)
    return walker_of_stack(first.implementation, first.network, states, lam, first.dtype, device)
