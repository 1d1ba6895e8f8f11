"""What can be checked: the protocols of a subject and of a twin."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from gradcheck.arrays import Array
from gradcheck.derivations.estimate import Estimate
from gradcheck.derivations.truth import Truth
from gradcheck.signals import Signals

# Called with the number of entries that one oracle has done since the last call.
Advance = Callable[[int], None]

ENTRYWISE = ("autograd", "complex-step", "central-difference")
ORACLES = (*ENTRYWISE, "taylor")


def no_progress(entries: int) -> None:
    """An Advance that shows nothing."""


class Case(NamedTuple):
    """One cost (a network has several: one for each lambda): the claimed gradient, the reference's, and the rounding of either.

    All are arrays by tensor; `forward` and `reference_forward` hold what the forward passes computed. Those of the reference
    are None where there is no PyTorch to ask.
    """

    claimed: dict[str, Array]
    reference: dict[str, Array] | None
    forward: dict[str, Any]
    reference_forward: dict[str, Any] | None
    rounding: dict[str, Array]


class Subject(Protocol):
    """What `examine` checks: a pair as a black box, a network with its twin, a pair whose layers are known.

    `dtype` is that of the claimed gradient, "float64" or "float32"; `parameters` are float64 arrays by tensor; `oracles` the
    names of those that can be asked of it; `notes` sentences on what could not be done as it should. `switched` says that a
    ReLU is active in `dtype` and not in float64, or the reverse: then no finite entry can fail. `of_twins` says that both the
    claimed gradient and what autograd differentiates are under test.
    """

    name: str
    dtype: str
    switched: bool
    of_twins: bool
    notes: list[str]

    @property
    def parameters(self) -> dict[str, Array]: ...

    @property
    def oracles(self) -> tuple[str, ...]: ...

    def evaluate(self) -> tuple[list[Case], list[str]]:
        """Calls the code under test and the reference: the cases, and sentences on what is wrong with their form."""

    def entries(self, tensor: str) -> Array:
        """The flat indices of the entries to check, ascending."""

    def estimate(self, oracle: str, tensor: str, entries: Array, advance: Advance) -> Estimate:
        """What an oracle, other than autograd, says of the gradient at these entries."""

    def second_look(self, tensor: str, entries: Array, estimates: dict[str, Estimate]) -> dict[str, Estimate]:
        """What the oracles, by name, say at these entries, once those that stand against the claim were asked again."""

    def depends(self, estimates: Mapping[str, Mapping[str, Estimate]]) -> bool:
        """Whether anything moves the cost, where the oracles found these derivatives: else none of them decides."""

    def walk(self, verified: Sequence[str], tolerance: Mapping[str, float]) -> list[str]:
        """Sentences on what is wrong beside the parameters of the tensors that are `verified` at them; others go to `notes`.

        It is asked for where nothing is wrong; `tolerance` is what is allowed beyond rounding, by tensor, relatively.
        """

    def scale(self, tensor: str) -> float:
        """The size of a derivative by this tensor, were the cost to change by its own size where the tensor does."""

    def directions(self, tensor: str) -> Array | None:
        """Directions (D, entries of the tensor) over what a sample leaves out; None where every entry is looked at."""

    def along(self, tensor: str, directions: Array) -> Estimate | None:
        """The derivatives along `directions` (D, entries of the tensor); None where they can't be asked for."""

    def taylor(self, tensor: str) -> tuple[Callable[[Array, Array], tuple[Array, Array]], float]:
        """`costs_along(direction, steps)` and the rounding error of a cost, for `taylor_test`, of the last case."""

    def sweep(self, tensor: str, entry: int, exact: float) -> dict[str, Any]:
        """The error of each kind of quotient at a ladder of steps, for the page."""

    def diagnose(self, cases: list[Case], truth: dict[str, Truth], failing: list[str]) -> dict[str, str | None]:
        """The likely bug of each failing tensor in a sentence; `truth` has what is known of the right gradients."""


class CostAndGradients(NamedTuple):
    """What a twin answers to `cost_and_gradients(X, y, lam)`: logits (n, K), loss and cost, and dJ/d(parameter) by name.

    A twin that computes no logits or loss of its own has None for them.
    """

    logits: Any
    loss: Any
    cost: Any
    gradients: dict[str, Array]


class Twin(Protocol):
    """A whole network with its state, by hand or in PyTorch.

    `cost_and_gradients` computes in training mode at X (n, d), y (n,), with one lambda a layer, and may change nothing.
    """

    def state(self) -> dict[str, Array]:
        """A copy of parameters and statistics, by name."""

    def load_state(self, state: dict[str, Array]) -> None:
        """Copies parameters and statistics, by name. Raises UserError where a name or shape is not the network's."""

    def cost_and_gradients(self, X: Any, y: Any, lam: Any) -> CostAndGradients: ...


class ClaimedTwin(Twin, Protocol):
    """The twin whose gradient is under test, "float64" or "float32" by the name of its dtype."""

    @property
    def dtype(self) -> Any: ...


class ReferenceTwin(Twin, Protocol):
    """The twin whose gradient autograd derives: a PyTorch module in float64, of which these methods are called."""

    def signals(self, X: Array, y: Array) -> Signals:
        """What flows through the network at X (n, d), y (n,)."""

    def state_dict(self) -> Any: ...

    def cpu(self) -> Any: ...
