"""What kind of bug makes a network's gradient wrong: each suspicion predicts the gradient that the bug would give.

A suspicion is believed only if its prediction explains the whole of claimed - reference, up to a small share. There are three
sorts: of what reaches a layer from above (a mask, a path of batch norm: all tensors of the layer are wrong), of a
tensor's own formula (a factor, the penalty, an image left out), and of its form alone (a transpose, a row, an entry). What a
wrong layer further up explains is said to follow from it. Nothing here is a verdict: those are made before.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from gradcheck.arrays import Array
from gradcheck.diagnosis.evidence import Evidence, Upstream
from gradcheck.diagnosis.explanation import NOT_FINITE, Suspicion, with_evidence
from gradcheck.diagnosis.formula_patterns import formulas
from gradcheck.diagnosis.upstream_patterns import upstreams
from gradcheck.per_layer import split_name

Believed = TypeVar("Believed")


def diagnose_network(cases: Sequence[Evidence], failing: Sequence[str]) -> dict[str, str | None]:
    """A sentence for each of the tensors named in `failing`, or None where no suspicion explains it.

    `cases` are the same network and data at several lambdas, and a suspicion has to explain all of them: also that the
    gradient is right where it is.
    """
    # A gradient that equals PyTorch's and fails by a different oracle shows no pattern.
    wrong = [name for name in failing if not all(case.is_right(name) for case in cases)]
    found: dict[str, str | None] = dict.fromkeys(wrong)
    above: Sequence[Upstream | None] = [None] * len(cases)
    for layer in range(cases[0].depth, 0, -1):
        names = [name for name in wrong if split_name(name)[1] == layer]
        reaching = (
            believed_by_all([believed_upstreams(*each, layer) for each in zip(cases, above, strict=True)]) if names else None
        )
        for name in names:
            found[name] = from_upstreams(cases, name, layer, reaching) if reaching else from_formulas(cases, name)
        above = [upstream.behind(layer) for upstream in reaching] if reaching else [None] * len(cases)
    return found


def from_upstreams(cases: Sequence[Evidence], name: str, layer: int, reaching: Sequence[Upstream]) -> str:
    """The diagnosis of a tensor by what reaches its layer, in each case."""
    predictions = [case.predictions(layer, upstream)[name] for case, upstream in zip(cases, reaching, strict=True)]
    return in_words(cases, name, reaching[0].sentence, predictions)


def from_formulas(cases: Sequence[Evidence], name: str) -> str | None:
    """The diagnosis of a tensor by its own formula, or None."""
    believed = believed_by_all([believed_formulas(case, name) for case in cases])
    if believed is None:
        return None
    return in_words(cases, name, believed[0].sentence, [suspicion.prediction for suspicion in believed])


def in_words(cases: Sequence[Evidence], name: str, sentence: str, predictions: Sequence[Array]) -> str:
    """The diagnosis in full, with the share of claimed - reference that it leaves where that is largest."""
    wrong = [(case, prediction) for case, prediction in zip(cases, predictions, strict=True) if not case.is_right(name)]
    return with_evidence(name, sentence, max(case.unexplained(prediction, name) for case, prediction in wrong))


def believed_by_all(by_sentence: Sequence[Mapping[str, Believed]]) -> list[Believed] | None:
    """What each case has under the first sentence that all cases have; None if there is none."""
    common = [sentence for sentence in by_sentence[0] if all(sentence in each for each in by_sentence)]
    return [each[common[0]] for each in by_sentence] if common else None


def believed_upstreams(case: Evidence, above: Upstream | None, layer: int) -> dict[str, Upstream]:
    """Those that explain all tensors of a layer in one case, by their sentence."""
    if not all(np.isfinite(gradient).all() for name, gradient in case.claimed.items() if split_name(name)[1] == layer):
        return {}
    return {
        suspicion.sentence: suspicion
        for suspicion in upstreams(case, layer, above)
        if all(
            case.explains(Suspicion(suspicion.sentence, gradient, suspicion.fitted), name)
            for name, gradient in case.predictions(layer, suspicion).items()
        )
    }


def believed_formulas(case: Evidence, name: str) -> dict[str, Suspicion]:
    """Those that explain a tensor in one case, by their sentence."""
    claimed = case.claimed[name]
    if not np.isfinite(claimed).all():
        return {NOT_FINITE: Suspicion(NOT_FINITE, claimed)}
    return {suspicion.sentence: suspicion for suspicion in formulas(case, name) if case.explains(suspicion, name)}
