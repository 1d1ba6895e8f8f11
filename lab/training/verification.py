"""Before the first update: is the gradient of the very network, loss, lambda and data right, and does an update follow it?"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gradcheck import ORACLES, CheckResult
from gradcheck.arrays import Array
from gradcheck.subject import Advance
from lab import twins
from lab.network_check import check_network
from lab.training.settings import Settings
from lab.twins import DeviceArray, TrainingTwin
from networks import Network, moved_off_zeros
from random_streams import Stream, random_stream

# Entries of each tensor that the quick check takes.
SAMPLE = 100

# Images of the first batch that it is taken at: more cost time and find no more.
VERIFIED_IMAGES = 100


def verify(settings: Settings, state: Mapping[str, Array], X: Array, y: Array, device: str, advance: Advance) -> CheckResult:
    """Checks the gradient of `settings.network` at images X (n, d) float64 with classes y (n,).

    The parameters are those of `state`, moved off their zeros and ones. The gradient is checked in float64 by all oracles, and
    in float32, if that is what trains, against autograd: at SAMPLE entries of each tensor, or at all with `--verify full`. Then
    each twin that is to be trained takes an update in its own dtype, which must move every parameter by lr times its gradient.
    """
    started = time.perf_counter()
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
    faults = []
    for implementation in settings.twins:
        twin = twins.training_twin(implementation, network, state, settings.dtype, device)
        wrong = wrong_step(twin, twin.array(X.astype(settings.dtype)), twin.array(y), settings.lambdas)
        if wrong:
            faults.append(f"an update of the {implementation} twin does not move {wrong} by lr times its gradient")
    return replace(result.with_faults(faults), seconds=time.perf_counter() - started)


def draw_sample(network: Network, seed: int) -> dict[str, Array]:
    """The flat indices of the entries to check, ascending, by tensor."""
    rng = random_stream(seed, Stream.VERIFIED_ENTRIES)
    sizes = {name: int(np.prod(shape)) for name, shape in network.parameter_shapes().items()}
    return {name: np.sort(rng.choice(size, min(size, SAMPLE), replace=False)) for name, size in sizes.items()}


def wrong_step(twin: TrainingTwin, X: DeviceArray, y: DeviceArray, lam: Sequence[float]) -> str | None:
    """The first parameter that an update does not move by -lr times its gradient, or None."""
    lr = 0.5  # large, so that the step stands out from the rounding of the parameters
    twin.train_step(X, y, lam, lr)  # fills the arrays that the twin keeps, as they are in every update but the first
    before = twin.state()
    gradients = twin.cost_and_gradients(X, y, lam).gradients
    twin.train_step(X, y, lam, lr)
    after = twin.state()
    for name, gradient in gradients.items():
        step = lr * gradient
        rounding = 10 * np.finfo(before[name].dtype).eps * (np.abs(before[name]).max() + np.abs(step).max())
        if not np.abs(before[name] - step - after[name]).max() <= rounding:
            return name
    return None
