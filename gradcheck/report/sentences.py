"""What a check found, in sentences, from the dict that the JSON file holds."""

from collections.abc import Iterator, Sequence

import numpy as np

from gradcheck.arrays import Array
from gradcheck.faults import IN_PLACE, counted, listed
from gradcheck.result import DirectionEntry, NetworkResult, TensorRow, Tie, WorstEntry

# What it means that one derivation stands against the others, at so many entries that fail ("3 entries").
ALONE = {
    "claimed": "autograd and the complex step agree at {}: the claimed gradient is wrong",
    "autograd": "the claim and the complex step agree at {}: the forward passes differ, or PyTorch's backward",
    "complex-step": "the claim and autograd agree at {}: the forward that runs is not what they differentiate",
    "central-difference": "at {} the central difference alone disagrees: it is out of its depth",
}
# And which exact oracle confirms the claim against the other.
CONFIRMED_BY = {"autograd": "the complex step", "complex-step": "autograd"}
NO_PATTERN = "no known bug makes this pattern"
NOT_KNOWN = "only a sample of the entries is known, and no known bug makes its pattern"
# Entries that would not have shown even this relative error are counted by themselves.
COARSE = 1e-6
NOT_COMPARED = (
    "nothing was compared: no oracle that was asked for applies (autograd needs a reference), or the backward pass returned "
    "no gradient"
)
UNDECIDED = "no oracle was certain there, or the oracles disagree, or rounding switches a branch such as a ReLU"


def failures(network: NetworkResult) -> list[str]:
    """A line for each thing that is wrong or undecided, and indented lines on how and why."""
    name, lines = network["name"], [f"fail: {network['name']}, {fault}" for fault in network["faults"]]
    wrong = [quantity["name"] for quantity in network["forward"] if quantity["verdict"] == "fail"]
    if wrong:
        lines.append(f"fail: {name}, the forward passes differ in {', '.join(wrong)}")
    # A gradient that never came has its sentence already.
    failed = [tensor for tensor in network["tensors"] if tensor["verdict"] == "fail"]
    failed = [tensor for tensor in failed if not never_came(tensor)]
    if failed and any(fault.startswith(IN_PLACE) for fault in network["faults"]):
        lines.append(f"fail: {name}, {wrong_after_a_change(failed)}")
        failed = []
    for tensor in failed:
        lines += [f"fail: {name} {what_failed(tensor)}", *(f"      {sentence}" for sentence in why_failed(tensor))]
    return [*lines, *undecided(network)]


def undecided(network: NetworkResult) -> Iterator[str]:
    """A line for each tensor with undecided entries, and why. A quick check that fails has a sentence on where already."""
    tensors = [tensor for tensor in network["tensors"] if tensor["undecided"]]
    if network["verdict"] == "fail":
        tensors = [tensor for tensor in tensors if tensor["oracles"]]
    for tensor in tensors:
        entries = counted(tensor["entries"], "entry")
        yield f"undecided: {network['name']} {tensor['name']}, {tensor['undecided']:,} of {entries}"
    if tensors:
        yield f"undecided: {UNDECIDED}"


def wrong_after_a_change(failed: Sequence[TensorRow]) -> str:
    """A sentence on the tensors that fail beside a backward pass that changes the parameters while it computes."""
    names = listed([tensor["name"] for tensor in failed])
    return f"what it returns is not the gradient by {names} at the parameters that it was given; put the change right first"


def nothing_came(network: NetworkResult) -> bool:
    """Whether no gradient came at all, for which there is a sentence."""
    return all(map(never_came, network["tensors"]))


def never_came(tensor: TensorRow) -> bool:
    """Whether no gradient of the tensor came, or none of its form: it fails, and there was nothing to judge."""
    judged = tensor["oracles"] or tensor["tie"] or tensor["directions"] or tensor["taylor"]
    return tensor["verdict"] == "fail" and not judged


def what_failed(tensor: TensorRow) -> str:
    """ "W1, 3 of 12 entries, [0, 2] is 0.5, autograd says 0.25"."""
    directions, taylor = tensor["directions"], tensor["taylor"]
    found = [entries_of(tensor)] if tensor["fail"] else []
    if directions and directions["fail"]:
        where = f": {both_values(directions['entry'], 'the derivative')}" if directions["entry"] else ""
        checked = counted(directions["checked"], "random direction")
        found.append(f"{directions['fail']} of {checked} over all entries{where}")
    if not found and taylor and taylor["verdict"] == "fail":
        found.append("by the Taylor test")
    return ", ".join([tensor["name"], *found]) + worst_in_full(tensor)


def entries_of(tensor: TensorRow) -> str:
    return f"{tensor['fail']:,} of {counted(tensor['entries'], 'entry')}"


def why_failed(tensor: TensorRow) -> Iterator[str]:
    """Who disagrees with whom, and the likely bug."""
    yield from alone_sentences(tensor)
    if not tensor["checked"]:  # nobody looked for a pattern
        return
    all_known = tensor["checked"] == tensor["entries"] or not tensor["directions"]
    yield tensor["diagnosis"] or (NO_PATTERN if all_known else NOT_KNOWN)


def alone_sentences(tensor: TensorRow) -> Iterator[str]:
    """Who stands alone, and what that means for a tensor that is right or wrong."""
    for voter, entries in tensor["alone"].items():
        if tensor["fail"] or voter not in CONFIRMED_BY:
            yield ALONE[voter].format(counted(entries, "entry"))
        else:
            yield f"{voter} stands alone at {counted(entries, 'entry')}: {CONFIRMED_BY[voter]} confirms the claim there"


def alone_note(tensor: str, oracle: str, entries: int, error: float) -> str:
    """An exact oracle that stands against a claim which the other confirms, at so many entries, by this relative error."""
    return (
        f"{oracle} stands alone at {counted(entries, 'entry')} of {tensor}: it differs by a relative {error:.0e} at most from "
        f"the claim, which {CONFIRMED_BY[oracle]} confirms"
    )


def tolerance_note(tensor: str, tolerance: float, absolute: float) -> str:
    return (
        f"A TOLERANCE of {tolerance:g} for {tensor}, which was asked for: each entry may be off by so much of the largest "
        f"derivative of {tensor}, {absolute:.1e}, beyond rounding"
    )


def asked_for(tensors: Sequence[TensorRow]) -> str:
    """ " with a tolerance of 1e-06 for x, which was asked for", or nothing where none was."""
    loosened = {tensor["name"]: tensor["tolerance"] for tensor in tensors if tensor["tolerance"] is not None}
    if not loosened:
        return ""
    return f" with a tolerance of {listed([f'{of:g} for {name}' for name, of in loosened.items()])}, which was asked for"


def accuses(tensor: TensorRow, worst: WorstEntry) -> bool:
    """Whether an oracle's worst entry makes the tensor fail."""
    error, allowed = worst["rel_error"], worst["allowed"]
    return bool(tensor["fail"]) and worst["index"] is not None and (error is None or allowed is None or error > allowed)


def worst_in_full(tensor: TensorRow) -> str:
    """The entry where the first oracle that accuses disagrees most, with all digits: some bugs show only in the last ones."""
    for oracle, found in tensor["oracles"].items():
        if accuses(tensor, found["worst"]):
            return f", {both_values(found['worst'], oracle)}"
    return at_tie(tensor["tie"]) if tensor["tie"] else ""


def at_tie(tie: Tie) -> str:
    """The entry at an exact tie, such as a ReLU of exactly 0, that lies beyond its one-sided derivatives."""
    index, left, right = in_brackets(tie["index"]), scientific(tie["left"], 16), scientific(tie["right"], 16)
    return f", at an exact tie {index} is {scientific(tie['claimed'], 16)}, the one-sided derivatives are {left} and {right}"


def both_values(entry: WorstEntry | DirectionEntry, oracle: str) -> str:
    claimed, reference = scientific(entry["claimed"], 16), scientific(entry["reference"], 16)
    return f"{in_brackets(entry['index'])} is {claimed}, {oracle} says {reference}"


def in_brackets(index: Sequence[int] | None) -> str:
    """An index as it reads everywhere, [8, 534], and - where there is none."""
    return "-" if index is None else f"[{', '.join(map(str, index))}]"


def scientific(value: float | None, digits: int = 2) -> str:
    """In scientific notation with so many digits; None is a number that is not finite."""
    return "not finite" if value is None else f"{value:.{digits - 1}e}"


def sensitivity_sentence(visible: Array, sampled: bool) -> str:
    """A sentence from the smallest relative error that would have been seen in each entry; infinity where none would.

    `sampled` says that these are not all entries.
    """
    fine, coarse, blind = visible[visible <= COARSE], (visible > COARSE) & (visible < 1), visible >= 1
    if coarse.sum() > fine.size:
        fine, coarse = visible[visible < 1], np.zeros(0, bool)
    if not visible.size:
        return NOT_COMPARED
    if not fine.size:
        return "no relative error would have shown: the derivatives are 0, or nothing but rounding"
    limit, half = float(fine.max()), float(np.median(fine))
    rest = int(coarse.sum()) + int(blind.sum())
    but = f" but {rest:,} that {'is' if rest == 1 else 'are'} 0 or nearly all rounding" if rest else ""
    of_those = " looked at" if sampled else ""
    middle = f", of {half:.0e} in half of them" if half < limit / 2 else ""
    return f"would have caught a relative error of {limit:.0e} in any entry{of_those}{but}{middle}"
