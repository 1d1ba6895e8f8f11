"""Before the first update: is the gradient of the very network, loss, lambda and data right, and does an update follow it?"""

import numpy as np

import twins
from gradcheck import check
from networks import moved_off_zeros

# Entries of each tensor that the quick check takes.
SAMPLE = 100

# Images of the first batch that it takes: more cost time and find no more.
IMAGES = 20


def verify(settings, state, X, y, device, advance=lambda count: None):
    """A `gradcheck.NetworkResult` for `settings.network` at images X (n, d) float64 with classes y (n,).

    The parameters are those of `state`, moved off their zeros and ones. The gradient is checked in float64, at SAMPLE
    entries of each tensor, or at all with `--verify full`. Then each twin that is to be trained takes one update in its own
    dtype, which must move every parameter by lr times that twin's gradient.
    """
    network, X, y = settings.network, X[:IMAGES], y[:IMAGES]
    state = moved_off_zeros(state, settings.seed)
    hand, reference = twins.build(network, state, device=device)
    sample = None if settings.verify == "full" else draw_sample(network, settings.seed)
    chain = twins.chain(network, hand.parameters, X, y)
    result = check(network.name, hand, reference, chain, y, [settings.lam], advance=advance, sample=sample)
    faults = []
    for implementation in settings.twins:
        twin = twins.training_twin(implementation, network, state, settings.dtype, device)
        wrong = wrong_step(twin, twin.array(X.astype(settings.dtype)), twin.array(y), settings.lam)
        if wrong:
            faults.append(f"an update of the {implementation} twin does not move {wrong} by lr times its gradient")
    return result.with_faults(faults)


def draw_sample(network, seed):
    """The flat indices of the entries to check, by tensor."""
    rng = np.random.default_rng([seed, 3])
    sizes = {name: int(np.prod(shape)) for name, shape in network.parameter_shapes().items()}
    return {name: np.sort(rng.choice(size, min(size, SAMPLE), replace=False)) for name, size in sizes.items()}


def wrong_step(twin, X, y, lam):
    """The first parameter that an update does not move by -lr times its gradient, or None."""
    lr = 1.0  # large, so that the step stands out from the rounding of the parameters
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
