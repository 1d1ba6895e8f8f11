"""What stands before a use of the networks: compare.py, and the checks before training. How they catch a wrong `manual/`.

The modules of `lab/` are imported inside functions: they stand on `manual/`, which another folder may bring.
"""

import functools
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from gradcheck import CheckResult
from gradcheck.arrays import Arrays
from gradcheck.faults import describe_error
from gradcheck.subject import no_progress
from gradcheck.subjects.network import NetworkSubject

COMPARISONS = (
    "--hidden 6,5 --batch-norm",
    "--hidden 7 --loss sigmoid",
    "one-layer-sigmoid --dtype float32",
    "--hidden 7,5 --dtype float32",
    "--hidden 7 --batch-norm --loss sigmoid --batch-size 2",
    "one-layer --lam 0.1",
)
# Trainings that are about to begin: the options of the network, and some of the settings.
TRAININGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--hidden 6,5 --batch-norm", {"batch_size": 150, "lam": 0.01, "augment": "flip"}),
    ("--hidden 7 --loss sigmoid", {"batch_size": 20, "lam": (0.01, 0.02), "dtype": "float64"}),
    ("one-layer", {"batch_size": 250}),
    ("one-layer-sigmoid", {"batch_size": 20, "lam": 0.01, "augment": "flip"}),
    ("--hidden 7,5", {"lam": 0.01, "dtype": "float64"}),
)
# How many candidates, and of what, would be trained at once.
SEARCHES: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (3, "--hidden 6,5 --batch-norm", {"batch_size": 20, "augment": "flip"}),
    (2, "--hidden 7 --loss sigmoid", {"batch_size": 33, "dtype": "float64"}),
    (2, "one-layer", {"batch_size": 20}),
)

Check = tuple[str, Callable[[], list[CheckResult]]]


def checks() -> Iterator[Check]:
    """Each check: the command that makes it, and a function that returns its results."""
    for arguments in COMPARISONS:
        yield f"compare.py {arguments}", functools.partial(compare, arguments)
    for arguments, given in TRAININGS:
        yield f"train.py {arguments}, {given}", functools.partial(before_training, arguments, given)
    for candidates, arguments, given in SEARCHES:
        yield (
            f"search.py {arguments}, {candidates} at once, {given}",
            functools.partial(before_training, arguments, given, candidates),
        )


def compare(arguments: str) -> list[CheckResult]:
    from lab.cli import compare

    return [check.run(no_progress) for check in compare.network_checks(compare.parse([*arguments.split(), "--device", "cpu"]))]


def before_training(arguments: str, given: dict[str, Any], candidates: int = 0) -> list[CheckResult]:
    """What comes before a run, or with `candidates` before so many trainings at once, of a network with these options."""
    from lab.cli import compare
    from lab.training.run import load_images, verify_first_batch
    from lab.training.settings import Settings
    from networks import initial_state

    (network,) = compare.parse(arguments.split()).networks
    settings = Settings(network, **given)
    images = load_images(settings)
    settings = replace(settings, images=len(images.train.labels))
    at_once = [replace(settings, seed=seed, lam=0.01 * (seed + 1)) for seed in range(candidates)]
    return [verify_first_batch(settings, initial_state(network), images, "cpu", no_progress, at_once)]


def verdict_of(command: str, run: Callable[[], list[CheckResult]]) -> dict[str, Any] | None:
    """How the check catches this `manual/`, or None where it does not."""
    try:
        failed = [result for result in run() if result.verdict == "fail"]
    except Exception as error:
        return {"outcome": "caught", "by": "raised", "check": command, "why": describe_error(error)}
    return None if not failed else {"outcome": "caught", "check": command} | reason(failed[0])


def reason(result: CheckResult) -> dict[str, str]:
    """By what a result fails, and a word on it."""
    forward = [row["name"] for row in result.forward if row["verdict"] == "fail"]
    tensors = [row["name"] for row in result.tensors if row["verdict"] == "fail"]
    raised = any(" raised " in fault for fault in result.faults)
    by = "raised" if raised else "forward" if forward else "gradient" if tensors else "walk"
    return {"by": by, "why": "; ".join(result.faults[:1]) or ", ".join(forward or tensors)}


def remember_rounding() -> None:
    """From now on the rounding of a PyTorch twin, the slow part of a check, is measured once for the same numbers."""
    measure, known = NetworkSubject.loss_rounding, dict[bytes, Arrays]()

    def remembered(subject: NetworkSubject) -> Arrays:
        twin: Any = subject.reference
        question = pickle.dumps((twin.network, twin.state(), subject.chain.X, subject.y, subject.dtype))
        if question not in known:
            known[question] = measure(subject)
        return known[question]

    NetworkSubject.loss_rounding = remembered  # type: ignore[method-assign]
