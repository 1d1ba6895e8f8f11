"""Which entries the slow oracles look at where all of them would take longer than the budget."""

import zlib
from dataclasses import dataclass

import numpy as np

from gradcheck.arrays import Array

# Random directions over blocks of a tensor of which only a sample of entries is looked at: at least and at most.
BLOCKS = 4, 32

# What a tensor gets of a sample at least.
SMALLEST_SAMPLE = 10


@dataclass(frozen=True)
class Sample:
    """`entries` holds flat indices by tensor, ascending; `blocks` is the number of random directions over the rest of each."""

    entries: dict[str, Array]
    blocks: int

    @property
    def size(self) -> int:
        return sum(map(len, self.entries.values()))


def draw_sample(sizes: dict[str, int], affordable: int, seed: int) -> Sample:
    """A Sample of tensors of these sizes, with about `affordable` entries, or all of them; the same for the same seed."""
    if sum(sizes.values()) <= affordable:
        return Sample({name: np.arange(size) for name, size in sizes.items()}, BLOCKS[0])
    # A power of two, the first of a fixed order: a run that is a little slower draws the same sample.
    share = 2 ** int(np.log2(max(affordable, 1)))
    blocks = min(max(share // (2 * len(sizes)), BLOCKS[0]), BLOCKS[1])
    left, chosen = len(sizes), {}
    for name, size in sorted(sizes.items(), key=lambda item: item[1]):
        count = min(size, max(SMALLEST_SAMPLE, share // left))
        order = np.random.default_rng([seed, zlib.crc32(name.encode())]).permutation(size)
        chosen[name] = np.sort(order[:count])
        share, left = max(share - count, 0), left - 1
    return Sample(chosen, blocks)
