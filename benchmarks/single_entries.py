#!/usr/bin/env python3
"""One entry of a claimed gradient has a relative error of 1e-3, 1e-6 or 1e-9: does the check find this entry and no other?

It is found when the verdict is fail, with one failing entry, in that tensor, at that index. Entries are drawn among those
that can carry such an error: a derivative that is exactly 0 has no relative error, and in one that is only rounding no error is
visible. The table says how many can't carry it. Run from the project's folder: python -m benchmarks.single_entries.
"""

import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track

from benchmarks.random_networks import draw
from gradcheck.examine import examine_subject, tensor_checks
from gradcheck.per_layer import lambda_per_layer
from gradcheck.report.tables import markdown
from gradcheck.subject import ENTRYWISE, CostAndGradients, no_progress
from gradcheck.subjects.network import NetworkSubject
from lab import twins
from lab.network_check import chain_of
from networks import NAMED, Network, nonzero_state

ERRORS = (1e-3, 1e-6, 1e-9)
LAMS = (0.0, 0.01)
BATCH = 20
# Errors of each size that are planted in each tensor of a named network; in a random network it is one.
ENTRIES = 2
# Correct entries of every tensor that are checked beside the planted one.
OTHERS = 4
RANDOM_NETWORKS = 30


class Planted:
    """A hand-written twin with one entry of its gradient multiplied by 1 + `error`."""

    def __init__(self, claimed: Any, tensor: str, entry: int, error: float) -> None:
        self.original, self.tensor, self.entry, self.error = claimed, tensor, entry, error
        self.state, self.load_state = claimed.state, claimed.load_state

    def cost_and_gradients(self, X: np.ndarray, y: np.ndarray, lam: Any) -> CostAndGradients:
        answer = self.original.cost_and_gradients(X, y, lam)
        answer.gradients[self.tensor].flat[self.entry] *= 1 + self.error
        return answer


class Subject(NetworkSubject):
    """A network whose rounding, the slow part of a check of few entries, is measured once for all errors planted in it."""

    @cached_property
    def rounding(self) -> dict[str, np.ndarray]:
        return super().loss_rounding()

    def loss_rounding(self) -> dict[str, np.ndarray]:
        return self.rounding


class Count(NamedTuple):
    """Of one size of error in one network: how many entries can't carry it, how many were planted, and which were missed."""

    cannot_carry: int
    planted: int
    missed: list[str]


def smallest_visible_errors(subject: Subject) -> dict[str, np.ndarray]:
    """By tensor, the smallest relative error that is visible in each entry: infinite where it can carry none."""
    cases, _ = subject.evaluate()
    return {name: check.visible_errors for name, check in tensor_checks(subject, ("autograd",), cases, no_progress).items()}


def plant(subject: Subject, entries: int = ENTRIES, tensors: Sequence[str] | None = None) -> list[Count]:
    """A Count for each of ERRORS, each planted in `entries` entries of each tensor, or of each of `tensors`, one at a time."""
    rng, claimed, visible = np.random.default_rng([0, 5]), subject.claimed, smallest_visible_errors(subject)
    counts = []
    for error in ERRORS:
        planted, missed = 0, []
        for tensor in visible if tensors is None else tensors:
            carriers = np.flatnonzero(visible[tensor] < error)
            for entry in rng.choice(carriers, min(entries, len(carriers)), replace=False):
                planted += 1
                if not is_found(subject, claimed, tensor, entry, error, rng):
                    missed.append(f"{subject.name} {tensor}, entry {entry}, {error:g}")
        counts.append(Count(sum(int((each >= error).sum()) for each in visible.values()), planted, missed))
    return counts


def is_found(subject: Subject, claimed: Any, tensor: str, entry: int, error: float, rng: np.random.Generator) -> bool:
    """Whether the check of this one planted error finds it and nothing else."""
    sizes = {name: array.size for name, array in subject.parameters.items()}
    sample = {name: rng.choice(size, min(OTHERS, size), replace=False) for name, size in sizes.items()}
    subject.sample = {name: np.union1d(some, [entry] if name == tensor else []).astype(int) for name, some in sample.items()}
    subject.claimed = Planted(claimed, tensor, entry, error)
    result = examine_subject(subject, ENTRYWISE)
    wrong = [(row["name"], row["fail"]) for row in result.tensors if row["fail"]]
    if (result.verdict, result.faults, wrong) != ("fail", [], [(tensor, 1)]):
        return False
    worst = next(row for row in result.tensors if row["fail"])["oracles"]["complex-step"]["worst"]["index"]
    return bool(np.ravel_multi_index(worst, subject.parameters[tensor].shape) == entry)


def named_subject(network: Network) -> Subject:
    """One of the seven networks at full size, at random parameters and inputs."""
    rng = np.random.default_rng([0, 2])
    X, y = rng.standard_normal((BATCH, network.inputs)), rng.integers(0, network.outputs, BATCH)
    claimed, reference = twins.build(network, nonzero_state(network))
    lams, chain = [lambda_per_layer(lam, network.depth) for lam in LAMS], chain_of(network, claimed.parameters, X, y)
    return Subject(network.name, claimed, reference, chain, y, lams)


def random_subjects(count: int) -> Iterator[Subject]:
    """Small random networks in float64, none of them with a unit at its kink, where more than one gradient is right."""
    seed = 0
    while count:
        drawn = draw(seed)
        if drawn.dtype == "float64" and not {"biases 0", "exact ties"} & set(drawn.kinds):
            claimed, reference = drawn.twins()
            chain = chain_of(drawn.network, claimed.parameters, drawn.X, drawn.y)
            lams = [lambda_per_layer(drawn.lam, drawn.network.depth)]
            yield Subject(drawn.network.name, claimed, reference, chain, drawn.y, lams)
            count -= 1
        seed += 1


def row_of(name: str, subjects: list[Subject], results: list[list[Count]]) -> tuple[str, ...]:
    """A row of the table, for one network or the sum of several."""
    cells = [name, f"{sum(len(s.parameters) for s in subjects):,}"]
    cells.append(f"{sum(array.size for s in subjects for array in s.parameters.values()):,}")
    cells.append(" / ".join(f"{sum(counts[k].cannot_carry for counts in results):,}" for k in range(len(ERRORS))))
    for k in range(len(ERRORS)):
        planted = sum(counts[k].planted for counts in results)
        cells.append(f"{planted - sum(len(counts[k].missed) for counts in results):,} of {planted:,}")
    return tuple(cells)


def main() -> int:
    started = time.perf_counter()
    sizes = [f"{error:g}" for error in ERRORS]
    rows = [("network", "tensors", "entries", f"cannot carry {' / '.join(sizes)}", *(f"found at {size}" for size in sizes))]
    missed = []
    for network in track(NAMED.values(), "", transient=True):
        subject = named_subject(network)
        counts = plant(subject)
        rows.append(row_of(network.name, [subject], [counts]))
        missed += [each for count in counts for each in count.missed]
    subjects = list(random_subjects(RANDOM_NETWORKS))
    results = [plant(subject, entries=1) for subject in track(subjects, "", transient=True)]
    rows.append(row_of(f"{RANDOM_NETWORKS} random networks", subjects, results))
    missed += [each for counts in results for count in counts for each in count.missed]
    print("\n".join([markdown(rows), "", *(f"missed: {each}" for each in missed)]))
    print(f"{len(missed)} missed, in {time.perf_counter() - started:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
