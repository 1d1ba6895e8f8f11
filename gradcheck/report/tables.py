"""The result of a comparison as tables in a terminal, from the dict that the JSON file holds."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from gradcheck.faults import counted
from gradcheck.report.rows import SHORT, styled, tensor_rows, worst_cells
from gradcheck.report.sentences import ALONE, asked_for, failures, nothing_came, scientific
from gradcheck.result import Comparison, NetworkResult, RunResult, TensorRow

TABLE_WIDTH, WIDEST = 80, 1000
LONGEST_NAME = 24


def show(*parts: RenderableType) -> None:
    """Prints tables and marked-up sentences, in colour on a terminal, without the blanks that pad a line.

    Rendered first and printed then: rich itself answers a closed pipe with exit code 1.
    """
    console = Console(highlight=False)
    # Long names make a table wider than the terminal: better folded lines than numbers cut off.
    widths = [
        console.measure(part, options=console.options.update(max_width=WIDEST)).maximum
        for part in parts
        if isinstance(part, Table)
    ]
    console.width = max(console.width, TABLE_WIDTH, *widths)
    with console.capture() as rendered:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, str))
    print("\n".join(line.rstrip() for line in rendered.get().splitlines()), flush=True)


def comparison_summary(result: RunResult) -> Sequence[RenderableType]:
    """What stands below the tables of the networks: one row each, if there are several, and the verdict in a sentence."""
    networks = result["networks"]
    return ([summary_table(networks)] if len(networks) > 1 else []) + [conclusion(result)]


def network_table(network: NetworkResult) -> Table:
    """A row for each tensor and what judges it, with the verdict in the rows that it rests on."""
    table = table_with(
        f"{escape(network['name'])}  {entries_verified(network['tensors'])}, {network['seconds']:.1f} s",
        left=("tensor", "oracle"),
        right=("entries", "error", "allowed", "at", "claimed", "reference"),
    )
    table.add_column("verdict")
    for quantity in network["forward"]:
        cells = worst_cells(quantity["worst"])
        table.add_row(quantity["name"], "forward", "", *cells, styled(quantity["verdict"], quantity["verdict"]))
    for tensor in network["tensors"]:
        names = chain([(shortened(tensor["name"]), f"{tensor['entries']:,}")], repeat(("", "")))
        for (name, size), (judge, cells, verdict) in zip(names, tensor_rows(tensor), strict=False):
            table.add_row(name, judge, size, *cells, verdict)
    return table


def summary_table(networks: Sequence[NetworkResult]) -> Table:
    """One row a network: the worst relative error of each oracle, and the verdict."""
    oracles = [oracle for oracle in SHORT if any(oracle in t["oracles"] for network in networks for t in network["tensors"])]
    table = table_with(
        "All networks: worst relative error",
        ("network",),
        ("entries verified", *(SHORT[oracle] for oracle in oracles), "kinks"),
    )
    table.add_column("verdict")
    for network in networks:
        worst = [worst_error(t["oracles"][oracle] for t in network["tensors"] if oracle in t["oracles"]) for oracle in oracles]
        kinks = sum(tensor["kink"] for tensor in network["tensors"])
        table.add_row(
            escape(network["name"]),
            verified(network["tensors"]),
            *worst,
            f"{kinks:,}",
            styled(network["verdict"], network["verdict"]),
        )
    return table


def conclusion(result: RunResult) -> str:
    """The verdict of the run in a sentence; for a failure, which tensors failed and why; what was not done as it should."""
    lines = [line for network in result["networks"] for line in about_network(network)]
    tensors = [tensor for network in result["networks"] for tensor in network["tensors"]]
    sampled = [tensor["directions"] for tensor in tensors if tensor["directions"]]
    directions = f", and {counted(sum(each['checked'] for each in sampled), 'random direction')}" if sampled else ""
    total = f"{entries_verified(tensors)}{directions} in {result['seconds']:.1f} s"
    hint = "" if result["verdict"] == "pass" else "see above; of the gradients, "
    verdict = styled(f"{result['verdict'].upper()}{asked_for(tensors)}: {hint}{total}", result["verdict"])
    return "\n".join([*lines, *exceptions(tensors), verdict])


def about_network(network: NetworkResult) -> Iterator[str]:
    """Its notes, what failed and why, and what it would have caught, a line each."""
    yield from (styled(f"{network['name']}: {note}", "note") for note in network["notes"])
    for line in failures(network):
        verdict = line.split(":")[0]
        yield styled(line, verdict) if verdict in ("fail", "undecided") else escape(line)
    if not nothing_came(network):
        yield from (escape(f"{network['name']}: {line}") for line in (*taylor_reasons(network), network["sensitivity"]))


def exceptions(tensors: Sequence[TensorRow]) -> Iterator[str]:
    """How many entries are verified although a difference disagrees, or crossed a kink; nothing where there are none."""
    outvoted = sum(tensor["alone"].get("central-difference", 0) for tensor in tensors if not tensor["fail"])
    if outvoted:
        yield f"verified all the same: {ALONE['central-difference'].format(counted(outvoted, 'entry'))}"
    kinks = sum(tensor["kink"] for tensor in tensors)
    if kinks:
        they_are, lie = ("it is", "lies") if kinks == 1 else ("they are", "lie")
        yield (
            f"kink: at {counted(kinks, 'entry')} the difference stencil crossed a kink; {they_are} verified by a smaller step, "
            f"by another oracle, or {lie} between the one-sided derivatives"
        )


def table_with(title: str | None, left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table: columns of text to the left, columns of numbers behind them."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left")
    table.title_style = "bold"
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def taylor_reasons(network: NetworkResult) -> list[str]:
    """Why the Taylor test of some tensors is inconclusive: a line for each reason."""
    by_reason: dict[str | None, list[str]] = {}
    for tensor in network["tensors"]:
        if tensor["taylor"] and tensor["taylor"]["verdict"] == "inconclusive":
            by_reason.setdefault(tensor["taylor"]["reason"], []).append(tensor["name"])
    return [f"Taylor test inconclusive for {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def shortened(name: str | None) -> str:
    """A name as a cell of a table, which shows no markup and leaves room for the other columns."""
    if not name:
        return ""
    return escape(name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…")


def verified(tensors: Sequence[TensorRow]) -> str:
    """ "154,160 of 154,160": entries that passed, of all."""
    return f"{sum(t['pass'] + t['kink'] for t in tensors):,} of {sum(t['entries'] for t in tensors):,}"


def entries_verified(tensors: Sequence[TensorRow]) -> str:
    """ "154,160 of 154,160 entries verified"."""
    noun = counted(sum(tensor["entries"] for tensor in tensors), "entry").split()[1]
    return f"{verified(tensors)} {noun} verified"


def worst_error(found: Iterable[Comparison]) -> str:
    """The largest relative error of several comparisons, - where there is none."""
    errors = [comparison["max_rel_error"] for comparison in found]
    finite = [error for error in errors if error is not None]
    return "-" if not errors else scientific(max(finite) if len(finite) == len(errors) else None)


def markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of text, the first of them the head, as a Markdown table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    return "\n".join(
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )
