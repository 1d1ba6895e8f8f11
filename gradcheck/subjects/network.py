"""A network with its twin as the subject of a check: the layers are known, so that every entry is looked at, fast."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.derivations.chain import Chain
from gradcheck.derivations.chain_complex_step import complex_step
from gradcheck.derivations.chain_differences import central_difference
from gradcheck.derivations.estimate import EPS, Estimate
from gradcheck.derivations.sweep import quotient_errors
from gradcheck.derivations.truth import Truth
from gradcheck.diagnosis.evidence import Evidence
from gradcheck.diagnosis.network_patterns import diagnose_network
from gradcheck.errors import UserError
from gradcheck.examine import examine_subject
from gradcheck.faults import RAISED, describe_error, gradient_or_nan, misshapen
from gradcheck.guard import watch
from gradcheck.per_layer import Lambda, lambda_per_layer, split_name
from gradcheck.report.sentences import NOT_COMPARED
from gradcheck.result import CheckResult
from gradcheck.rounding.draws import SAFETY, UNIT
from gradcheck.subject import (
    ENTRYWISE,
    ORACLES,
    Advance,
    Case,
    ClaimedTwin,
    CostAndGradients,
    ReferenceTwin,
    Twin,
    no_progress,
)

FORWARD = ("logits", "loss", "cost")

# Whose code raised, in a sentence.
REFERENCE, FORWARD_PASS = "PyTorch, which the gradient is compared with,", "the forward pass, which is differentiated,"


def check_network(
    name: str,
    claimed: ClaimedTwin,
    reference: ReferenceTwin,
    chain: Chain,
    y: Array,
    lams: Sequence[Lambda],
    *,
    oracles: Sequence[str] = ORACLES,
    advance: Advance = no_progress,
    sample: dict[str, Array] | None = None,
    seed: int = 0,
    pictures: bool = False,
) -> CheckResult:
    """Checks the gradient of a whole network, in training mode, at every entry and for several lambdas.

    Args:
        name: what the result is called.
        claimed: the twin whose `cost_and_gradients(X, y, lam)` is under test, in its `dtype`, "float64" or "float32".
        reference: the same network with the same state as a PyTorch module in float64, which answers to the same protocol and
            to `signals(X, y)` (see `signals.py`): autograd's opinion.
        chain: the forward pass that is differentiated without autograd, with the parameters and the data X (n, d).
        y: the class of each row, (n,).
        lams: the settings of lambda, each one number or one a layer.
        oracles: which derivations to ask, some of `ORACLES`.
        advance: called with the number of entries that one oracle has done since the last call.
        sample: flat indices of the entries to check by tensor; None is all of them.
        seed: draws the directions of the Taylor test.
        pictures: fills those of the result, for the page.

    Returns:
        A CheckResult.

    Raises:
        UserError: the data are not finite.

    Example:
        >>> import numpy as np
        >>> from gradcheck.derivations.relu_forward import relu_chain
        >>> from gradcheck.subjects.torch_relu_network import TorchReluNetwork
        >>> class ByHand(TorchReluNetwork):
        ...     dtype = "float64"
        >>> rng = np.random.default_rng(0)
        >>> X, y = rng.standard_normal((5, 4)), np.array([0, 1, 2, 0, 1])
        >>> state = {"W1": rng.standard_normal((3, 4)), "b1": rng.standard_normal(3)}
        >>> claimed, reference = (kind(state, "softmax", eps=1e-5) for kind in (ByHand, TorchReluNetwork))
        >>> chain = relu_chain(state, X, y, "softmax", eps=1e-5)
        >>> check_network("one-layer", claimed, reference, chain, y, lams=[0.0, 0.1]).verdict
        'pass'
    """
    per_layer = [lambda_per_layer(lam, chain.depth) for lam in lams]
    try:
        subject = NetworkSubject(name, claimed, reference, chain, y, per_layer, sample)
        with watch(subject.guarded, subject.restore) as changed:
            result = examine_subject(subject, oracles, advance, seed, pictures)
    except PartRaised as error:
        return unexamined(name, chain.parameters, str(error))
    return result.with_changed(changed)


class PartRaised(UserError):
    """The reference or the forward pass raised, without which there is nothing to compare; the message says which."""


@contextmanager
def part(name: str) -> Iterator[None]:
    """Raises PartRaised where the code inside raises anything; `name` says whose code it is."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise PartRaised(f"{name} raised {describe_error(error)}") from error


def unexamined(name: str, parameters: Arrays, fault: str) -> CheckResult:
    """The result of a check that came to no comparison, for the reason that `fault` says."""
    entries = sum(array.size for array in parameters.values())
    return CheckResult(name, entries, "fail", 0.0, [fault], [], NOT_COMPARED, [], [], {})


class NetworkSubject:
    """A `gradcheck.subject.Subject` whose cases are the lambdas, each with one number a layer."""

    oracles: tuple[str, ...] = ENTRYWISE
    of_twins = True

    def __init__(
        self,
        name: str,
        claimed: ClaimedTwin,
        reference: ReferenceTwin,
        chain: Chain,
        y: Array,
        lams: list[tuple],
        sample: dict[str, Array] | None = None,
    ) -> None:
        check_finite(chain.X)
        self.name, self.claimed, self.reference, self.y, self.sample = name, claimed, reference, y, sample
        self.lams, self.dtype = lams, str(claimed.dtype)
        self.notes: list[str] = []
        self.X = chain.X.astype(self.dtype)  # (n, d)
        self.chain = chain.at(chain.parameters | {"X": self.X}, np.float64)
        self.parameters = self.chain.parameters
        self.penalties = [self.chain.penalty(lam) for lam in self.lams]
        with part(FORWARD_PASS):
            # Where rounding to dtype switches a ReLU, claimed has the gradient of another piece: no error, but no check either.
            self.switched = not self.chain.same_pattern(self.chain.at(self.parameters | {"X": self.chain.X}, self.dtype))

    def guarded(self) -> dict[str, Array]:
        own = {"X": self.X, "y": self.y, "the chain's X": self.chain.X}
        states = {"claimed ": self.claimed.state(), "reference ": self.modules_state(), "the chain's ": self.parameters}
        return own | {owner + name: array for owner, state in states.items() for name, array in state.items()}

    def modules_state(self) -> dict[str, Array]:
        """All that the reference keeps, its counters included, as arrays."""
        return {name: tensor.numpy(force=True) for name, tensor in self.reference.state_dict().items()}

    def restore(self, differ: list[str], saved: dict[str, Array]) -> None:
        """Puts back what is named in `differ`."""
        for name, tensor in self.reference.state_dict().items():
            tensor.copy_(tensor.new_tensor(saved[f"reference {name}"]))
        self.claimed.load_state({name: saved[f"claimed {name}"] for name in self.claimed.state()})
        for name, array in self.guarded().items():
            if name in differ and not name.startswith(("claimed ", "reference ")):
                array[...] = saved[name]

    def evaluate(self) -> tuple[list[Case], list[str]]:
        answers, faults = claimed_answers(self.claimed, self.X, self.y, self.lams, self.chain)
        return self.cases(answers, faults), faults

    def cases(self, answers: list[CostAndGradients], faults: list[str]) -> list[Case]:
        """A Case of each answer of the claimed twin, one a lambda; `faults` say what is wrong with their form."""
        with part(REFERENCE):
            loss_rounding, cases = self.loss_rounding(), []
            references = [self.reference.cost_and_gradients(self.chain.X, self.y, lam) for lam in self.lams]
        for answer, reference, lam, penalty in zip(answers, references, self.lams, self.penalties, strict=True):
            rounding = self.with_penalty(loss_rounding, lam, penalty, reference.cost)
            forward = {quantity: getattr(answer, quantity) for quantity in FORWARD if getattr(answer, quantity) is not None}
            reference_forward = {quantity: getattr(reference, quantity) for quantity in forward}
            cases.append(Case(self.claimed_gradients(answer), reference.gradients, forward, reference_forward, rounding))
        return cases

    def claimed_gradients(self, answer: CostAndGradients) -> dict[str, Array]:
        """The gradients in float64; not a number where they are missing or misshapen."""
        return {tensor: gradient_or_nan(answer.gradients, tensor, array.shape) for tensor, array in self.parameters.items()}

    def loss_rounding(self) -> dict[str, Array]:
        """The rounding uncertainty of all that `claimed` computes in its dtype without penalty, measured on the reference."""
        from gradcheck.rounding.torch_noise import rounding_uncertainty

        twin = copy.deepcopy(self.reference).cpu()
        twin = twin.float() if self.dtype == "float32" else twin.double()
        no_penalty = (0.0,) * self.chain.depth

        def evaluate(inputs: dict[str, Array]) -> dict[str, Array]:
            twin.load_state({name: array for name, array in inputs.items() if name != "X"})
            answer = twin.cost_and_gradients(inputs["X"], self.y, no_penalty)
            return {"logits": answer.logits, "loss": answer.loss, "cost": answer.cost} | answer.gradients

        return rounding_uncertainty(evaluate, self.reference.state() | {"X": self.chain.X}, self.dtype)

    def with_penalty(self, rounding: dict[str, Array], lam: tuple, penalty: float, cost: float) -> dict[str, Array]:
        """The rounding uncertainty of the loss, and what the penalty adds to it."""
        unit, found = UNIT[self.dtype], dict(rounding)
        found["cost"] = rounding["loss"] + SAFETY * unit * (penalty + abs(cost))
        for layer, lam_l in enumerate(lam, start=1):
            # The penalty is rounded three times: 2 lambda, its product with W, and its sum with the loss's gradient.
            sizes = np.abs(2 * lam_l * self.parameters[f"W{layer}"])
            found[f"W{layer}"] = rounding[f"W{layer}"] + SAFETY * unit * 3 * sizes
        return found

    def entries(self, tensor: str) -> Array:
        return np.arange(self.parameters[tensor].size) if self.sample is None else self.sample[tensor]

    def estimate(self, oracle: str, tensor: str, entries: Array, advance: Advance) -> Estimate:
        with part(FORWARD_PASS):
            if oracle == "complex-step":
                return complex_step(self.chain, tensor, entries, self.lambdas_of(tensor), advance)
            return central_difference(self.chain, tensor, entries, self.lambdas_of(tensor), self.penalties, advance)

    def second_look(self, tensor: str, entries: Array, estimates: dict[str, Estimate]) -> dict[str, Estimate]:
        """None is needed: differences know of every kink, and the chain of every rounding."""
        return estimates

    def depends(self, estimates: Mapping[str, Mapping[str, Estimate]]) -> bool:
        return True

    def walk(self, verified: Sequence[str], tolerance: Mapping[str, float]) -> list[str]:
        """Who knows the twins takes them for a walk."""
        return []

    def scale(self, tensor: str) -> float:
        size = float(np.sqrt(np.mean(self.parameters[tensor] ** 2))) or 1.0
        return float(self.chain.loss_of_each.sum() + max(self.penalties)) / size

    def lambdas_of(self, tensor: str) -> list[float]:
        """Lambda of this tensor in each case: 0 for what is not penalised."""
        kind, layer = split_name(tensor)
        return [lam[layer - 1] if kind == "W" else 0.0 for lam in self.lams]

    def directions(self, tensor: str) -> None:
        """None are needed: every entry is looked at, or a sample was asked for."""

    def along(self, tensor: str, directions: Array) -> None:
        """They can't be asked for: every entry is looked at, and the Taylor test knows of every kink."""

    def taylor(self, tensor: str) -> tuple[Callable[[Array, Array], tuple[Array, Array]], float]:
        lam, W, penalty = self.lambdas_of(tensor)[-1], self.parameters[tensor], self.penalties[-1]

        def costs_along(direction: Array, steps: Array) -> tuple[Array, Array]:
            with part(FORWARD_PASS):
                losses, crossed = self.chain.losses_along(tensor, direction, steps)  # (steps,)
            gained = lam * (2 * steps * (W * direction).sum() + steps**2 * (direction**2).sum())  # (steps,)
            return losses + (penalty + gained), crossed > 0

        with part(FORWARD_PASS):
            return costs_along, EPS * max(self.chain.loss_of_each.sum() + penalty, np.abs(self.chain.logits).max())

    def sweep(self, tensor: str, entry: int, exact: float) -> dict[str, Any]:
        lam, w, penalty = self.lambdas_of(tensor)[-1], self.parameters[tensor].ravel()[entry], self.penalties[-1]

        def cost(step: complex) -> Any:
            losses, _ = self.chain.losses(tensor, np.array([entry]), step)
            return losses[0] + (penalty + lam * ((w + step) ** 2 - w**2))

        return quotient_errors(cost, exact, takes_complex=True)

    def diagnose(self, cases: list[Case], truth: dict[str, Truth], failing: list[str]) -> dict[str, str | None]:
        with part(REFERENCE):
            signals, evidence = self.reference.signals(self.chain.X, self.y), []
        for case, lam in zip(cases, self.lams, strict=True):
            rounding = {tensor: float(np.max(case.rounding[tensor])) for tensor in self.parameters}
            assert case.reference is not None  # where there are signals there is a reference
            evidence.append(Evidence(case.claimed, case.reference, rounding, self.parameters, lam, signals))
        # Where another oracle contradicts the reference, it may be the reference that is wrong.
        trusted = [tensor for tensor in failing if tensor in truth and not truth[tensor].contested.any()]
        return diagnose_network(evidence, trusted)


def check_finite(X: Array) -> None:
    """Raises UserError where the data are not finite."""
    if not np.isfinite(X).all():
        row, column = np.argwhere(~np.isfinite(X))[0]
        raise UserError(f"the data are not finite: X[{row}, {column}] is {X[row, column]}; correct the data")


def claimed_answers(
    claimed: Twin, X: Array, y: Array, lams: list[tuple], chain: Chain
) -> tuple[list[CostAndGradients], list[str]]:
    """The claimed gradients for each lambda, and sentences on what is wrong with their form.

    Where the code under test raises, the sentence says so, and nothing that it should have computed is compared.
    """
    expected = chain.logits.shape  # (n, K)
    try:
        answers = [claimed.cost_and_gradients(X, y, lam) for lam in lams]
    except Exception as error:
        return [CostAndGradients(None, None, None, {}) for _ in lams], [f"{RAISED} {describe_error(error)}"]
    faults = list(misshapen(answers[0].gradients, chain.parameters))
    shape = np.shape(answers[0].logits)
    if answers[0].logits is not None and shape != expected:
        faults.append(f"the logits have shape {shape}, those of PyTorch {expected}")
        answers = [answer._replace(logits=np.full(expected, np.nan)) for answer in answers]
    return answers, faults
