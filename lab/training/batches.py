"""Which images each update sees."""

from typing import Any, NamedTuple

import numpy as np

from gradcheck.arrays import Array
from random_streams import Stream, random_stream


class Batch(NamedTuple):
    """`rows` (batch_size,) of the training part; `flipped` (batch_size,) bool, or None without flips."""

    rows: Array
    flipped: Array | None


class Batches:
    """Update after update, the next rows of an order that is drawn again each epoch; the rows left over at its end wait.

    There are `n` images. An epoch has `per_epoch` updates, at most floor(n / batch_size). Its order and its flips are drawn at
    its start. `generator` is the state that the random generator had then, or has between two epochs: with the number of the
    update it is all that is needed to go on.
    """

    def __init__(self, n: int, batch_size: int, per_epoch: int, seed: int, shuffle: bool = True, flip: bool = False) -> None:
        self.n, self.batch_size, self.per_epoch, self.shuffle, self.flip = n, batch_size, per_epoch, shuffle, flip
        self._rng = random_stream(seed, Stream.BATCHES)
        self.generator: Any = self._rng.bit_generator.state

    def resume(self, update: int, generator: Any) -> None:
        """Goes on at `update`, where `generator` had this state."""
        self._rng.bit_generator.state = self.generator = generator
        if update % self.per_epoch:
            self._draw_epoch()

    def at(self, update: int) -> Batch:
        """The batch of `update`; it has to be called for one update after another."""
        position = update % self.per_epoch
        if position == 0:
            self._draw_epoch()
        span = slice(position * self.batch_size, (position + 1) * self.batch_size)
        if position == self.per_epoch - 1:
            self.generator = self._rng.bit_generator.state
        return Batch(self._order[span], None if self._flipped is None else self._flipped[span])

    def _draw_epoch(self) -> None:
        self._order = self._rng.permutation(self.n) if self.shuffle else np.arange(self.n)  # (n,)
        self._flipped = self._rng.random(self.n) < 0.5 if self.flip else None  # (n,)
