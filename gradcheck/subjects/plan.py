"""What the budget of a check affords, from what its first calls took: every entry, a sample, or a few random directions."""

from collections.abc import Callable
from dataclasses import dataclass

from gradcheck.faults import counted
from gradcheck.subjects.sampling import BLOCKS, SMALLEST_SAMPLE

# Called with a sentence on what a check will do.
Announce = Callable[[str], None]

# Seconds for all that a check of a pair does.
BUDGET = 20.0

# Calls of the cost for its rounding error; for the steps and the Taylor test of a tensor; and for an entry or a direction.
CALLS_OF_A_PAIR, CALLS_OF_A_TENSOR, CALLS_OF_AN_ENTRY = 120, 200, 5
# Of more tensors than these each takes fewer: its step is that of others, and it has one direction of the Taylor test.
MANY_TENSORS, CALLS_OF_A_FURTHER_TENSOR = 16, 50
# Calls of gradients, most of which round at random and take a few times as long.
CALLS_OF_GRADIENTS = 60

# A quick check is one of so many calls of the cost, of which so many are at the parameters.
QUICK_CALLS, BASE_CALLS = 10, 2
# Along a direction there are two at each step, and two steps; where they are not affordable there is one.
FULL_DIRECTION = 4
# No more directions are looked along than these.
MOST_DIRECTIONS = 8

# Seconds for which nobody needs to be told what comes.
PATIENCE = 5.0

UNITS = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))


@dataclass(frozen=True)
class Plan:
    """Of a check of tensors with `sizes` entries each, where a call of cost takes `cost` seconds and one of gradients
    `gradients`; `left` is how many seconds of the budget are left, and `asked` says that a quick check was asked for."""

    cost: float
    gradients: float
    sizes: tuple[int, ...]
    left: float
    asked: bool

    @property
    def quick(self) -> bool:
        """Whether a quick check is made."""
        return self.asked or self.seconds_for(sum(min(size, SMALLEST_SAMPLE) + BLOCKS[0] for size in self.sizes)) > self.left

    @property
    def directions(self) -> int:
        """Along how many random directions a quick check looks: one at least."""
        if self.asked:
            return (QUICK_CALLS - BASE_CALLS) // FULL_DIRECTION
        return int(min(max(self._calls() // FULL_DIRECTION, 1), MOST_DIRECTIONS))

    @property
    def both_steps(self) -> bool:
        """Whether two steps along a direction are affordable."""
        return self.asked or self._calls() >= FULL_DIRECTION

    def _calls(self) -> float:
        """How many further calls of the cost are affordable beside one more of gradients."""
        return (self.left - self.gradients) / max(self.cost, 1e-9)

    def seconds_for(self, entries: int) -> float:
        """What a thorough check of so many entries and directions takes."""
        first, further = min(len(self.sizes), MANY_TENSORS), max(len(self.sizes) - MANY_TENSORS, 0)
        of_tensors = CALLS_OF_A_TENSOR * first + CALLS_OF_A_FURTHER_TENSOR * further
        calls = CALLS_OF_A_PAIR + of_tensors + CALLS_OF_AN_ENTRY * entries
        return calls * self.cost + CALLS_OF_GRADIENTS * self.gradients

    @property
    def seconds(self) -> float:
        """What the check takes from here on."""
        if not self.quick:
            return min(self.seconds_for(sum(self.sizes)), self.left)
        return self.directions * (FULL_DIRECTION if self.both_steps else 2) * self.cost + self.gradients

    @property
    def takes_long(self) -> bool:
        """Whether all entries would take longer than there is, or than one likes to wait without a word."""
        return self.seconds_for(sum(self.sizes)) > min(self.left, PATIENCE)

    def sentence(self) -> str:
        """What a call took, and what is done for that."""
        everything = self.seconds_for(sum(self.sizes))
        what = f"all {sum(self.sizes):,} entries" if everything <= self.left else "a sample of the entries"
        if self.quick:
            what = f"{counted(self.directions, 'random direction')} over all entries of all tensors together"
        rest = "" if what.startswith("all") else f"; all entries would take about {duration(everything)}"
        return f"one call takes {duration(self.cost)}: {what}, in about {duration(self.seconds)}{rest}"


def no_announcement(sentence: str) -> None:
    """An Announce that shows nothing."""


def duration(seconds: float) -> str:
    """ "3 s", "4.2 h": two digits in a unit that suits."""
    size, unit = next((each for each in UNITS if seconds >= each[0]), UNITS[-1])
    return f"{float(f'{seconds / size:.2g}'):g} {unit}"
