"""What kind of bug makes the gradient of a pair wrong, from its numbers alone, whatever computed them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.diagnosis.explanation import NOT_FINITE, TINY, Suspicion, explains, projection, unexplained, with_evidence
from gradcheck.diagnosis.form_patterns import forms, other_factor
from gradcheck.subject import Case

NOT_CERTAIN = "at some entries, as at a kink, no oracle knows the derivative: no pattern was looked for"


def diagnose_pair(
    case: Case, truth: Mapping[str, tuple[Array, float]], parameters: Arrays, failing: Sequence[str]
) -> dict[str, str | None]:
    """A sentence for each tensor in `failing`, or None where no suspicion explains it.

    `truth` holds the right gradients (1, *shape) of those tensors of which every entry is known, and how far they may be off.
    """
    right = {name: gradient[0] for name, (gradient, _) in truth.items()}
    return {
        name: diagnose_tensor(case, right, truth[name][1], parameters[name], name) if name in truth else None
        for name in failing
    }


def diagnose_tensor(case: Case, right: Arrays, uncertainty: float, parameter: Array, name: str) -> str | None:
    """A sentence on the tensor of this name, or None where no suspicion explains it; `right` are all right gradients."""
    claimed, rounding = case.claimed[name], float(np.max(case.rounding[name])) + uncertainty
    if not np.isfinite(claimed).all():
        return f"{name}: {NOT_FINITE}"
    if not rounding < max(1e-2 * np.abs(right[name]).max(), np.abs(claimed - right[name]).max()):
        return f"{name}: {NOT_CERTAIN}"
    for sentence, prediction in suspicions(claimed, right, rounding, name, parameter):
        if explains(prediction, claimed, right[name], rounding):
            return with_evidence(name, sentence, unexplained(prediction, claimed, right[name]))
    return None


def suspicions(claimed: Array, right: Arrays, rounding: float, name: str, parameter: Array) -> Iterator[Suspicion]:
    """Suspicions of any gradient, the simplest first."""
    reference = right[name]
    yield from forms(claimed, reference, rounding, right, name)
    for c, words in ((0.5, "1/2"), (2.0, "2"), (-1.0, "-1: the sign is wrong"), (0.0, "0: it is missing")):
        yield f"it is multiplied by {words}", c * reference
    yield from other_factor(claimed, reference)
    for direction, of in ((parameter, name), (np.sign(parameter), f"sign({name})"), (np.ones_like(parameter), "1")):
        c = projection(claimed - reference, direction)
        yield f"claimed - reference is {c:.6g} * {of}: a term of that form is missing or too much", reference + c * direction
    for axis in range(claimed.ndim):
        yield from missing_paths(claimed, reference, name, parameter, axis)


def missing_paths(claimed: Array, reference: Array, name: str, parameter: Array, axis: int) -> Iterator[Suspicion]:
    """Suspicions of a normalisation over an axis: its mean and its variance depend on every entry there.

    The path through the mean adds the same number to each, the path through the variance a multiple of what was centred.
    """
    if claimed.shape[axis] < 4:  # with fewer, two numbers a line explain nearly anything
        return
    error = claimed - reference
    constant = np.broadcast_to(error.mean(axis, keepdims=True), error.shape)
    centred = parameter - parameter.mean(axis, keepdims=True)
    multiple = (error * centred).sum(axis, keepdims=True) / np.maximum((centred**2).sum(axis, keepdims=True), TINY) * centred
    less, where = f"a multiple of {name} less its mean", f"along axis {axis}"
    for what, path, added in (
        ("a constant", "path through a mean over it is", constant),
        (less, "path through a variance over it is", multiple),
        (f"a constant and {less}", "paths through a mean and a variance over it are", constant + multiple),
    ):
        yield f"claimed - reference is {what} {where}: the {path} missing, or wrong", reference + added
