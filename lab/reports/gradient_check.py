"""A report's gradient check: what it was taken at, and by which protocol."""

from dataclasses import dataclass

from lab.reports.checks import check_choice
from lab.reports.measures import MEASURES
from networks import NAMED


@dataclass(frozen=True)
class GradientCheck:
    """The gradient of `network` at the first `images` images with their first `inputs` pixels, against differences.

    `init` and `bias_std` are those of `initial_state`, `lam` is lambda. The differences have `step` and the `offsets` of
    gradcheck/derivations/plain.py. `measure` names the function of measures.py that compares the two. Raises UserError where
    the network or the measure does not exist.
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

    def __post_init__(self) -> None:
        check_choice("network", self.network, NAMED)
        check_choice("measure", self.measure, MEASURES)
