#!/usr/bin/env python3
"""Random correct networks, each checked by every oracle at every entry: every failure here is a false alarm.

Network K of a run is drawn from the seed --seed + K alone, so that any of them can be repeated by itself: --only SEED.
"""

import argparse
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from benchmarks.random_networks import draw
from gradcheck.command import Parser, progress_bar, run, whole_number
from gradcheck.report.files import check_writable, write_json
from gradcheck.report.sentences import failures
from gradcheck.report.tables import comparison_summary, markdown, network_table, show
from gradcheck.result import RunResult

EXAMPLES = """\
examples:
  python -m benchmarks.correct_networks                     1,000 networks, seeds 0 to 999
  python -m benchmarks.correct_networks --networks 100 --seed 5000
  python -m benchmarks.correct_networks --only 212          the network of seed 212, its whole table
  python -m benchmarks.correct_networks --json found.json   a row for each network

exit codes: 0 no network failed, 1 some did, 2 could not run
"""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(__doc__, EXAMPLES)
    parser.add_argument("--networks", type=whole_number(1), default=1000, metavar="N", help="how many (1000)")
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="seed of the first network; the next one has the next seed (0)"
    )
    parser.add_argument("--only", type=whole_number(0), metavar="SEED", help="this network alone, with its whole table")
    parser.add_argument("--json", metavar="FILE", help="a row for each network")
    return parser.parse_args(arguments)


def check_seed(seed: int) -> dict[str, Any]:
    """The row of one network in the JSON file."""
    drawn = draw(seed)
    result = drawn.check().as_json()
    tensors = result["tensors"]
    return {
        "seed": seed,
        "network": drawn.description,
        "kinds": drawn.kinds,
        "verdict": result["verdict"],
        "why": "; ".join(failures(result)[:2]),
        "parameters": result["parameters"],
        **{name: sum(tensor[name] for tensor in tensors) for name in ("fail", "undecided", "kink")},
        "taylor": dict(Counter(tensor["taylor"]["verdict"] for tensor in tensors if tensor["taylor"])),
        "sensitivity": max((tensor["sensitivity"] for tensor in tensors if tensor["sensitivity"]), default=None),
        "seconds": result["seconds"],
    }


def use_one_thread() -> None:
    """In each process of the pool, of which there is one a core."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def check_all(seeds: Iterable[int], advance: Callable[[int], None]) -> list[dict[str, Any]]:
    """The rows of all networks, checked by one process on each core; `advance(1)` is called after each network."""
    context = multiprocessing.get_context("spawn")
    rows = []
    with ProcessPoolExecutor(os.cpu_count(), context, use_one_thread) as pool:
        for row in pool.map(check_seed, seeds):
            rows.append(row)
            advance(1)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """One row for each kind of network, and one for all of them, as Markdown."""
    lines = [
        ("kind", "networks", "pass", "undecided", "fail", "entries", "at a kink", "undecided", "tensors without a Taylor slope")
    ]
    for kind in ("all", *dict.fromkeys(sorted(kind for row in rows for kind in row["kinds"]))):
        of_kind = [row for row in rows if kind == "all" or kind in row["kinds"]]
        verdicts = Counter(row["verdict"] for row in of_kind)
        counts = [len(of_kind), *(verdicts[name] for name in ("pass", "undecided", "fail"))]
        counts += [sum(row[name] for row in of_kind) for name in ("parameters", "kink", "undecided")]
        counts.append(sum(row["taylor"].get("inconclusive", 0) for row in of_kind))
        lines.append((kind, *(f"{count:,}" for count in counts)))
    return markdown(lines)


def show_one(seed: int) -> int:
    """Checks the network of this seed and shows it as compare.py does. Returns the exit code."""
    drawn = draw(seed)
    result = drawn.check().as_json()
    print(drawn.description)
    run_result: RunResult = {"verdict": result["verdict"], "seconds": result["seconds"], "networks": [result]}
    show(network_table(result), *comparison_summary(run_result))
    return 1 if result["verdict"] == "fail" else 0


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.only is not None:
        return show_one(options.only)
    if options.json is not None:
        check_writable(options.json)
    started = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("networks", total=options.networks)
        rows = check_all(range(options.seed, options.seed + options.networks), lambda count: bar.advance(task, count))
    seconds = time.perf_counter() - started
    if options.json is not None:
        write_json(options.json, {"seconds": seconds, "networks": rows})
    print(table(rows))
    for row in rows:
        if row["verdict"] != "pass":
            print(f"\n{row['verdict']}: seed {row['seed']}, {row['network']}\n  {row['why']}")
    verdicts = Counter(row["verdict"] for row in rows)
    last = options.seed + options.networks - 1
    print(
        f"\nseeds {options.seed} to {last}: {verdicts['pass']:,} pass, {verdicts['undecided']:,} undecided, "
        f"{verdicts['fail']:,} fail, in {seconds:.0f} s"
    )
    return 1 if verdicts["fail"] else 0


if __name__ == "__main__":
    run(main)
