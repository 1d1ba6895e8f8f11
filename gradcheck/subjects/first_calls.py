"""The first calls of a pair's functions: whether they return the same twice, and what they change.

What a call changes and keeps, outside of what it is given, is harmless where later calls return the same all the same: a
cache, a buffer to compute in. Where they do not, it is put back after every further call, so that the rest of the check is
about the gradient, and a sentence says who changed what, and who reads it.
"""

from collections.abc import Callable, Iterable

import numpy as np

from gradcheck.arrays import Array
from gradcheck.errors import UserError
from gradcheck.faults import RAISED, changes_in_place, describe_error, listed, misshapen
from gradcheck.guard import bits
from gradcheck.subjects import repeats
from gradcheck.subjects.pair import Calls, FirstCalls, is_the_callers
from gradcheck.subjects.reached import Place, Snapshot
from gradcheck.subjects.repeats import Answer

# The parameters are moved by so much of themselves, at random, for a call that has to return something else; and by so many
# times more for one whose result has few digits, as float16 has.
MOVED, FURTHER = 1e-3, 100
# More places than these are not looked at one by one.
MOST_PLACES = 8

AFTER_COST = (
    "AFTER COST: gradients uses what the last call of cost left behind, and is right only where that was at the same "
    "parameters; here each of its calls comes right after such a one"
)
REMEMBERED = (
    "gradients returns the same numbers at other parameters, where the slope of cost is another: as if it remembered its first "
    "answer, or left the parameters out"
)

DEPENDS_ON_CALLS = (
    "gradients returns something else after a call at other parameters: it depends on the calls before, and not on the "
    "parameters alone"
)
COST_AFTER_GRADIENTS = "cost(parameters) is another after a call of gradients: that changes something which cost reads"


def first_answers(calls: Calls) -> FirstCalls:
    """Calls cost, gradients and reference a few times, unless that was done before.

    Raises UserError where the cost is no finite number, or not the same twice for a reason that can't be put back, and where
    what gradients returns is no dict.
    """
    if calls.first is None:
        calls.first = Examination(calls).result()
    return calls.first


class Examination:
    """The first calls, one after the other; `faults` and `notes` are sentences on what they show."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.spread: dict[str, Array] = {}

    def begin(self) -> None:
        """Two calls of cost and one of gradients."""
        self.cost = repeats.of_cost(self.calls, self.first_cost())
        self.look_at_cost()
        self.answer = self.first_gradients()
        if self.answer is not None:
            self.faults += misshapen(self.answer, self.calls.parameters)

    def result(self) -> FirstCalls:
        """What these calls show, and further ones."""
        self.begin()
        return self.after_further_calls()

    def after_further_calls(self) -> FirstCalls:
        """What the calls of `begin` show, and further ones."""
        if self.answer and not list(misshapen(self.answer, self.calls.parameters)):
            self.gradients = repeats.of_gradients(self.calls, self.answer)
            self.look_at_gradients()
            self.look_at_reference()
        return self.shown()

    def shown(self) -> FirstCalls:
        """What the calls so far show."""
        changed = [name for name in self.calls.parameters if name in self.calls.changed_by_gradients]
        faults = [*self.faults, *([changes_in_place("gradients", changed)] if changed else [])]
        return FirstCalls(float(self.cost.first["cost"]), self.answer or {}, faults, self.notes, self.spread)

    # Cost.

    def first_cost(self) -> float:
        """The cost; a sentence where it changes what it is given."""
        arrays = self.parameters()
        passed = self.calls.like_given(self.parameters())
        self.before = self.calls.snapshot()
        value = self.calls.cost_of(dict(passed))
        if isinstance(value, complex) or not np.isfinite(value):
            raise UserError(f"cost(parameters) is {value}; a gradient needs a finite real cost")
        if changed := [name for name, array in arrays.items() if bits(passed[name]) != bits(array)]:
            self.faults.append(changes_in_place("cost", changed))
        return value

    def look_at_cost(self) -> None:
        """Whether a second call returns the same."""
        changed = self.changed_by("cost")
        again = self.calls.cost(self.parameters())
        if self.cost.differing({"cost": again}) and not self.puts_right("cost", changed, self.cost_differs):
            first, spread = float(self.cost.first["cost"]), float(self.cost.spread()["cost"])
            raise UserError(
                f"cost(parameters) is not the same twice, {first!r} and {again!r}, and differs by up to {spread:.1e} in "
                f"{repeats.REPEATS} calls: draw its random numbers outside"
            )

    def cost_differs(self) -> list[str]:
        return ["cost"] if self.cost.differing({"cost": self.calls.cost(self.parameters())}) else []

    # Gradients.

    def first_gradients(self) -> Answer | None:
        """What gradients returns, or None where it raises, with or without a call of cost just before."""
        self.before = self.calls.snapshot()
        try:
            return self.calls.claimed()
        except UserError:
            raise
        except Exception as error:
            self.before.put_back(self.changed_by("gradients"))
            self.calls.after_cost = True
            try:
                found = self.calls.claimed()
            except Exception:
                self.calls.after_cost = False
                self.faults.append(f"{RAISED} {describe_error(error)}")
                return None
            self.notes.append(AFTER_COST)
            return found

    def look_at_gradients(self) -> None:
        """Whether further calls, at the same parameters and at others, return what they should."""
        changed = self.changed_by("gradients")
        differing = self.gradients_differ()
        disturbed = bool(changed) and bool(self.cost_differs())
        if (differing and not self.right_after_cost()) or disturbed:
            if not self.puts_right("gradients", changed, self.anything_differs):
                self.say_not_the_same(differing)
                self.faults += [COST_AFTER_GRADIENTS] if disturbed else []
        else:
            self.look_at_other_parameters()

    def look_at_other_parameters(self) -> None:
        """Whether gradients depends on its parameters, and on nothing that calls at other parameters leave behind."""
        moved = self.moved()
        try:
            self.calls.cost(moved(1.0))
        except UserError:  # there is no cost so far away
            return
        if self.gradients_differ() and not self.right_after_cost():
            self.faults.append(DEPENDS_ON_CALLS)
            return
        try:
            there = self.calls.claimed(moved(1.0), self.calls.dtype)
        except Exception:  # there is no gradient so far away
            return
        if self.is_remembered(there, moved):
            self.faults.append(REMEMBERED)
        elif self.gradients_differ():
            self.faults.append(DEPENDS_ON_CALLS)
        if self.gradients.varied:
            self.spread = self.gradients.spread()

    def right_after_cost(self) -> bool:
        """Whether gradients returns what it did at first if cost is called just before, as it is from now on."""
        if self.calls.after_cost:
            return False
        self.calls.after_cost = True
        if self.gradients_differ():
            self.calls.after_cost = False
            return False
        self.notes.append(AFTER_COST)
        return True

    def is_remembered(self, there: Answer, moved: Callable[[float], dict[str, Array]]) -> bool:
        """Whether gradients returned the very same at other parameters, although the cost's slope changes on the way there.

        The changes of a smooth cost's slope are alike from step to step; where they are not, there is a kink or a jump.
        """
        first = self.gradients.first
        if not all(repeats.same_numbers(array, there.get(name)) for name, array in first.items()):
            return False
        if not any(array.any() for array in first.values()):
            return False
        costs = [self.calls.cost(moved(share)) for share in np.linspace(0, 1, 9)]
        bends, changes = np.diff(costs, 2), np.diff(costs, 3)
        rounding = self.cost.rounding_of("cost")
        if np.abs(changes).max() > np.abs(bends).max() / 10 or np.abs(bends).min() <= 4 * rounding:
            return False
        try:
            further = self.calls.claimed(moved(FURTHER), self.calls.dtype)
        except Exception:  # there is no gradient so far away
            return True
        return all(repeats.same_numbers(array, further.get(name)) for name, array in first.items())

    def gradients_differ(self) -> list[str]:
        """The names of those gradients that another call returns otherwise; all where it raises."""
        try:
            return self.gradients.differing(self.calls.claimed())
        except Exception:
            return list(self.gradients.first)

    def say_not_the_same(self, differing: Iterable[str]) -> None:
        """A sentence for each gradient that differs between calls with the same parameters, with its spread."""
        try:
            self.spread = self.gradients.spread()
        except Exception as error:
            self.faults.append(f"the backward pass raised at a later call {describe_error(error)}")
            return
        for name in differing:
            spread, rounding = np.max(self.spread[name]), np.max(self.gradients.rounding_of(name))
            self.faults.append(
                f"the gradient of {name} is not the same twice: it depends on more than the parameters; in {repeats.REPEATS} "
                f"calls an entry differs by up to {spread:.1e}, and rounding may change it by at most {rounding:.1e}"
            )

    # The reference.

    def look_at_reference(self) -> None:
        """Whether the reference changes what the others read."""
        if not self.calls.has_reference:
            return
        self.before = self.calls.snapshot()
        try:
            self.calls.reference(self.calls.parameters, "float64")
        except UserError:  # it is called again, and says so then
            return
        changed = self.changed_by("reference")
        if changed and self.anything_differs():
            self.puts_right("reference", changed, self.anything_differs)

    # What a call changed.

    def changed_by(self, who: str) -> list[Place]:
        """The places that a function changed; those of the caller are put back, with a sentence, and left out.

        They hold the parameters as they were given, and the data of layers.
        """
        changed = self.before.changed()
        own = [place for place in changed if is_the_callers(place)]
        if own:
            self.before.put_back(own)
            self.calls.kept.append((self.before, own))
            self.faults.append(f"{who} changes {listed([place.name for place in own])}, which it may only read")
        return [place for place in changed if place not in own]

    def anything_differs(self) -> list[str]:
        """Which of cost and gradients return something else than at first."""
        return [*self.cost_differs(), *(["gradients"] if self.gradients_differ() else [])]

    def puts_right(self, who: str, changed: list[Place], differing: Callable[[], list[str]]) -> bool:
        """Whether all is as at first once the `changed` places are put back, as they are after each further call then."""
        before, after = self.before, Snapshot(changed)
        before.put_back(changed)
        if not changed or differing():
            return False
        guilty = [place for place in changed if len(changed) <= MOST_PLACES and self.alone_differs(place, after, differing)]
        guilty = guilty or changed
        before.put_back(changed)
        after.put_back(guilty)
        readers = differing() or ["a later call"]
        before.put_back(changed)
        self.calls.kept.append((before, guilty))
        names = listed([place.name for place in guilty])
        self.faults.append(f"{who} changes {names}, which {listed(readers)} read{'s' if len(readers) == 1 else ''}")
        return True

    def alone_differs(self, place: Place, after: Snapshot, differing: Callable[[], list[str]]) -> bool:
        """Whether this place alone, as it is `after` the call, makes a difference."""
        self.before.put_back(after.places())
        after.put_back([place])
        return bool(differing())

    # Parameters.

    def parameters(self) -> dict[str, Array]:
        return {name: array.copy() for name, array in self.calls.parameters.items()}

    def moved(self) -> Callable[[float], dict[str, Array]]:
        """The parameters after a share of a way from where they are: a function of the share."""
        rng = np.random.default_rng(0)
        way = {
            name: MOVED * np.where(array == 0, np.abs(array).max() or 1.0, array) * rng.choice([-1.0, 1.0], array.shape)
            for name, array in self.calls.parameters.items()
        }
        return lambda share: {name: array + share * way[name] for name, array in self.calls.parameters.items()}
