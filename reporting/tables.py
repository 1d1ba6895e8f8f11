"""The result of a comparison as tables in a terminal, from the dict that the JSON file holds."""

from itertools import zip_longest

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

SHORT = {"autograd": "autograd", "complex-step": "complex", "central-difference": "central"}
# What it means that one derivation stands against the others, at so many entries.
ALONE = {
    "hand": "autograd and the complex step agree at {:,} of them: the hand-written backward is wrong",
    "autograd": "hand and the complex step agree at {:,} of them: the forward passes differ, or PyTorch's backward",
    "complex-step": "hand and autograd agree at {:,} of them: the NumPy forward is not the one that hand differentiates",
    "central-difference": "at {:,} of them the central difference alone disagrees: it is out of its depth",
}
STYLE = {"pass": "green", "fail": "bold red", "undecided": "yellow"}


TABLE_WIDTH = 80


def show(*parts):
    """Prints tables and marked-up sentences, in colour on a terminal, without the blanks that pad a line.

    Rendered first and printed then: rich itself answers a closed pipe with exit code 1.
    """
    console = Console(highlight=False)
    console.width = max(console.width, TABLE_WIDTH)
    with console.capture() as rendered:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, str))
    print("\n".join(line.rstrip() for line in rendered.get().splitlines()), flush=True)


def comparison_summary(result):
    """What stands below the tables of the networks: one row each, if there are several, and the verdict in a sentence."""
    networks = result["networks"]
    return ([summary_table(networks)] if len(networks) > 1 else []) + [conclusion(result)]


def network_table(network):
    """One row for each tensor and oracle: the worst entry, nearest to its tolerance or furthest past it."""
    table = table_with(
        f"{escape(network['name'])}  {verified(network['tensors'])} entries verified, {network['seconds']:.1f} s",
        left=("tensor", "oracle"),
        right=("entries", "error", "allowed", "at", "hand", "oracle"),
    )
    table.add_column("verdict")
    for quantity in network["forward"]:
        cells = worst_cells(quantity)
        table.add_row(quantity["name"], "forward", "", *cells, styled(quantity["verdict"], quantity["verdict"]))
    for tensor in network["tensors"]:
        oracles = [(SHORT[oracle], worst_cells(found)) for oracle, found in tensor["oracles"].items()]
        size = f"{tensor['entries']:,}"
        for name, entries, verdict, oracle in zip_longest((tensor["name"],), (size,), tensor_verdict(tensor), oracles):
            short, cells = oracle or ("", ("",) * 5)
            table.add_row(name, short, entries, *cells, verdict)
    return table


def summary_table(networks):
    """One row a network: the worst relative error of each oracle, and the verdict."""
    oracles = list(networks[0]["tensors"][0]["oracles"])
    table = table_with(
        "All networks: worst relative error",
        ("network",),
        ("entries verified", *(SHORT[oracle] for oracle in oracles), "kinks"),
    )
    table.add_column("verdict")
    for network in networks:
        worst = [worst_error(tensor["oracles"][oracle] for tensor in network["tensors"]) for oracle in oracles]
        kinks = sum(tensor["kink"] for tensor in network["tensors"])
        table.add_row(
            escape(network["name"]),
            verified(network["tensors"]),
            *worst,
            f"{kinks:,}",
            styled(network["verdict"], network["verdict"]),
        )
    return table


def conclusion(result):
    """The verdict of the run in a sentence; for a failure, which tensors failed."""
    lines = []
    for network in result["networks"]:
        lines += [styled(f"fail: {network['name']}, {fault}", "fail") for fault in network["faults"]]
        wrong = [quantity["name"] for quantity in network["forward"] if quantity["verdict"] == "fail"]
        if wrong:
            lines.append(styled(f"fail: {network['name']}, the forward passes differ in {', '.join(wrong)}", "fail"))
    tensors = [(network, tensor) for network in result["networks"] for tensor in network["tensors"]]
    for verdict in ("fail", "undecided"):
        for network, tensor in tensors:
            if tensor[verdict]:
                count = f"{tensor[verdict]:,} of {tensor['entries']:,} entries"
                worst = f", {worst_in_full(tensor)}" if verdict == "fail" else ""
                lines.append(styled(f"{verdict}: {network['name']} {tensor['name']}, {count}{worst}", verdict))
                if verdict == "fail":
                    lines += [f"      {ALONE[voter].format(entries)}" for voter, entries in tensor["alone"].items()]
                    lines.append(f"      {escape(tensor['diagnosis'] or 'no known bug makes this pattern')}")
    if any(tensor["undecided"] for _, tensor in tensors):
        lines.append(
            "undecided: no oracle was certain there, or a ReLU is active in float32 and not in float64; try another --seed"
        )
    outvoted = sum(tensor["alone"].get("central-difference", 0) for _, tensor in tensors if not tensor["fail"])
    if outvoted:
        lines.append(f"verified all the same: {ALONE['central-difference'].format(outvoted).replace('of them', 'entries')}")
    kinks = sum(tensor["kink"] for _, tensor in tensors)
    if kinks:
        lines.append(
            f"kink: at {kinks:,} entries the difference stencil crossed a ReLU kink; they are verified by a smaller step "
            "or another oracle"
        )
    total = f"{verified([tensor for _, tensor in tensors])} entries verified in {result['seconds']:.1f} s"
    hint = "" if result["verdict"] == "pass" else "see above; of the gradients, "
    lines.append(styled(f"{result['verdict'].upper()}: {hint}{total}", result["verdict"]))
    return "\n".join(lines)


def worst_in_full(tensor):
    """The entry where the first oracle that disagrees disagrees most, with all digits: some bugs show only in the last ones."""
    for oracle, found in tensor["oracles"].items():
        worst = found["worst"]
        if worst["rel_error"] is None or worst["rel_error"] > worst["allowed"]:
            index = ", ".join(str(i) for i in worst["index"])
            return f"[{index}] is {number(worst['manual'], 16)}, {oracle} says {number(worst['reference'], 16)}"


def table_with(title, left, right):
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left")
    table.title_style = "bold"
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def worst_cells(found):
    """Relative error, what is allowed, index, and both values of an oracle's worst entry."""
    worst = found["worst"]
    index = ",".join(str(i) for i in worst["index"])
    return number(worst["rel_error"]), number(worst["allowed"]), index, *(number(worst[k], 4) for k in ("manual", "reference"))


def tensor_verdict(tensor):
    """The verdict, and on the next line how many entries it concerns where that is not all."""
    for verdict in ("fail", "undecided"):
        if tensor[verdict]:
            return [styled(verdict.upper(), verdict), styled(f"{tensor[verdict]:,}", verdict)]
    kinks = [styled(f"{tensor['kink']:,} kink", "pass")] if tensor["kink"] else []
    return [styled("pass", "pass"), *kinks]


def verified(tensors):
    """ "154,160 of 154,160": entries that passed, of all."""
    return f"{sum(t['pass'] + t['kink'] for t in tensors):,} of {sum(t['entries'] for t in tensors):,}"


def worst_error(found):
    errors = [oracle["max_rel_error"] for oracle in found]
    return number(None if None in errors else max(errors))


def number(value, digits=2):
    """In scientific notation with so many digits; None is a number that is not finite."""
    return "not finite" if value is None else f"{value:.{digits - 1}e}"


def styled(text, verdict):
    return f"[{STYLE[verdict]}]{escape(text)}[/]"


def gradient_check_table(experiments, results):
    """The reports' gradient checks as a Markdown table: what each reported, its protocol on our gradient, and our check."""
    rows = [("check", "quantity", "reported", "that protocol, our gradient", "our check: autograd / complex step", "verdict")]
    for experiment, (measured, ours) in zip(experiments, results, strict=True):
        errors = (worst_error(t["oracles"][oracle] for t in ours.tensors) for oracle in ("autograd", "complex-step"))
        heads = zip_longest((experiment.name,), (" / ".join(errors),), (f"{ours.verdict}, {verified(ours.tensors)}",))
        for (name, error, verdict), quantity in zip_longest(heads, experiment.reported, fillvalue=("", "", "")):
            rows.append((name, quantity, experiment.reported[quantity], measured[quantity], error, verdict))
    return markdown(rows)


def markdown(rows):
    """Rows of text, the first of them the head, as a Markdown table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    return "\n".join(
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )
