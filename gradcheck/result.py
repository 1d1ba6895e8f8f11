"""What a check finds: a CheckResult, and the forms of its JSON."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypedDict

Verdict = Literal["pass", "fail", "undecided"]


class WorstEntry(TypedDict):
    """The entry that is nearest to what is allowed, or furthest past it; None stands for a number that is not finite.

    `index` is None where the oracle has no say in the verdict at any entry, as where all lie at exact ties. `rel_error` and
    `allowed` are relative to the entry; where it is smaller than what is allowed, to the largest derivative of its tensor.
    `allowed` is None where an oracle does not know how far off it may be: then the entry is undecided.
    """

    index: list[int] | None
    claimed: float | None
    reference: float | None
    rel_error: float | None
    allowed: float | None


class Comparison(TypedDict):
    """The claimed gradient against one oracle: the largest errors of the entries whose verdict rests on it."""

    max_abs_error: float | None
    max_rel_error: float | None
    worst: WorstEntry


class ForwardRow(Comparison):
    """A quantity that both forward passes computed."""

    name: str
    verdict: Literal["pass", "fail"]


class Tie(TypedDict):
    """An entry at an exact tie, such as a ReLU of exactly 0, with its one-sided derivatives."""

    index: list[int]
    claimed: float | None
    left: float | None
    right: float | None


class DirectionEntry(TypedDict):
    """An entry that makes a random direction fail."""

    index: list[int]
    claimed: float | None
    reference: float | None


class Directions(TypedDict):
    """Random directions over the entries that a sample leaves out."""

    checked: int
    fail: int
    entry: DirectionEntry | None


class TaylorDirection(TypedDict):
    """The Taylor test along one direction: the remainder at each step, and the slope within the window of steps."""

    verdict: Literal["pass", "fail", "inconclusive"]
    slope: float | None
    window: list[float] | None
    remainders: list[float | None]


class Taylor(TypedDict):
    """The Taylor test of a tensor, along a few random directions."""

    verdict: Literal["pass", "fail", "inconclusive"]
    reason: str | None
    steps: list[float]
    directions: list[TaylorDirection]


# "pass" can't be the name of a class's field.
Passed = TypedDict("Passed", {"pass": int})


class TensorRow(Passed):
    """A tensor of the gradient: `entries` of which `checked` were decided, and how many of them pass, fail, or pass at a kink.

    `diagnosis` is the likely bug in a sentence. `tie` is an entry at an exact tie that lies beyond its one-sided derivatives,
    `between` one that lies between them and is right for that alone. `alone` counts the entries at which one derivation stands
    against the others: "claimed", or an oracle; of a tensor that fails, those that fail. `tolerance` is what was asked for, a
    share of the tensor's largest derivative; None where nothing was. `sensitivity` is the smallest relative error that would
    have been seen in every entry. `directions` is None where every entry was looked at, `taylor` where that test was not asked
    for. Where no gradient of the tensor came, or none of its form, it fails, and there are no `oracles`, no `tie`, no
    `directions` and no `taylor`.
    """

    name: str
    shape: list[int]
    entries: int
    checked: int
    kink: int
    undecided: int
    fail: int
    verdict: Verdict
    diagnosis: str | None
    tie: Tie | None
    between: Tie | None
    alone: dict[str, int]
    sensitivity: float | None
    tolerance: float | None
    oracles: dict[str, Comparison]
    directions: Directions | None
    taylor: Taylor | None


class NetworkResult(TypedDict):
    """A CheckResult in JSON."""

    name: str
    parameters: int
    verdict: Verdict
    seconds: float
    faults: list[str]
    notes: list[str]
    sensitivity: str
    forward: list[ForwardRow]
    tensors: list[TensorRow]


class RunResult(TypedDict):
    """What `--json` writes: the verdict on all that was checked, and each result."""

    verdict: Verdict
    seconds: float
    networks: list[NetworkResult]


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    `verdict` is "pass", "fail" or "undecided"; `seconds` is how long it took. `faults` are sentences on what no entry can show:
    a gradient of the wrong shape, parameters that changed meanwhile. `notes` say what was not done as it should. `sensitivity`
    is a sentence on the smallest error that would have been seen. `forward` and `tensors` have the form of the JSON contract.
    `pictures` is for the page alone, by tensor: "errors", |claimed - reference| over what is allowed, and "sweep".

    Example:
        >>> import numpy as np
        >>> result = check({"w": np.ones(3)}, lambda p: (p["w"] ** 2).sum(), lambda p: {"w": 2 * p["w"]})
        >>> result.verdict, result.parameters, result.tensors[0]["pass"]
        ('pass', 3, 3)
        >>> result.as_json()["tensors"][0]["shape"]
        [3]
    """

    name: str
    parameters: int
    verdict: Verdict
    seconds: float
    faults: list[str]
    notes: list[str]
    sensitivity: str
    forward: list[ForwardRow]
    tensors: list[TensorRow]
    pictures: dict[str, Any]

    def with_faults(self, faults: list[str]) -> "CheckResult":
        """The same result with more faults, which fail it."""
        return replace(self, faults=self.faults + faults, verdict="fail" if faults else self.verdict)

    def with_changed(self, names: list[str]) -> "CheckResult":
        """The same result with a fault for each array or generator that changed meanwhile."""
        return self.with_faults([f"the check may only read {name}, which changed" for name in names])

    def as_json(self) -> NetworkResult:
        """The result as the JSON contract has it, `pictures` left out."""
        found: Any = asdict(replace(self, pictures={}))
        del found["pictures"]
        return found


def finite_or_none(value: float) -> float | None:
    """A number for JSON, which has none that is not finite: None stands for those."""
    return float(value) if math.isfinite(value) else None
