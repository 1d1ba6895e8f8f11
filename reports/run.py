"""One experiment of a report, run again."""

from typing import NamedTuple

import numpy as np

import twins
from errors import UserError
from gradcheck import check_network
from gradcheck.plain import difference_quotients
from manual.mlp import cost
from networks import initial_state
from reports.measures import MEASURES


class GradientCheckResult(NamedTuple):
    """`measured` has the keys of the experiment's `reported`; `ours` is our check of the same gradient, a CheckResult."""

    measured: dict
    ours: object


def run_gradient_check(experiment, images, seed, device):
    """The experiment's own protocol on our hand gradient, and beside it our check of every entry.

    Raises UserError where the data do not suffice.
    """
    network, lam = experiment.network, experiment.lam
    available, classes = len(images.train.labels), len(images.classes)
    if available < experiment.images or classes > network.outputs:
        raise UserError(
            f"{experiment.name} needs {experiment.images} training images of at most {network.outputs} classes; "
            f"the data have {available:,} of {classes}"
        )
    X = images.normalise(images.train.images[: experiment.images])[:, : network.inputs]  # (n, d)
    y = images.train.labels[: experiment.images]  # (n,)
    state = initial_state(network, experiment.init, seed)
    rng = np.random.default_rng([seed, 1])
    for name in state:
        if name.startswith("b"):
            state[name] += experiment.bias_std * rng.standard_normal(state[name].shape)
    hand, reference = twins.build(network, state, device=device)
    numerical = difference_quotients(
        lambda parameters: cost(network, parameters, X, y, lam), hand.parameters, experiment.step, experiment.offsets
    )
    measured = MEASURES[experiment.measure](hand.cost_and_gradients(X, y, lam).gradients, numerical)
    return GradientCheckResult(measured, check_network(experiment.name, hand, reference, X, y, [lam]))
