"""The training loop, once, for whichever twins there are."""

import time
from dataclasses import dataclass

import numpy as np

from gradcheck.errors import ReportedError
from lab.training.drift import measure_drift
from lab.training.evaluation import DeviceData, evaluate

# A cost past this has diverged, though it is still finite.
LARGEST_COST = 1e6

# Validation images on which two twins are compared.
DRIFT_IMAGES = 1000


class Diverged(ReportedError):
    """Training ran away; the message says where."""


@dataclass(frozen=True)
class Learner:
    """A twin to train, with the training and validation parts where it computes."""

    twin: object
    train: DeviceData
    val: DeviceData


@dataclass
class Progress:
    """Where a run is: the number of `update`s done, and the `seconds` that updates and records have taken so far."""

    update: int
    seconds: dict


def train(learners, batches, plan, lam, progress, advance, stopped):
    """Takes updates until the plan's end, and yields a row at each record: at update 0, every `plan.record_every`, the last.

    `learners` is a dict by implementation; all see the same batches. `progress` is moved along. `advance(lr, loss)` is
    called after each update; once `stopped()` is true the loop ends. Raises Diverged, before it yields anything that has.
    """
    if progress.update == 0:
        yield timed(progress, "records", record, learners, plan, lam, progress)
    while progress.update < plan.updates:
        loss = timed(progress, "updates", take_update, learners, batches, plan, lam, progress.update)
        advance(plan.lr(progress.update), loss)
        progress.update += 1
        stop = stopped()
        due = progress.update % plan.record_every == 0 or progress.update == plan.updates
        if due or stop:
            row = timed(progress, "records", record, learners, plan, lam, progress)
            if due:
                yield row
        if stop:
            return


def timed(progress, kind, function, *arguments):
    started = time.perf_counter()
    result = function(*arguments)
    progress.seconds[kind] += time.perf_counter() - started
    return result


def take_update(learners, batches, plan, lam, t):
    """Update t of every twin. Returns the batch's loss before it, of the first. Raises Diverged."""
    rows, flipped = batches.at(t)
    losses = []
    for name, learner in learners.items():
        X, y = learner.twin.batch(*learner.train, rows, flipped)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            loss, cost = learner.twin.train_step(X, y, lam, plan.lr(t))
        check_cost(name, t, plan, loss, cost)
        losses.append(loss)
    return losses[0]


def check_cost(name, t, plan, loss, cost):
    """Raises Diverged where the loss is not finite, or the cost is past its bound."""
    if not (np.isfinite(loss) and cost <= LARGEST_COST):
        raise Diverged(
            f"the {name} twin diverged at update {t}, lr {plan.lr(t):.3g}: loss {loss:.3g}, cost {cost:.3g}; "
            f"a smaller learning rate or lambda, or other initial weights, may do"
        )


def record(learners, plan, lam, progress):
    """A row of metrics.jsonl: the first twin at the top; a second one under its name, and how far apart the two are.

    Raises Diverged.
    """
    t = progress.update
    found = {}
    for name, learner in learners.items():
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found[name] = {part: measures(learner.twin, getattr(learner, part), lam) for part in ("train", "val")}
        for part in found[name].values():
            check_cost(name, t, plan, part["loss"], part["cost"])
    implementation = "both" if len(learners) == 2 else next(iter(learners))
    row = {"implementation": implementation, "update": t, "epoch": t / plan.per_epoch, "lr": plan.lr(t)}
    row |= {"seconds": sum(progress.seconds.values())} | under_names(found)
    if len(learners) == 2:
        costs = [parts["train"]["cost"] for parts in found.values()]
        row["drift"] = measure_drift([(each.twin, each.val.X[:DRIFT_IMAGES]) for each in learners.values()], costs)
    return row


def measures(twin, data, lam):
    """Loss, cost and accuracy of a whole part, as a dict."""
    return evaluate(twin, data, lam)._asdict()


def under_names(found):
    """The dict of the first twin at the top, that of the second, if there is one, under the second's name."""
    (_, first), *rest = found.items()
    return first | dict(rest)
