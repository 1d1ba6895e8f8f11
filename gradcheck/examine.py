"""The course of a check: forward values first, then every entry of every gradient against every oracle, then the verdict.

A subject is anything that answers to `gradcheck.subject.Subject`.
"""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from gradcheck import verdict
from gradcheck.arrays import Array
from gradcheck.derivations.estimate import Estimate, at_places, exactly, largest_known, unknown
from gradcheck.faults import never_came
from gradcheck.report.sentences import NOT_COMPARED, sensitivity_sentence
from gradcheck.result import CheckResult, ForwardRow, TensorRow
from gradcheck.subject import ENTRYWISE, ORACLES, Advance, Case, Subject, no_progress
from gradcheck.tensor_check import TensorCheck
from gradcheck.worst import summary

NOTHING_ASKED: Mapping[str, float] = MappingProxyType({})


def examine_subject(
    subject: Subject,
    oracles: Sequence[str] = ORACLES,
    advance: Advance = no_progress,
    seed: int = 0,
    pictures: bool = False,
    tolerance: Mapping[str, float] = NOTHING_ASKED,
) -> CheckResult:
    """Checks the subject with those of `oracles` that it has. `advance(entries)` reports progress, in entries of one oracle.

    `seed` is that of the Taylor test's directions; `pictures` fills those of the result. `tolerance` is what is allowed beyond
    rounding, by tensor, as a share of its largest derivative.
    """
    started = time.perf_counter()
    cases, faults = subject.evaluate()
    checks = tensor_checks(subject, oracles, cases, advance, tolerance)
    # What is missing or misshapen has a sentence already.
    missing = {tensor for tensor in checks if np.isnan(cases[0].claimed[tensor]).all() and never_came(faults, tensor)}
    rows = {
        tensor: check.row_without_gradient() if tensor in missing else check.row("taylor" in oracles, seed)
        for tensor, check in checks.items()
    }
    forward = forward_rows(cases, subject.dtype)
    # Where the forward passes differ, they are what is wrong, and nothing is known of the backward pass.
    if all(row["verdict"] == "pass" for row in forward):
        diagnose(subject, cases, checks, {tensor: row for tensor, row in rows.items() if tensor not in missing})
    found = [*(row["verdict"] for row in forward), *(row["verdict"] for row in rows.values())]
    if not faults and "fail" not in found:
        faults = subject.walk([tensor for tensor, row in rows.items() if row["verdict"] == "pass"], tolerance)
    return CheckResult(
        name=subject.name,
        parameters=sum(row["entries"] for row in rows.values()),
        verdict="fail" if faults else verdict.overall(found),
        seconds=time.perf_counter() - started,
        faults=faults,
        notes=[*subject.notes, *(note for check in checks.values() for note in check.notes())],
        sensitivity=describe_sensitivity(rows, [check for tensor, check in checks.items() if tensor not in missing]),
        forward=forward,
        tensors=list(rows.values()),
        pictures={tensor: check.picture(rows[tensor]) for tensor, check in checks.items()} if pictures else {},
    )


def tensor_checks(
    subject: Subject,
    oracles: Sequence[str],
    cases: list[Case],
    advance: Advance,
    tolerance: Mapping[str, float] = NOTHING_ASKED,
) -> dict[str, TensorCheck]:
    """A TensorCheck of each tensor, by name, with what the oracles say."""
    chosen = [oracle for oracle in ENTRYWISE if oracle in oracles and oracle in subject.oracles]
    entries = {tensor: subject.entries(tensor) for tensor in subject.parameters}
    estimates = {}
    for tensor in subject.parameters:
        found = {oracle: estimate(subject, oracle, tensor, entries[tensor], cases, advance) for oracle in chosen}
        asked, entries[tensor] = entries[tensor], subject.entries(tensor)
        if len(entries[tensor]) < len(asked):  # the time was over
            found = {oracle: at_places(each, np.isin(asked, entries[tensor])) for oracle, each in found.items()}
        estimates[tensor] = subject.second_look(tensor, entries[tensor], found)
    if not subject.depends(estimates):
        estimates = {tensor: {oracle: unknown(each) for oracle, each in found.items()} for tensor, found in estimates.items()}
    sizes = derivative_sizes(subject, cases, estimates)
    return {
        tensor: TensorCheck(subject, tensor, entries[tensor], cases, estimates[tensor], sizes[tensor], tolerance.get(tensor))
        for tensor in subject.parameters
    }


def estimate(subject: Subject, oracle: str, tensor: str, entries: Array, cases: Sequence[Case], advance: Advance) -> Estimate:
    """What `oracle` says of the gradient of `tensor` at `entries`, for each case."""
    if oracle == "autograd":
        advance(len(entries))
        return exactly(np.array([case.reference[tensor].ravel()[entries] for case in cases if case.reference is not None]))
    return subject.estimate(oracle, tensor, entries, advance)


def derivative_sizes(
    subject: Subject, cases: Sequence[Case], estimates: Mapping[str, Mapping[str, Estimate]]
) -> dict[str, Array]:
    """What an uncertainty is large against, for each tensor (cases, 1): its largest derivative; the largest of all tensors
    where its own are but rounding; and what they would be were the cost to change by its own size where those are too."""
    rounding = {tensor: np.array([[np.max(case.rounding[tensor])] for case in cases]) for tensor in estimates}
    own = {
        tensor: largest_known(next(iter(found.values()))) if found else np.ones((len(cases), 1))
        for tensor, found in estimates.items()
    }
    of_all = np.max(list(own.values()), axis=0)
    sizes = {}
    for tensor, size in own.items():
        size = np.where(verdict.DECISIVE * size > rounding[tensor], size, of_all)
        sizes[tensor] = np.where(verdict.DECISIVE * size > rounding[tensor], size, np.maximum(size, subject.scale(tensor)))
    return sizes


def diagnose(subject: Subject, cases: list[Case], checks: Mapping[str, TensorCheck], rows: Mapping[str, TensorRow]) -> None:
    """Writes the likely bug into the rows that fail."""
    failing = [tensor for tensor, row in rows.items() if row["verdict"] == "fail"]
    if failing:
        truth = {tensor: found for tensor, check in checks.items() if (found := check.truth()) is not None}
        for tensor, sentence in subject.diagnose(cases, truth, failing).items():
            rows[tensor]["diagnosis"] = sentence


def describe_sensitivity(rows: Mapping[str, TensorRow], checks: Sequence[TensorCheck]) -> str:
    """A sentence on the smallest error that would have been seen."""
    visible = [check.visible_errors[np.isfinite(check.claimed).all(axis=0)] for check in checks if check.judgements]
    sampled = any(row["directions"] for row in rows.values())
    return sensitivity_sentence(np.concatenate(visible), sampled) if visible else NOT_COMPARED


def forward_rows(cases: list[Case], dtype: str) -> list[ForwardRow]:
    """A row for each quantity that both forward passes computed; none where only one did."""
    references = [case.reference_forward for case in cases if case.reference_forward is not None]
    return [forward_row(quantity, cases, references, dtype) for quantity in cases[0].forward] if references else []


def forward_row(quantity: str, cases: list[Case], references: list[dict[str, Array]], dtype: str) -> ForwardRow:
    claimed = np.array([np.ravel(case.forward[quantity]) for case in cases], np.float64)
    reference = np.array([np.ravel(forward[quantity]) for forward in references], np.float64)
    rounding = np.array([np.ravel(case.rounding[quantity]) for case in cases])
    size = np.abs(reference).max(axis=1, keepdims=True)
    # A logit is as exact as its layer: what it may be off by is that of the largest.
    rounding = np.broadcast_to(rounding.max(axis=1, keepdims=True), claimed.shape)
    c = verdict.compare(claimed, reference, np.zeros_like(claimed), rounding, verdict.RESOLVED[dtype], size)
    shape = np.shape(cases[0].forward[quantity])
    everywhere = np.ones(claimed.shape, bool)
    found = summary(c, everywhere, everywhere, claimed, reference, shape, np.arange(claimed.shape[1]))
    row: Any = {"name": quantity, "verdict": "pass" if c.agrees.all() else "fail", **found}
    return row
