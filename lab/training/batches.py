"""Which images each update sees."""

from typing import NamedTuple

import numpy as np

from random_streams import Stream, random_stream


class Batch(NamedTuple):
    """`rows` (batch_size,) of the training part; `flipped` (batch_size,) bool, or None without flips."""

    rows: np.ndarray
    flipped: np.ndarray | None


class Batches:
    """Update after update, the next rows of an order that is drawn anew each epoch; the rows left over at its end wait.

    An epoch has `per_epoch` updates, at most floor(n / batch_size). Its order and its flips are drawn at its start.
    `generator` is the state that the random generator had then, or has between two epochs: with the update number it is all
    one needs to go on.
    """

    def __init__(self, n, batch_size, per_epoch, seed, shuffle=True, flip=False):
        self.n, self.batch_size, self.per_epoch, self.shuffle, self.flip = n, batch_size, per_epoch, shuffle, flip
        self._rng = random_stream(seed, Stream.BATCHES)
        self.generator = self._rng.bit_generator.state

    def resume(self, update, generator):
        """Goes on at `update`, where `generator` was what it is now."""
        self._rng.bit_generator.state = self.generator = generator
        if update % self.per_epoch:
            self._draw_epoch()

    def at(self, update):
        """The batch of `update`; call it for one update after another."""
        position = update % self.per_epoch
        if position == 0:
            self._draw_epoch()
        span = slice(position * self.batch_size, (position + 1) * self.batch_size)
        if position == self.per_epoch - 1:
            self.generator = self._rng.bit_generator.state
        return Batch(self._order[span], self._flipped[span] if self.flip else None)

    def _draw_epoch(self):
        self._order = self._rng.permutation(self.n) if self.shuffle else np.arange(self.n)
        self._flipped = self._rng.random(self.n) < 0.5 if self.flip else None
