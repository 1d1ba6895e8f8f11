"""What can be seen of a wrong gradient from its numbers alone, whatever computed them.

A suspicion is a sentence with the gradient that it predicts; it is believed if that is the claimed gradient, up to a small
share of claimed - reference.
"""

import numpy as np

# The share of claimed - reference that a prediction may leave unexplained.
UNEXPLAINED = 1e-5

NOT_FINITE = "it is not finite everywhere"
NOT_CERTAIN = "at some entries, as at a kink, no oracle knows the derivative: no pattern was looked for"
TINY = np.finfo(float).tiny


def unexplained(prediction, claimed, reference):
    """The share of claimed - reference that `prediction` leaves."""
    with np.errstate(invalid="ignore"):
        return float(np.abs(claimed - prediction).max() / max(np.abs(claimed - reference).max(), TINY))


def explains(prediction, claimed, reference, rounding):
    """Whether `prediction` is `claimed`, up to rounding or a small share of its error."""
    if np.shape(prediction) != claimed.shape or not np.isfinite(prediction).all():
        return False
    error, left = np.abs(claimed - reference).max(), np.abs(claimed - prediction).max()
    return bool(left <= (rounding if error <= rounding else max(UNEXPLAINED * error, min(rounding, 1e-2 * error))))


def evidence_in_words(name, sentence, left):
    """The diagnosis of a tensor in full, with the share of claimed - reference that it leaves."""
    return f"{name}: {sentence}" + (f" (explains all but {left:.0e} of claimed - reference)" if left > 0 else "")


def diagnose_pair(case, truth, uncertainty, parameters, failing):
    """A sentence for each tensor in `failing` or None, where nothing is known of what is inside.

    `case` is a Case of `check.py`, `truth` holds the right gradients of those tensors of which every entry is known,
    `uncertainty` how far they may be off.
    """
    found = {}
    for name in failing:
        found[name] = None
        if name not in truth:
            continue
        claimed, rounding = case.claimed[name], float(np.max(case.rounding[name])) + uncertainty[name]
        if not np.isfinite(claimed).all():
            found[name] = f"{name}: {NOT_FINITE}"
            continue
        if not rounding < max(1e-2 * np.abs(truth[name]).max(), np.abs(claimed - truth[name]).max()):
            found[name] = f"{name}: {NOT_CERTAIN}"
            continue
        for sentence, prediction in suspicions(claimed, truth, rounding, name, parameters[name]):
            if explains(prediction, claimed, truth[name], rounding):
                found[name] = evidence_in_words(name, sentence, unexplained(prediction, claimed, truth[name]))
                break
    return found


def suspicions(claimed, truth, rounding, name, parameter):
    """Suspicions of any gradient, as (words, predicted gradient), the simplest first."""
    reference = truth[name]
    yield from forms(claimed, reference, rounding, truth, name)
    for c, words in ((0.5, "1/2"), (2.0, "2"), (-1.0, "-1: the sign is wrong"), (0.0, "0: it is missing")):
        yield f"it is multiplied by {words}", c * reference
    yield from other_factor(claimed, reference)
    for direction, of in ((parameter, name), (np.sign(parameter), f"sign({name})"), (np.ones_like(parameter), "1")):
        c = np.vdot(claimed - reference, direction) / max(np.vdot(direction, direction), TINY)
        yield f"claimed - reference is {c:.6g} * {of}: a term of that form is missing or too much", reference + c * direction
    for axis in range(claimed.ndim):
        yield from missing_paths(claimed, reference, name, parameter, axis)


def missing_paths(claimed, reference, name, parameter, axis):
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


def forms(claimed, reference, rounding, gradients, name, penalty=None):
    """Suspicions of the form alone: where the numbers stand. `gradients` are the right ones of all tensors; `penalty` is what a
    penalty adds to this one, if there is one."""
    differs = np.abs(claimed - reference) > max(rounding, UNEXPLAINED * np.abs(claimed - reference).max())
    where = np.argwhere(differs)
    if len(where) == 1 and claimed.size > 1:
        index = tuple(where[0])
        yield f"the single entry [{', '.join(map(str, index))}] is wrong{times(claimed[index], reference[index])}", claimed
    close = np.allclose(claimed, reference, rtol=1e-5, atol=1e-5 * np.abs(reference).max())
    with np.errstate(over="ignore"):
        in_float32, in_float16 = ((claimed.astype(dtype) == claimed).all() for dtype in (np.float32, np.float16))
    if close and in_float32 and not in_float16:  # round numbers are both
        yield "its numbers are float32: somewhere the precision is lost", claimed
    for other, gradient in gradients.items():
        # A gradient that is all rounding would be taken for any zero.
        if other != name and gradient.shape == claimed.shape and np.abs(gradient).max() > rounding:
            yield f"it is the gradient of {other}", gradient
    if claimed.any():
        yield "it is clipped at its largest entry", reference.clip(-np.abs(claimed).max(), np.abs(claimed).max())
    yield f"the constant {(claimed - reference).flat[0]:.6g} is added to each entry", reference + (claimed - reference).mean()
    if claimed.ndim > 1 and claimed.shape[-1] == claimed.shape[-2]:
        yield "it is transposed", reference.swapaxes(-1, -2)
    if claimed.ndim > 2:
        yield "its last two axes are reversed, as of a kernel that is not flipped", reference[..., ::-1, ::-1]
    for axis in range(claimed.ndim):
        word = ("row", "column")[axis] if claimed.ndim == 2 else f"axis {axis}, index"
        if claimed.ndim > 1:
            lines = np.flatnonzero(differs.any(axis=tuple(other for other in range(claimed.ndim) if other != axis)))
            if len(lines) == 1 and len(where) > 1 and claimed.shape[axis] > 1:
                line = f"{word} {lines[0]} alone is"
                if not np.take(claimed, lines[0], axis).any():
                    yield f"{line} zero", claimed
                if penalty is not None and np.abs(np.take(claimed - penalty, lines[0], axis)).max() <= rounding:
                    yield f"{line} zero, but for the penalty", claimed
                yield f"{line} wrong", claimed
    if claimed.ndim == 2:
        for axis, word in ((0, "rows"), (1, "columns")):
            order = matching(claimed, reference, axis)
            if order is not None:
                moved = [str(k) for k in np.flatnonzero(order != np.arange(len(order)))]
                yield f"its {word} are permuted: {', '.join(moved[:6])}{'...' if len(moved) > 6 else ''}", claimed


def times(wrong, right):
    """ ", (1 + 1.0e-06) times what it should be": few digits, which are the same at every lambda."""
    if not right:
        return ""
    ratio = wrong / right
    return f", {f'(1 {ratio - 1:+.1e})' if abs(ratio - 1) < 1e-2 else f'{ratio:.4g}'} times what it should be"


def matching(claimed, reference, axis):
    """The order of reference's rows (axis 0) or columns that gives claimed, or None."""
    ours, theirs = (np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1) for g in (claimed, reference))
    fingerprint = np.random.default_rng(0).standard_normal(ours.shape[1])
    by_ours, by_theirs = (np.argsort(lines @ fingerprint) for lines in (ours, theirs))
    order = np.empty(len(ours), int)
    order[by_ours] = by_theirs
    close = np.abs(ours - theirs[order]).max() <= UNEXPLAINED * np.abs(claimed - reference).max()
    return order if close else None


def other_factor(claimed, reference):
    """Any other factor, by regression."""
    c = np.vdot(reference, claimed) / max(np.vdot(reference, reference), TINY)
    yield f"it is multiplied by {c:.6g}" if abs(c - 1) > 1e-4 else f"it is multiplied by (1 {c - 1:+.1e})", c * reference
