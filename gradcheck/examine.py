"""The check of one subject: forward values first, then every entry of every gradient against every oracle.

A subject is anything that answers to `gradcheck.subject.Subject`.
"""

import time
import zlib

import numpy as np

from gradcheck import verdict
from gradcheck.derivations.estimate import exactly
from gradcheck.derivations.taylor import taylor_test, unit_directions
from gradcheck.report.sentences import NOT_COMPARED, sensitivity_sentence
from gradcheck.result import CheckResult
from gradcheck.subject import ENTRYWISE, ORACLES, no_progress


def examine(subject, oracles=ORACLES, advance=no_progress, seed=0, pictures=False):
    """Checks the subject with those of `oracles` that it has. `advance(entries)` reports progress, in entries of one oracle.

    `seed` is that of the Taylor test's directions; `pictures` fills those of the result.
    """
    started = time.perf_counter()
    asked = [oracle for oracle in ENTRYWISE if oracle in oracles and oracle in subject.oracles]
    cases, faults = subject.evaluate()
    entries = {tensor: subject.entries(tensor) for tensor in subject.parameters}
    estimates = {
        tensor: {oracle: estimate(subject, oracle, tensor, entries[tensor], cases, advance) for oracle in asked}
        for tensor in subject.parameters
    }
    sizes = derivative_sizes(cases, estimates)
    rows, shows, drawn = [], [], {}
    for tensor in subject.parameters:
        row, seen, errors = tensor_row(subject, tensor, entries[tensor], cases, estimates[tensor], sizes[tensor])
        row["directions"] = along_directions(subject, tensor, cases, sizes[tensor])
        if "taylor" in oracles:
            row["taylor"] = along_taylor(subject, tensor, cases, row, [seed, zlib.crc32(tensor.encode())])
        row["verdict"] = verdict.of_tensor(row)
        rows.append(row)
        shows.append(seen)
        if pictures:
            drawn[tensor] = picture(subject, tensor, row, entries[tensor], estimates[tensor], errors)
    # What is missing or misshapen has a sentence already.
    missing = {row["name"] for row in rows if faults and np.isnan(cases[0].claimed[row["name"]]).all()}
    given = [row for row in rows if row["name"] not in missing]
    compared = [seen for row, seen in zip(rows, shows, strict=True) if row["oracles"] and row["name"] not in missing]
    failing = [row["name"] for row in given if row["verdict"] == "fail"]
    if failing:
        sentences = subject.diagnose(cases, truth(subject, entries, estimates), failing)
        for row in rows:
            row["diagnosis"] = sentences.get(row["name"])
    forward = [row for row in (forward_row(quantity, cases, subject.dtype) for quantity in cases[0].forward) if row]
    found = [row["verdict"] for row in forward + rows]
    sampled = any(row["directions"] for row in rows)
    seen = sensitivity_sentence(np.concatenate(compared), sampled) if compared else NOT_COMPARED
    return CheckResult(
        name=subject.name,
        parameters=sum(row["entries"] for row in rows),
        verdict="fail" if faults else verdict.overall(found),
        seconds=time.perf_counter() - started,
        faults=faults,
        notes=list(subject.notes),
        sensitivity=sensitivity_sentence(np.concatenate(compared), any(row["directions"] for row in rows))
        if compared
        else NOT_COMPARED,
        forward=forward,
        tensors=rows,
        pictures=drawn,
    )


def estimate(subject, oracle, tensor, entries, cases, advance):
    """What `oracle` says of the gradient of `tensor` at `entries`, for each case."""
    if oracle == "autograd":
        advance(len(entries))
        return exactly(np.array([case.reference[tensor].ravel()[entries] for case in cases]))  # (cases, entries)
    return subject.estimate(oracle, tensor, entries, advance)


def best(estimates):
    """The derivative by the first oracle, which is the most exact, (cases, entries)."""
    return next(iter(estimates.values())).derivative


def derivative_sizes(cases, estimates):
    """What an uncertainty is large against, for each tensor (cases, 1): its largest derivative; the largest of all tensors
    where its own are but rounding."""
    own = {tensor: largest(best(found)) if found else np.ones((len(cases), 1)) for tensor, found in estimates.items()}
    of_all = np.max(list(own.values()), axis=0)
    rounding = {tensor: np.array([[np.max(case.rounding[tensor])] for case in cases]) for tensor in own}
    return {tensor: np.where(verdict.DECISIVE * size > rounding[tensor], size, of_all) for tensor, size in own.items()}


def largest(derivative):
    finite = np.where(np.isfinite(derivative), np.abs(derivative), 0)
    return finite.max(axis=1, keepdims=True, initial=0)


def at_entries(cases, entries, of):
    """What `of(case)`, an array of a tensor's shape, holds at the entries, for each case: (cases, entries)."""
    return np.array([np.ravel(of(case))[entries] for case in cases], np.float64)


def tensor_row(subject, tensor, entries, cases, estimates, size):
    """A tensor's row of the JSON contract; the smallest error that would have shown in each entry; and the error of each entry
    over what is allowed, nan where it is not checked."""
    shape = subject.parameters[tensor].shape
    claimed = at_entries(cases, entries, lambda case: case.claimed[tensor])
    rounding = at_entries(cases, entries, lambda case: case.rounding[tensor])
    resolved = verdict.RESOLVED[subject.dtype]
    derivatives = {oracle: found.derivative for oracle, found in estimates.items()}
    comparisons = {
        oracle: verdict.compare(claimed, found.derivative, found.uncertainty, rounding, resolved, size)
        for oracle, found in estimates.items()
    }
    crossed, inside, outside = np.zeros((3, len(entries)), bool)
    tie = None
    for found in estimates.values():
        crossed |= found.crossed
        if found.tie is not None:
            exact = [derivatives[o] for o in verdict.EXACT_ORACLES if o in derivatives]
            inside, outside = verdict.between(claimed, found.tie, exact, rounding)
            tie = verdict.beyond_tie(claimed, found.tie, outside, shape, entries)
    total = int(np.prod(shape))
    if comparisons:
        counts = verdict.count(comparisons, crossed, inside, outside, subject.switched)
        shows = verdict.visible_errors(comparisons, best(estimates))
    else:
        counts, shows = dict.fromkeys(verdict.VERDICTS, 0) | {"undecided": len(entries)}, np.full(len(entries), np.inf)
    errors = np.full(total, np.nan)
    if comparisons:
        errors[entries] = verdict.worst_ratio(comparisons)
    row = {
        "name": tensor,
        "shape": list(shape),
        "entries": total,
        "checked": sum(counts.values()) - counts["undecided"],
        **counts,
        "diagnosis": None,
        "tie": tie,
        "alone": verdict.votes(derivatives, comparisons, rounding),
        "sensitivity": verdict.finite_or_none(np.max(shows, where=np.isfinite(shows), initial=0) or np.inf),
        "oracles": {o: verdict.summary(c, claimed, derivatives[o], shape, entries) for o, c in comparisons.items()},
        "directions": None,
        "taylor": None,
    }
    return row, shows, errors


def along_directions(subject, tensor, cases, size):
    """What sampled entries leave out, seen along random directions: how many could be checked, how many fail, and an entry that
    makes one fail. None where every entry is looked at."""
    directions = subject.directions(tensor)  # (D, entries)
    if directions is None:
        return None
    decided, wrong = judge_directions(subject, tensor, cases, size, directions)
    found = {"checked": int(decided.sum()), "fail": int(wrong.sum()), "entry": None}
    if wrong.any():
        found["entry"] = wrong_entry(subject, tensor, cases, size, directions[wrong.argmax()])
    return found


def judge_directions(subject, tensor, cases, size, directions):
    """Which directions (D, entries) could be decided, and along which claimed is wrong, (D,) each."""
    along = subject.along(tensor, directions)
    claimed = np.array([directions @ np.ravel(case.claimed[tensor]) for case in cases])  # (cases, D)
    rounding = np.array([np.sqrt(directions**2 @ np.ravel(case.rounding[tensor]) ** 2) for case in cases])  # (cases, D)
    c = verdict.compare(claimed, along.derivative, along.uncertainty, rounding, verdict.RESOLVED[subject.dtype], size)
    return c.decided.all(axis=0), (c.decided & ~c.agrees).any(axis=0)


def wrong_entry(subject, tensor, cases, size, direction):
    """An entry that makes a direction fail, with both values, by halving it; None where neither half of a failing one does."""
    entries = np.flatnonzero(direction)
    while len(entries) > 1:
        halves = np.array_split(entries, 2)
        parts = np.zeros((2, direction.size))
        for part, half in zip(parts, halves, strict=True):
            part[half] = direction[half] / np.sqrt((direction[half] ** 2).sum())
        _, wrong = judge_directions(subject, tensor, cases, size, parts)
        if not wrong.any():
            return None
        entries = halves[wrong.argmax()]
    alone = np.zeros((1, direction.size))
    alone[0, entries] = 1.0
    return {
        "index": [int(i) for i in np.unravel_index(entries[0], subject.parameters[tensor].shape)],
        "claimed": verdict.finite_or_none(np.ravel(cases[0].claimed[tensor])[entries[0]]),
        "reference": verdict.finite_or_none(subject.along(tensor, alone).derivative[0, 0]),
    }


def along_taylor(subject, tensor, cases, row, seed):
    """The Taylor test of a tensor. It fails nothing that an exact oracle confirms at every entry: then a kink is near."""
    costs_along, rounding = subject.taylor(tensor)
    directions = unit_directions(subject.parameters[tensor].shape, seed)
    claimed, uncertainty = (np.asarray(of[tensor], np.float64) for of in (cases[-1].claimed, cases[-1].rounding))
    found = taylor_test(claimed, uncertainty, directions, costs_along, rounding)
    confirmed = any(oracle in row["oracles"] for oracle in verdict.EXACT_ORACLES) and not (row["fail"] or row["undecided"])
    if found["verdict"] == "fail" and (confirmed or subject.switched):
        switched = "a ReLU is active in float32 and not in float64"
        reason = "every entry is confirmed without a step: a kink is near" if confirmed else switched
        found |= {"verdict": "inconclusive", "reason": reason}
    return found


def picture(subject, tensor, row, entries, estimates, errors):
    """What the page draws of a tensor: the error of each entry, and at the worst by the first oracle, that of each step."""
    drawn = {"errors": errors.reshape(subject.parameters[tensor].shape), "sweep": None}
    if row["oracles"]:
        index = next(iter(row["oracles"].values()))["worst"]["index"]
        entry = int(np.ravel_multi_index(index, row["shape"])) if index else 0
        exact = float(best(estimates)[-1][np.searchsorted(entries, entry)])
        drawn["sweep"] = {"index": index, **subject.sweep(tensor, entry, exact)}
    return drawn


def truth(subject, entries, estimates):
    """Derivatives by the most exact oracle, by tensor, (cases, *shape), with their uncertainty, where all entries are known."""
    return {
        tensor: (best(found).reshape(-1, *subject.parameters[tensor].shape), np.max(next(iter(found.values())).uncertainty))
        for tensor, found in estimates.items()
        if found and len(entries[tensor]) == subject.parameters[tensor].size
    }


def forward_row(quantity, cases, dtype):
    """What both forward passes computed, or None where only one did."""
    if cases[0].reference_forward is None:
        return None
    ours = np.array([np.ravel(case.forward[quantity]) for case in cases], np.float64)
    theirs = np.array([np.ravel(case.reference_forward[quantity]) for case in cases], np.float64)
    rounding = np.array([np.ravel(case.rounding[quantity]) for case in cases])
    size = np.abs(theirs).max(axis=1, keepdims=True)
    # A logit is as exact as its layer: what it may be off by is that of the largest.
    rounding = np.broadcast_to(rounding.max(axis=1, keepdims=True), ours.shape)
    c = verdict.compare(ours, theirs, np.zeros_like(ours), rounding, verdict.RESOLVED[dtype], size)
    shape = np.shape(cases[0].forward[quantity])
    return {
        "name": quantity,
        "verdict": "pass" if c.agrees.all() else "fail",
        **verdict.summary(c, ours, theirs, shape, np.arange(ours.shape[1])),
    }
