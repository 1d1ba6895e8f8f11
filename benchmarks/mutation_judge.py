"""Judges mutants of `manual/`: what compare.py finds, what the check before training finds, and whether it trains differently.

It runs in the copy of the project: `python -m benchmarks.mutation_judge PROCESSES` reads a list of mutants as JSON from
standard input and answers each with a line of JSON. PyTorch and gradcheck are imported once; a fork judges each mutant, and
imports `manual/` from a folder of its own.
"""

import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from benchmarks.mutants import Mutant
from benchmarks.mutation_checks import checks, remember_rounding, verdict_of
from benchmarks.mutation_reach import Places, all_spans, is_reached, traced
from benchmarks.mutation_trainings import BATCH_SIZES, IMAGES, Original, apart, original, train, trainings
from gradcheck.arrays import Array
from gradcheck.command import run
from gradcheck.errors import UserError
from gradcheck.faults import describe_error
from gradcheck.result import finite_or_none
from lab.data import datasets

# A judgement takes a second or two; a mutant may loop for ever.
SECONDS = 60

Judgement = dict[str, Any]


def judge(originals: list[Original]) -> Judgement:
    """Of the `manual/` that is first in the path.

    The first check catches most. What it does not catch is trained; what then trains differently, all other checks look at.
    """
    first, *others = checks()
    found = verdict_of(*first)
    if found:
        return found
    trained = judge_trainings(originals)
    if trained["outcome"] == "equivalent":
        return trained
    return next((caught for check in others if (caught := verdict_of(*check))), trained)


def judge_trainings(originals: list[Original]) -> Judgement:
    """Whether all trainings are the original's but for rounding, and how far the worst is from it."""
    try:
        found = list(apart(originals, *images_and_classes()))
    except Exception as error:
        return {"outcome": "caught", "by": "raised in training", "why": describe_error(error)}
    worst = max(found, key=lambda each: each.distance - each.allowed)
    outcome = "equivalent" if worst.distance <= worst.allowed else "SURVIVED"
    return {
        "outcome": outcome,
        "why": f"{worst.training}: {worst.quantity}",
        "distance": finite_or_none(worst.distance),
        "allowed": worst.allowed,
    }


def images_and_classes() -> tuple[Array, Array]:
    """X (IMAGES, 3072) and y (IMAGES,): what the trainings draw their batches from."""
    images = datasets.load("synthetic", "data", "small", 0, "train")
    return images.normalise("train", rows=slice(IMAGES)), images.train.labels[:IMAGES]


def prepare() -> None:
    """What is the same for all mutants is made once: the images, and the rounding of PyTorch's twins."""
    torch.set_num_threads(1)
    datasets.load = functools.cache(datasets.load)
    remember_rounding()


def judge_original() -> tuple[list[Original], Places]:
    """The original's trainings, and the places that it goes by. Raises UserError where a check fails it."""
    X, y = images_and_classes()
    with traced(Path("manual").resolve()) as gone_by:
        for check in checks():
            if found := verdict_of(*check):
                raise UserError(f"the original fails in {found['check']}: {found['why']}; mutants of it would tell nothing")
        for training in trainings():
            train(training, X, y, updates=len(BATCH_SIZES))
    return [original(training, X, y) for training in trainings()], gone_by


def forget_manual() -> None:
    """From now on what stands on `manual/` is imported again. The images stay."""
    for name in list(sys.modules):
        if name.split(".")[0] in ("manual", "lab") and not name.startswith("lab.data"):
            del sys.modules[name]


def judge_mutant(mutant: Mutant, originals: list[Original], connection: Connection) -> None:
    """In a process of its own: sends the judgement."""
    forget_manual()
    own = Path(tempfile.mkdtemp(dir="."))
    shutil.copytree("manual", own / "manual", ignore=shutil.ignore_patterns("__pycache__"))
    (own / "manual" / mutant.file).write_text(mutant.source)
    sys.path.insert(0, str(own.resolve()))
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        judgement = judge(originals)
    shutil.rmtree(own)
    connection.send(judgement)


def judge_all(mutants: list[Mutant], originals: list[Original], processes: int) -> Iterator[tuple[Mutant, Judgement]]:
    """Each mutant with its judgement, as they come, so many at once."""
    fork, waiting = get_context("fork"), iter(mutants)
    running: dict[Connection, tuple[Mutant, Any, float]] = {}
    while True:
        for mutant in islice(waiting, processes - len(running)):
            receiving, sending = fork.Pipe(duplex=False)
            process = fork.Process(target=judge_mutant, args=(mutant, originals, sending))
            process.start()
            sending.close()
            running[receiving] = mutant, process, time.monotonic()
        if not running:
            return
        ready = wait(list(running), timeout=1)
        for connection, (mutant, process, started) in list(running.items()):
            if connection in ready:
                yield mutant, received(connection)
            elif time.monotonic() - started > SECONDS:
                process.kill()
                yield mutant, {"outcome": "caught", "by": "raised", "why": f"it does not end in {SECONDS} s"}
            else:
                continue
            process.join()
            del running[connection]


def received(connection: Connection) -> Judgement:
    try:
        return connection.recv()
    except EOFError:
        return {"outcome": "caught", "by": "raised", "why": "the process ended without a word"}


def main(arguments: list[str]) -> int:
    prepare()
    mutants = [Mutant(**each) for each in json.load(sys.stdin)]
    originals, gone_by = judge_original()
    instructions = {name: all_spans(compile(Path("manual", name).read_text(), name, "exec")) for name in gone_by}
    for mutant, judgement in judge_all(mutants, originals, int(arguments[0])):
        span: Any = tuple(mutant.span)
        if judgement["outcome"] == "equivalent" and not is_reached(span, instructions[mutant.file], gone_by[mutant.file]):
            judgement["outcome"] = "outside"
        print(json.dumps({"id": mutant.id} | judgement), flush=True)
    return 0


if __name__ == "__main__":
    run(main)
