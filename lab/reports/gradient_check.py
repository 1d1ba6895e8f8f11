"""A report's gradient check, by its own protocol on our claimed gradient, and beside it our check of every entry."""

from dataclasses import dataclass, replace

from gradcheck.derivations.plain import difference_quotients
from gradcheck.errors import UserError
from lab import twins
from lab.network_check import check_network
from lab.reports.measures import MEASURES
from manual.mlp import cost
from networks import NAMED, initial_state


@dataclass(frozen=True)
class GradientCheck:
    """`images` first images with their first `inputs` pixels; differences with `step` at `offsets` (see gradcheck/plain.py).

    `measure` names a function of `reports/measures.py`; `bias_std` is the standard deviation of b. Raises UserError.
    """

    network: str
    images: int
    init: str
    measure: str
    inputs: int = 3072
    lam: float = 0.0
    bias_std: float = 0.0
    step: float = 1e-5
    offsets: tuple[int, int] = (-1, 1)

    def __post_init__(self):
        for name, known in (("network", NAMED), ("measure", MEASURES)):
            if getattr(self, name) not in known:
                raise UserError(f"{name} {getattr(self, name)!r} is unknown; choose from {', '.join(known)}")

    def run(self, images, seed, device):
        """(what `measure` says, our CheckResult) at `images`, a Data. Raises UserError where the data do not suffice."""
        network = replace(NAMED[self.network], inputs=self.inputs)
        available, classes = len(images.train.labels), len(images.classes)
        if available < self.images or classes > network.outputs:
            raise UserError(
                f"it needs {self.images} training images of at most {network.outputs} classes; "
                f"the data have {available:,} of {classes}"
            )
        X = images.normalise("train", rows=slice(self.images))[:, : self.inputs]  # (n, d)
        y = images.train.labels[: self.images]  # (n,)
        claimed, reference = twins.build(network, initial_state(network, self.init, seed, self.bias_std), device=device)
        numerical = difference_quotients(
            lambda parameters: cost(network, parameters, X, y, self.lam), claimed.parameters, self.step, self.offsets
        )
        measured = MEASURES[self.measure](claimed.cost_and_gradients(X, y, self.lam).gradients, numerical)
        return measured, check_network(self.network, claimed, reference, X, y, [self.lam])
