"""What kind of bug makes the gradient of a pair wrong, from its numbers alone, whatever computed them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from gradcheck.arrays import Array, Arrays
from gradcheck.derivations.truth import Truth
from gradcheck.diagnosis.explanation import (
    NOT_FINITE,
    SHARP,
    TINY,
    Suspicion,
    explains,
    projection,
    unexplained,
    with_evidence,
)
from gradcheck.diagnosis.form_patterns import (
    added_constant,
    clipped,
    dropout_scales,
    factor_and_term,
    factor_in_words,
    forms,
    other_factor,
    times,
    where_wrong,
)
from gradcheck.subject import Case


class Known(NamedTuple):
    """The entries of a tensor at which its gradient is known well enough to tell a cause.

    `claimed`, `reference`, `parameter` are of the tensor's shape, or (entries,) where that is not all of them, at the flat
    indices `entries`. `rounding` is how far claimed - reference may be off at any of them.
    """

    name: str
    claimed: Array
    reference: Array
    parameter: Array
    rounding: float
    entries: Array
    shape: tuple[int, ...]

    @property
    def complete(self) -> bool:
        """Whether these are all entries of the tensor."""
        return self.claimed.shape == self.shape


# What else may say why a tensor is wrong at its known entries.
Explain = Callable[[Known], str | None]


def diagnose_pair(
    case: Case, truth: Mapping[str, Truth], parameters: Arrays, failing: Sequence[str], otherwise: Explain = lambda known: None
) -> dict[str, str | None]:
    """A sentence for each tensor in `failing`, or None where no suspicion explains it.

    `truth` is what is known of each tensor's gradient; `otherwise` is asked where the numbers alone show nothing.
    """
    right = {name: each.derivative[0] for name, each in truth.items() if each.decided.all()}
    found: dict[str, str | None] = dict.fromkeys(failing)
    for name in failing:
        if not np.isfinite(case.claimed[name]).all():
            found[name] = f"{name}: {NOT_FINITE}"
        elif name in truth:
            known = known_entries(name, case, truth[name], parameters[name])
            found[name] = None if known is None else cause_of(known, right, parameters, otherwise)
    return found


def cause_of(known: Known, right: Arrays, parameters: Arrays, otherwise: Explain) -> str | None:
    """What the numbers show, or, where they show no more than where or by how much it is wrong, what `otherwise` does."""
    suspicion = from_numbers(known, right, parameters)
    if suspicion is None or suspicion.vague:
        other = otherwise(known)
        if other is not None or suspicion is None:
            return other
    return with_evidence(known.name, suspicion.sentence, unexplained(suspicion.prediction, known.claimed, known.reference))


def known_entries(name: str, case: Case, truth: Truth, parameter: Array) -> Known | None:
    """The entries that are decided and known well against the largest error; None where nothing is known to be wrong."""
    claimed, reference, decided = case.claimed[name], truth.derivative[0], truth.decided[0]
    allowed = np.where(decided, case.rounding[name] + truth.uncertainty[0], np.inf)  # the tensor's shape
    error = np.where(decided, np.abs(claimed - reference), 0)
    wrong = error > allowed
    if not wrong.any():
        return None
    known = allowed <= SHARP * error.max(where=wrong, initial=0)
    if not (known & wrong).any():
        return None
    rounding = float(allowed.max(where=known, initial=0))
    claimed, reference, parameter = (
        array if known.all() else array[known] for array in (claimed, reference, np.asarray(parameter))
    )
    return Known(name, claimed, reference, parameter, rounding, np.flatnonzero(known), np.shape(known))


def from_numbers(known: Known, right: Arrays, parameters: Arrays) -> Suspicion | None:
    """The first suspicion that explains the known entries; `right` are all right gradients that are known."""
    all_suspicions = suspicions(known, right, parameters)
    return next((each for each in all_suspicions if explains(each, known.claimed, known.reference, known.rounding)), None)


def suspicions(known: Known, right: Arrays, parameters: Arrays) -> Iterator[Suspicion]:
    """Suspicions of any gradient, the simplest first; of its form only where all of it is known."""
    claimed, reference, rounding, name, parameter = known.claimed, known.reference, known.rounding, known.name, known.parameter
    yield from factors(reference, parameters)
    if known.complete:
        yield from forms(claimed, reference, rounding, right, name)
    else:
        yield from single_known_entry(known)
        yield from clipped(claimed, reference)
        yield from added_constant(claimed, reference)
    yield from other_factor(claimed, reference)
    for direction, of in ((parameter, name), (np.sign(parameter), f"sign({name})")):
        c = projection(claimed - reference, direction)
        words = f"claimed - reference is {c:.6g} * {of}: a term of that form is missing or too much"
        yield Suspicion(words, reference + c * direction, fitted=1)
    if known.complete:
        yield from terms_of_others(claimed, reference, name, parameters)
    yield from factor_and_term(claimed, reference, parameter, name)
    if known.complete:
        yield from shifted(claimed, reference)
        for axis in range(claimed.ndim):
            yield from missing_paths(claimed, reference, name, parameter, axis)


def factors(reference: Array, parameters: Arrays) -> Iterator[Suspicion]:
    """Factors that mean something, also where there is but one number to see them in."""
    for c, words in ((0.5, "1/2"), (2.0, "2"), (-1.0, "-1: the sign is wrong"), (0.0, "0: it is missing")):
        yield times(c, words, reference)
    for size in sorted({size for parameter in parameters.values() for size in parameter.shape if size > 2}):
        hint = "the length of an axis: a sum for a mean, or either taken twice, would do that"
        yield times(size, f"{size}, {hint}", reference)
        yield times(1 / size, f"1/{size}, {hint}", reference)
    for c, words in dropout_scales():
        yield times(c, words, reference)._replace(fitted=1)


def single_known_entry(known: Known) -> Iterator[Suspicion]:
    """Of the entries that are known one alone is wrong."""
    (wrong,) = np.nonzero(where_wrong(known.claimed, known.reference, known.rounding))
    if len(wrong) == 1 and len(known.entries) > 1:
        index = ", ".join(map(str, np.unravel_index(known.entries[wrong[0]], known.shape)))
        factor = factor_in_words(known.claimed[wrong[0]], known.reference[wrong[0]])
        words = f"of the {len(known.entries)} entries that are known for certain, [{index}] alone is wrong{factor}"
        yield Suspicion(words, known.claimed, vague=True)


def terms_of_others(claimed: Array, reference: Array, name: str, parameters: Arrays) -> Iterator[Suspicion]:
    """A term of another parameter of its shape, such as the penalty of another layer, too much or in place of its own."""
    for other, value in parameters.items():
        if other != name and value.shape == claimed.shape:
            for direction, of, cause in (
                (value - parameters[name], f"({other} - {name})", f"a term of {other} stands where one of {name} should"),
                (value, other, f"a term of {other} is too much, or missing"),
            ):
                c = projection(claimed - reference, direction)
                yield Suspicion(f"claimed - reference is {c:.6g} * {of}: {cause}", reference + c * direction, fitted=1)


def shifted(claimed: Array, reference: Array) -> Iterator[Suspicion]:
    """Its last two axes are shifted against the right ones, as where padding is not cut off; what was shifted in is unknown."""
    if claimed.ndim < 2 or min(claimed.shape[-2:]) < 4:
        return
    for down, right in ((1, 1), (0, 1), (1, 0), (2, 2), (-1, -1), (0, -1), (-1, 0), (-2, -2)):
        prediction, moved = claimed.copy(), np.roll(reference, (down, right), (-2, -1))
        rows, columns = (slice(max(by, 0), min(by, 0) or None) for by in (down, right))
        prediction[..., rows, columns] = moved[..., rows, columns]
        where = f"by ({down}, {right}) along its last two axes"
        yield Suspicion(f"it is shifted {where}, as where padding is ignored or cut off at one side", prediction)


def missing_paths(claimed: Array, reference: Array, name: str, parameter: Array, axis: int) -> Iterator[Suspicion]:
    """Suspicions of a normalisation over an axis: its mean and its variance depend on every entry there.

    The path through the mean adds the same number to each, the path through the variance a multiple of what was centred.
    """
    if claimed.shape[axis] < 4:  # with fewer, two numbers a line explain nearly anything
        return
    error, lines = claimed - reference, claimed.size // claimed.shape[axis]
    constant = np.broadcast_to(error.mean(axis, keepdims=True), error.shape)
    centred = parameter - parameter.mean(axis, keepdims=True)
    multiple = (error * centred).sum(axis, keepdims=True) / np.maximum((centred**2).sum(axis, keepdims=True), TINY) * centred
    less, where = f"a multiple of {name} less its mean", f"along axis {axis}"
    for what, path, added, fitted in (
        ("a constant", "path through a mean over it is", constant, lines),
        (less, "path through a variance over it is", multiple, lines),
        (f"a constant and {less}", "paths through a mean and a variance over it are", constant + multiple, 2 * lines),
    ):
        words = f"claimed - reference is {what} {where}: the {path} missing, or wrong"
        yield Suspicion(words, reference + added, fitted)
