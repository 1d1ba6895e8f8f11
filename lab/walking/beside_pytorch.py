"""The walk: a few updates of the very twin that will train, beside PyTorch, each from the state that the twin is in.

A backward pass can be right at one point, one batch and one call, and wrong in use. So each update has other rows; one batch
size comes twice and then another; the weights grow and shrink on the way, and evaluation mode is looked at in between.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradcheck.arrays import Array
from gradcheck.per_layer import split_name
from gradcheck.rounding.draws import UNIT
from lab.twins import State, shared_cores
from lab.walking import reference
from lab.walking.points import POINTS, Point, state_at
from lab.walking.rates import along, kinks, learning_rates
from lab.walking.reference import Batch, Tensors
from lab.walking.rounding import Draws, Expected, expect
from lab.walking.walker import Astray, Walker, asked, compare
from networks import IMAGE_SHAPE, moved_off_zeros
from random_streams import Stream, random_stream

# Images at which evaluation mode is looked at: more than a tile that a product may be cut into.
EVALUATED = 200


def images_needed(batch_size: int) -> int:
    """How many images a walk with batches of this size needs for each update to have other rows."""
    return EVALUATED + 3 * batch_size


class Images(NamedTuple):
    """Images of the pool: `rows` (n,), which of them are `flipped` (n,) or None, and both as the reference has them."""

    rows: Array
    flipped: Array | None
    batch: Batch


def walk(walker: Walker, X: Array, y: Array, batch_size: int, flip: bool = False, seed: int = 0) -> str | None:
    """A sentence on the first thing that the walker does and PyTorch does not, or None.

    It starts at its own state, moved off zeros and ones, and takes batches of `batch_size` and of another size from the rows
    of X (N, d), y (N,), mirrored at random if `flip`.
    """
    try:
        with shared_cores(("manual", "torch")):
            Walk(walker, X, y, seed).go(batch_size, flip)
    except Astray as astray:
        return str(astray)
    return None


class Walk:
    """One walk. `updates` counts the updates that were taken; its methods raise Astray."""

    def __init__(self, walker: Walker, X: Array, y: Array, seed: int) -> None:
        self.walker, self.stack, self.network = walker, walker.stack, walker.stack.network
        self.updates, self.rng, self.seed = 0, random_stream(seed, Stream.WALK), seed
        self.X, self.y = self.stack.array(X.astype(walker.dtype)), self.stack.array(y)
        in_dtype = X.astype(walker.dtype).astype(np.float64)
        self.batch = Batch(*(torch.as_tensor(array, device=walker.device) for array in (in_dtype, y, walker.lam)))

    def go(self, batch_size: int, flip: bool) -> None:
        start = [moved_off_zeros(state, self.seed) for state in self.states()]
        for point in POINTS:
            sizes = [batch_size if which == "same" else other_size(batch_size) for which in point.batches]
            taken = [self.images(size, flip) for size in sizes]
            at = state_at(point, self.network, self.tensors(start), [each.batch.X for each in taken])
            self.load([{name: array[k].numpy(force=True) for name, array in at.items()} for k in range(len(start))])
            for each, following in zip(taken, [*taken[1:], None], strict=True):
                draws = Draws(self.tensors(self.states()), self.walker.dtype)
                if following is None:
                    self.check_evaluation(point, draws)
                    self.check_training_pass(point, draws, each)
                self.take_update(point, draws, each, following)

    def images(self, n: int, flip: bool) -> Images:
        """The next n images: other rows than before, where the pool has as many."""
        available = len(self.batch.y)
        rows = np.concatenate([self.rng.permutation(available) for _ in range(-(-n // available))])[:n]
        flipped = self.rng.random(n) < 0.5 if flip else None
        X, y, lam = self.batch
        chosen = torch.as_tensor(rows, device=X.device)
        taken = X[chosen]  # (n, d)
        if flipped is not None:
            mirrored = taken.view(-1, *IMAGE_SHAPE).flip(-1).view(taken.shape)
            taken = torch.where(torch.as_tensor(flipped, device=X.device)[:, None], mirrored, taken)
        return Images(rows, flipped, Batch(taken, y[chosen], lam))

    def states(self) -> list[State]:
        with asked(f"the state of {self.walker.name}"):
            return self.stack.states()

    def tensors(self, states: Sequence[State]) -> Tensors:
        """States as tensors in float64, (C, ...) each, where the reference computes."""
        stacked = {name: np.stack([state[name] for state in states]).astype(np.float64) for name in states[0]}
        return {name: torch.as_tensor(array, device=self.walker.device) for name, array in stacked.items()}

    def load(self, states: Sequence[State]) -> None:
        with asked(f"to load a state into {self.walker.name}"):
            self.stack.load_states(states)
        self.check_same(states, "does not hold the state that it was given")

    def check_apart(self, held: Sequence[State], copies: Sequence[State], where: str) -> None:
        """Raises Astray where a state that was taken before an update changes with it; `copies` are of it as it was."""
        for state, copied in zip(held, copies, strict=True):
            for name, array in copied.items():
                if not np.array_equal(state[name], array, equal_nan=True):
                    raise Astray(f"a state of {self.walker.name} is no copy: {name} changes with {where}")

    def check_same(self, states: Sequence[State], what: str) -> None:
        """Raises Astray where the walker is not in these states, as its dtype holds them."""
        for state, found in zip(states, self.states(), strict=True):
            for name, array in state.items():
                if not np.array_equal(found[name], array.astype(self.walker.dtype), equal_nan=True):
                    raise Astray(f"{self.walker.name} {what}: {name} differs")

    def check_evaluation(self, point: Point, draws: Draws) -> None:
        """Loss, cost and accuracy, and of a single twin its activations and logits, in evaluation mode."""
        X, y, lam = self.batch
        batch, before, walker = Batch(X[:EVALUATED], y[:EVALUATED], lam), self.states(), self.walker
        expected = expect(partial(reference.evaluation, self.network), draws, batch)
        where = f"in evaluation mode after {self.updates} updates of the walk ({len(batch.y):,} images, {point.words})"
        with asked(f"{walker.name} {where}"):
            found = self.stack.evaluate(self.X[:EVALUATED], self.y[:EVALUATED], walker.lam)
            claimed = [("loss", found.loss), ("cost", found.cost), *walker.outputs(self.X[:EVALUATED])]
        for name, value in claimed:
            compare(f"{walker.name} {where}", name, value, expected.outcome.values[name], expected.allowed[name])
        accuracy, undecided = accuracies(expected, batch.y)
        compare(f"{walker.name} {where}", "accuracy", found.accuracy, accuracy, undecided)
        self.check_same(before, f"{where} changes its own state")

    def check_training_pass(self, point: Point, draws: Draws, images: Images) -> None:
        """Of a single twin, the logits in training mode and the running statistics after them, which are put back."""
        before, where = self.states(), f"a forward pass in training mode ({len(images.rows):,} images, {point.words})"
        with asked(f"{where} of {self.walker.name}"):
            X, _ = self.stack.batch(self.X, self.y, images.rows, images.flipped)
            logits = self.walker.training_logits(X)
        if logits is None:
            return
        expected, after = (
            expect(partial(reference.training_pass, self.network), draws, images.batch),
            self.tensors(self.states()),
        )
        found: list[tuple[str, Array | Tensor]] = [("logits", logits)]
        for name, value in found + [(name, after[name]) for name in self.network.statistic_shapes()]:
            compare(f"{where} of {self.walker.name}", name, value, expected.outcome.values[name], expected.allowed[name])
        self.load(before)

    def take_update(self, point: Point, draws: Draws, images: Images, following: Images | None) -> None:
        """Takes one update, and compares all that it returns and leaves behind."""
        before, walker = draws.state, self.walker
        expected = expect(partial(reference.update, self.network), draws, images.batch)
        rates = learning_rates(self.network, before, expected, following and following.batch)
        self.updates += 1
        where = f"update {self.updates} of the walk ({len(images.rows):,} images, {point.words})"
        with asked(f"{where} of {walker.name}"):
            held = self.stack.states()
            copies = [{name: array.copy() for name, array in state.items()} for state in held]
            X, y = self.stack.batch(self.X, self.y, images.rows, images.flipped)
            losses, costs = self.stack.train_step(X, y, walker.lam, rates.numpy(force=True))
        self.check_apart(held, copies, where)
        for numbers in (losses, costs):
            if numbers.dtype != walker.reported:
                raise Astray(f"{where} of {walker.name} computes in {numbers.dtype} instead of {walker.reported}")
        values, allowed = expected.outcome.values, expected.allowed
        steps = self.allowed_steps(before, expected, rates)
        after = self.tensors(self.states())
        for name, step_allowed in steps.items():
            what = f"an update of {walker.name} does not move {name} by lr times its gradient; {where}"
            compare(
                what,
                f"the step of {name}",
                after[name] - before[name],
                -along(rates, before[name]) * values[name],
                step_allowed,
            )
        for name, value in {"loss": losses, "cost": costs}.items():
            compare(f"{walker.name} in {where}", name, value, values[name], allowed[name])
        for name in self.network.statistic_shapes():
            compare(f"{walker.name} after {where}", name, after[name], values[name], allowed[name])

    def allowed_steps(self, before: Tensors, expected: Expected, rates: Tensor) -> dict[str, Tensor]:
        """How far off each entry of a step may be, by parameter: infinity where a ReLU at its kink reaches it.

        To what its gradient may be off by comes the rounding of the step itself and of the parameter behind it.
        """
        unit, values = UNIT[self.walker.dtype], expected.outcome.values
        reached = kinks(expected.outcome.inputs, expected.margins)  # (C,)
        found = {}
        for name in self.network.parameter_shapes():
            _, layer = split_name(name)
            known = torch.where(layer > reached, expected.allowed[name], torch.inf)
            step = along(rates, before[name]) * values[name]
            found[name] = along(rates * known, step) + unit * (before[name].abs() + 2 * step.abs())
        return found


def other_size(n: int) -> int:
    """Another batch size: a quarter, or where that is few, one more."""
    return n // 4 if n >= 12 else n + 1


def accuracies(expected: Expected, y: Tensor) -> tuple[Tensor, Tensor]:
    """The accuracies (C,), and by how much they may be off for the rows whose largest logits rounding could exchange."""
    logits = expected.outcome.values["logits"]  # (C, n, K)
    right = (logits.argmax(dim=2) == y).double().mean(dim=1)
    top = logits.topk(min(2, logits.shape[2]), dim=2).values  # (C, n, 2)
    close = top[..., 0] - top[..., -1] <= 2 * expected.allowed["logits"][:, None]  # (C, n)
    return right, (close.sum(dim=1) + 0.5) / len(y)
