"""A network with its twin as the subject of a check: the layers are known, so that every entry is looked at, fast."""

import copy

import numpy as np
import torch

from gradcheck.derivations.chain import Chain, split
from gradcheck.derivations.network_oracles import EPS, central_difference, complex_step
from gradcheck.derivations.sweep import quotients
from gradcheck.diagnosis.network_patterns import Evidence, diagnose
from gradcheck.errors import UserError
from gradcheck.examine import ORACLES, Case, examine, nothing
from gradcheck.faults import fitting, misshapen, raised
from gradcheck.rounding.stochastic import SAFETY, UNIT, rounding_uncertainty
from manual import layers
from manual.mlp import activate, loss_forward
from networks import lambda_per_layer

FORWARD = ("logits", "loss", "cost")


def check_network(name, hand, reference, X, y, lams, oracles=ORACLES, advance=nothing, sample=None, seed=0, pictures=False):
    """Checks `hand.cost_and_gradients` at X (n, d), y (n,), in training mode, for each lambda of `lams`.

    `hand` and `reference` are twins of `reference.network` with the same state and answer to one protocol,
    `cost_and_gradients(X, y, lam)`, `state()` and `load_state()`; `reference` works in float64, `hand` in any dtype, at X as
    that holds it. `advance(entries)` reports progress, in entries of one oracle. `sample` maps each tensor to the flat indices
    of the entries to check; None is all of them. Returns a CheckResult. Raises UserError where the data are not finite.
    """
    subject = NetworkSubject(name, hand, reference, X, y, lams, sample)
    return examine(subject, oracles, advance, seed, pictures)


def chain_of(network, parameters, X, y):
    """The manual forward pass in training mode at X (n, d), y (n,), as a Chain in float64."""

    def activation(S, gamma, beta):
        kept = {"out": np.empty_like(S), "S_hat": S} if network.batch_norm else {"out": S}
        A, (_, active), _ = activate(network, S, gamma, beta, **kept)
        return A, active

    return Chain(
        parameters={name: np.array(array, np.float64) for name, array in parameters.items()},
        X=np.array(X, np.float64),
        linear=lambda A, W, b, out: layers.linear_forward(A, W, b, out)[0],
        activate=activation,
        loss=lambda logits, rows: loss_forward(network.loss, logits, y[rows])[0] * (len(rows) / len(y)),
    )


class NetworkSubject:
    """See `gradcheck/check.py`. Its cases are the lambdas."""

    oracles = ORACLES

    def __init__(self, name, hand, reference, X, y, lams, sample=None):
        if not np.isfinite(X).all():
            row, column = np.argwhere(~np.isfinite(X))[0]
            raise UserError(f"the data are not finite: image {row}, pixel {column} is {X[row, column]}; mend the data")
        self.name, self.hand, self.reference, self.y, self.sample = name, hand, reference, y, sample
        self.dtype = str(hand.dtype)
        self.lams = [lambda_per_layer(lam, reference.network.depth) for lam in lams]
        self.X = X.astype(self.dtype)  # (n, d)
        self.chain = chain_of(reference.network, hand.parameters, self.X, y)
        self.parameters = self.chain.parameters
        self.penalties = [self.chain.penalty(lam) for lam in self.lams]
        # Where rounding to dtype switches a ReLU, hand has the gradient of another piece: no error, but no check either.
        self.switched = not self.chain.same_pattern(self.chain.at(self.parameters | {"X": self.chain.X}, self.dtype))
        self.notes = []

    def kept(self):
        own = {"X": self.X, "y": self.y, "the chain's X": self.chain.X}
        theirs = {"manual ": self.hand.state(), "torch ": self.modules_state(), "the chain's ": self.parameters}
        return own | {owner + name: array for owner, arrays in theirs.items() for name, array in arrays.items()}

    def modules_state(self):
        """All that the PyTorch twin keeps, its counters included, as arrays."""
        return {name: tensor.numpy(force=True) for name, tensor in self.reference.state_dict().items()}

    def restore(self, differ, saved):
        """Puts everything back."""
        with torch.no_grad():
            for name, tensor in self.reference.state_dict().items():
                tensor.copy_(torch.as_tensor(saved[f"torch {name}"]))
        self.hand.load_state({name: saved[f"manual {name}"] for name in self.hand.state()})
        for name, array in {"X": self.X, "y": self.y, "the chain's X": self.chain.X}.items():
            array[...] = saved[name]
        for name, array in self.parameters.items():
            array[...] = saved[f"the chain's {name}"]

    def ask(self):
        references = [self.reference.cost_and_gradients(self.chain.X, self.y, lam) for lam in self.lams]
        answers, faults = ask_hand(self.hand, self.X, self.y, self.lams, self.parameters, references[0])
        rounding = self.loss_rounding()
        unit = UNIT[self.dtype]
        cases = []
        for lam, penalty, answer, theirs in zip(self.lams, self.penalties, answers, references, strict=True):
            allowed = dict(rounding)
            allowed["cost"] = rounding["loss"] + SAFETY * unit * (penalty + abs(theirs.cost))
            for layer, lam_l in enumerate(lam, start=1):
                # The penalty is rounded three times: 2 lambda, its product with W, and its sum with the loss's gradient.
                sizes = np.abs(2 * lam_l * self.parameters[f"W{layer}"])
                allowed[f"W{layer}"] = rounding[f"W{layer}"] + SAFETY * unit * 3 * sizes
            hand = {tensor: fitting(answer.gradients, tensor, array.shape) for tensor, array in self.parameters.items()}
            forward = {quantity: getattr(answer, quantity) for quantity in FORWARD if getattr(answer, quantity) is not None}
            theirs_forward = {quantity: getattr(theirs, quantity) for quantity in forward}
            cases.append(Case(hand, theirs.gradients, forward, theirs_forward, allowed))
        return cases, faults

    def loss_rounding(self):
        """The rounding uncertainty of all that `hand` computes in its dtype without penalty, measured on the reference."""
        twin = copy.deepcopy(self.reference).to("cpu", getattr(torch, self.dtype))

        def evaluate(inputs):
            twin.load_state({name: array for name, array in inputs.items() if name != "X"})
            answer = twin.cost_and_gradients(inputs["X"], self.y, 0.0)
            return {"logits": answer.logits, "loss": answer.loss, "cost": answer.cost} | answer.gradients

        return rounding_uncertainty(evaluate, self.reference.state() | {"X": self.chain.X}, self.dtype)

    def entries(self, tensor):
        return np.arange(self.parameters[tensor].size) if self.sample is None else self.sample[tensor]

    def estimate(self, oracle, tensor, entries, advance):
        if oracle == "complex-step":
            return complex_step(self.chain, tensor, entries, self.lambdas_of(tensor), advance)
        return central_difference(self.chain, tensor, entries, self.lambdas_of(tensor), self.penalties, advance)

    def lambdas_of(self, tensor):
        """Lambda of this tensor in each case: 0 for what is not penalised."""
        kind, layer = split(tensor)
        return [lam[layer - 1] if kind == "W" else 0.0 for lam in self.lams]

    def directions(self, tensor):
        """None are needed: every entry is looked at, or a sample was asked for."""

    def taylor(self, tensor):
        lam, W, penalty = self.lambdas_of(tensor)[-1], self.parameters[tensor], self.penalties[-1]

        def costs_along(direction, steps):
            losses, crossed = self.chain.losses_along(tensor, direction, steps)  # (steps,)
            gained = lam * (2 * steps * (W * direction).sum() + steps**2 * (direction**2).sum())  # (steps,)
            return losses + (penalty + gained), crossed > 0

        logits = np.abs(self.chain.base[1][-1]).max()
        return costs_along, EPS * max(self.chain.loss_of_each.sum() + penalty, logits)

    def sweep(self, tensor, entry, exact):
        lam, w, penalty = self.lambdas_of(tensor)[-1], self.parameters[tensor].ravel()[entry], self.penalties[-1]

        def cost(step):
            losses, _ = self.chain.losses(tensor, np.array([entry]), step)
            return losses[0] + (penalty + lam * ((w + step) ** 2 - w**2))

        return quotients(cost, exact, takes_complex=True)

    def diagnose(self, cases, truth, failing):
        signals, eps = self.reference.signals(self.chain.X, self.y), self.reference.network.eps
        evidence = []
        for case, lam in zip(cases, self.lams, strict=True):
            rounding = {tensor: float(np.max(case.rounding[tensor])) for tensor in self.parameters}
            evidence.append(Evidence(case.hand, case.reference, rounding, self.parameters, lam, signals, eps))
        return diagnose(evidence, failing)


def ask_hand(hand, X, y, lams, parameters, reference):
    """The hand gradients for each lambda, and sentences on what is wrong with their form.

    Where the code under test raises, the sentence says so, and nothing it should have computed is a number.
    """
    try:
        answers = [hand.cost_and_gradients(X, y, lam) for lam in lams]
    except Exception as error:
        missing = {quantity: np.full(np.shape(getattr(reference, quantity)), np.nan) for quantity in FORWARD}
        return [reference._replace(gradients={}, **missing) for _ in lams], [f"the backward pass raised {raised(error)}"]
    faults = list(misshapen(answers[0].gradients, parameters))
    shape, expected = np.shape(answers[0].logits), reference.logits.shape
    if answers[0].logits is not None and shape != expected:
        faults.append(f"the logits have shape {shape}, those of PyTorch {expected}")
        answers = [answer._replace(logits=np.full(expected, np.nan)) for answer in answers]
    return answers, faults
