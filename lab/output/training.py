"""A training run in sentences and a table, from the dicts that its files hold."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from gradcheck.report.rows import SHORT
from gradcheck.report.sentences import scientific
from gradcheck.report.tables import table_with, verified, worst_error
from gradcheck.result import NetworkResult
from lab.training.loop import Row

if TYPE_CHECKING:
    from lab.training.run import Run

PARTS = {"train": "training", "val": "validation", "test": "test"}


def plan_sentence(run: "Run") -> str:
    """What is about to happen, in one line."""
    s, plan = run.settings, run.plan
    rate = f"{s.lr_min:g} to {s.lr_max:g}" if s.schedule == "cyclical" else f"{s.lr:g}"
    start = f", from update {run.progress.update:,}" if run.progress.update else ""
    images = f"{len(run.images.train.labels):,} images of {s.data}"
    return (
        f"{s.network.name}, {s.implementation}, {s.dtype} on {run.device}: {images} in "
        f"batches of {plan.batch_size:,}, {plan.updates:,} updates ({plan.updates / plan.per_epoch:g} epochs){start}, "
        f"{s.schedule} lr {rate}, lambda {s.lam}"
    )


def verification_sentence(network: NetworkResult) -> str:
    """What the check before the first update found."""
    oracles = network["tensors"][0]["oracles"]
    errors = (f"{SHORT[o]} {worst_error(t['oracles'][o] for t in network['tensors'])}" for o in oracles)
    return f"{verified(network['tensors'])} entries in {network['seconds']:.1f} s; worst relative error: {', '.join(errors)}"


def record_line(row: Row, updates: int) -> str:
    """A record as a line of text, for a run without a terminal."""
    parts = "  ".join(
        f"{part} loss {row[part]['loss']:.4f} cost {row[part]['cost']:.4f} accuracy {row[part]['accuracy']:.2%}"
        for part in ("train", "val")
    )
    drift = f"  drift: {distances(row['drift'])}" if "drift" in row else ""
    return f"{row['update']:>{len(str(updates))}}/{updates}  lr {row['lr']:.2e}  {parts}{drift}"


def result_table(result: Mapping[str, Any]) -> Table:
    """Loss, cost and accuracy of each part; of each twin if there are two."""
    table = table_with(f"{result['network']}, {result['updates']:,} updates", ("", "part"), ("loss", "cost", "accuracy"))
    for name, found in twins_of(result).items():
        for key, part in PARTS.items():
            measures = found[key]
            cells = f"{measures['loss']:.4f}", f"{measures['cost']:.4f}", f"{measures['accuracy']:.2%}"
            table.add_row(name if key == "train" else "", part, *cells)
    return table


def twins_of(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a result or a row of metrics says of each twin, by its name."""
    if row["implementation"] == "both":
        return {"manual": row, "torch": row["torch"]}
    return {row["implementation"]: row}


def sentences(result: Mapping[str, Any]) -> Iterator[str]:
    """What stands below the table: how far two twins have drifted, what records cost, and a warning if nothing was verified."""
    if "drift" in result:
        yield drift_sentence(result["drift"])
    records = result["seconds_of"]["records"] / result["seconds"]
    yield f"{result['seconds']:.1f} s, {records:.0%} of them for the records; --record-every sets how many there are"
    if result["verify"] == "off":
        yield "[bold yellow]THE GRADIENT WAS NOT VERIFIED (--verify off)[/]"


def drift_sentence(drift: Mapping[str, Any]) -> str:
    """How far two twins have drifted, and where their ReLUs first differed."""
    relu, first = drift["relu"], drift["first_relu"]
    where = f", the first time at the record of update {first['update']:,}, in hidden layer {first['layer']}" if first else ""
    return (
        f"the twins have drifted apart by (relative) {distances(drift)} ({drift['worst']}); "
        f"{relu['differ']:,} of {relu['units']:,} ReLUs differ{where}"
    )


def distances(drift: Mapping[str, Any]) -> str:
    return ", ".join(f"{quantity} {scientific(drift[quantity])}" for quantity in ("logits", "cost", "weights"))
