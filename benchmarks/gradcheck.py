#!/usr/bin/env python3
"""What the check costs: beside torch.autograd.gradcheck, for all seven networks, for a wide one, and as networks grow.

Run from the project's folder: python -m benchmarks.gradcheck [--plot FILE]. What one table compares is measured by turns in the
same run; the medians are shown. PyTorch's slow mode takes minutes.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from rich.progress import track

from benchmarks.peers import Peers, network_cost, one_thread
from gradcheck.per_layer import lambda_per_layer
from gradcheck.report.tables import markdown
from gradcheck.subjects.network import NetworkSubject
from lab import twins
from lab.network_check import chain_of, check_network
from networks import NAMED, Network, nonzero_state

LAMS = (0.0, 0.01)
ORACLES = ("central-difference", "complex-step")
BATCH, ROUNDS = 20, 3


Problem = tuple[Any, Any, np.ndarray, np.ndarray]
# By what grows: its value, and the seconds of each oracle.
Growth = dict[str, list[tuple[float, ...]]]


def problem(network: Network, batch: int = BATCH) -> Problem:
    """Both twins of the network at random nonzero parameters, and a random batch X (n, d), y (n,)."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((batch, network.inputs)), rng.integers(0, network.outputs, batch)
    claimed, reference = twins.build(network, nonzero_state(network))
    return claimed, reference, X, y


def seconds_of_oracle(oracle: str, network: Network, batch: int = BATCH) -> float:
    """Seconds that an oracle takes for every entry of every tensor, at LAMS."""
    started = time.perf_counter()
    claimed, reference, X, y = problem(network, batch)
    lams, chain = [lambda_per_layer(lam, network.depth) for lam in LAMS], chain_of(network, claimed.parameters, X, y)
    subject = NetworkSubject(network.name, claimed, reference, chain, y, lams)
    for tensor, array in subject.parameters.items():
        subject.estimate(oracle, tensor, np.arange(array.size), lambda count: None)
    return time.perf_counter() - started


def seconds_of_torch(network: Network) -> float:
    """Seconds that torch.autograd.gradcheck(fast_mode=False) takes for our gradient of the same cost.

    The cost is the forward of a Function, as if its backward were written by hand: otherwise PyTorch would keep a graph of the
    cost for each of the 300,000 points, over 20 GB.
    """
    claimed, _, X, y = problem(network)
    gradients = claimed.cost_and_gradients(X, y, LAMS[-1]).gradients
    batch, lams = (torch.from_numpy(X), torch.from_numpy(y)), lambda_per_layer(LAMS[-1], network.depth)
    peers = Peers(claimed.parameters, cost=None, torch_cost=lambda p: network_cost(network, p, *batch, lams))
    started = time.perf_counter()
    with one_thread():
        assert peers.accepted_by_torch(gradients, fast_mode=False)
    return time.perf_counter() - started


def beside_torch() -> str:
    """Our oracles and PyTorch's own checker, for every entry of the two-layer network."""
    rows = [("two-layer, batch 20, every entry", "seconds", "torch / ours")]
    rounds = [
        [seconds_of_torch(NAMED["two-layer"]), *(seconds_of_oracle(oracle, NAMED["two-layer"]) for oracle in ORACLES)]
        for _ in track(range(ROUNDS), "beside torch", transient=True)
    ]
    torch_times, *oracle_times = zip(*rounds, strict=True)
    rows.append(("torch.autograd.gradcheck(fast_mode=False)", f"{statistics.median(torch_times):.1f}", ""))
    for oracle, times in zip(ORACLES, oracle_times, strict=True):
        ratio = statistics.median(a / b for a, b in zip(torch_times, times, strict=True))
        rows.append((f"our {oracle}", f"{statistics.median(times):.2f}", f"{ratio:.0f}"))
    return markdown(rows)


def seven_networks() -> str:
    """What `make verify` checks: all oracles, every entry, three lambdas."""
    rows, total = [("all oracles, every entry", "parameters", "seconds")], 0.0
    for network in track(NAMED.values(), "seven networks", transient=True):
        per_layer = tuple(0.01 * layer for layer in range(1, network.depth + 1))
        times = [check_network(network.name, *problem(network), (*LAMS, per_layer)).seconds for _ in range(ROUNDS)]
        total += statistics.median(times)
        rows.append((network.name, f"{network.parameter_count:,}", f"{statistics.median(times):.1f}"))
    return markdown([*rows, ("all seven", f"{sum(n.parameter_count for n in NAMED.values()):,}", f"{total:.1f}")])


def send_measurement(oracle: str, network: Network, connection: Connection) -> None:
    """Sends the seconds that an oracle takes and the peak memory of this process in GiB."""
    connection.send((seconds_of_oracle(oracle, network), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))


def hidden_512() -> str:
    """A wide network. Each run is a process of its own, so that its peak memory can be measured, with PyTorch's share."""
    network = Network("hidden 512", hidden=(512,))
    rows: list[tuple[str, ...]] = [(f"hidden 512: {network.parameter_count:,} parameters", "seconds", "peak memory, GiB")]
    context = multiprocessing.get_context("spawn")
    for oracle in track(ORACLES, "hidden 512", transient=True):
        found = []
        for _ in range(ROUNDS):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=send_measurement, args=(oracle, network, sender))
            process.start()
            found.append(receiver.recv())
            process.join()
        rows.append((oracle, *(f"{statistics.median(column):.1f}" for column in zip(*found, strict=True))))
    return markdown(rows)


def growth() -> Growth:
    """Seconds of each oracle as the batch, the width or the depth grows, one of them at a time."""
    series = {
        "batch": [(n, Network("grown", hidden=(50,), inputs=768), n) for n in (10, 20, 40, 80, 160, 320)],
        "width": [(m, Network("grown", hidden=(m,), inputs=768), BATCH) for m in (25, 50, 100, 200, 400, 800)],
        "depth": [(k, Network("grown", hidden=(50,) * (k - 1), inputs=768), BATCH) for k in (2, 3, 5, 9, 17)],
    }
    found = {}
    for what, cases in series.items():
        found[what] = [
            (value, *(statistics.median(seconds_of_oracle(o, network, n) for _ in range(ROUNDS)) for o in ORACLES))
            for value, network, n in track(cases, f"growth with {what}", transient=True)
        ]
    return found


def growth_tables(found: Growth) -> str:
    return "\n\n".join(
        markdown([(what, *(f"{o}, s" for o in ORACLES)), *((str(v), *(f"{t:.2f}" for t in times)) for v, *times in rows)])
        for what, rows in found.items()
    )


def plot_growth(found: Growth, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(10, 3.2), sharey=True, layout="constrained")
    for axis, (what, rows) in zip(axes, found.items(), strict=True):
        values, *times = zip(*rows, strict=True)
        for oracle, seconds, marker in zip(ORACLES, times, "os", strict=True):
            axis.loglog(values, seconds, marker=marker, label=oracle)
        axis.set_xticks(values, map(str, values))
        axis.minorticks_off()
        axis.set_xlabel(what)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds for every entry")
    axes[0].legend(frameon=False)
    figure.suptitle("768 inputs, 50 units a layer, batch 20, but for what the axis says")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", metavar="FILE", help="the growth as a figure")
    options = parser.parse_args()
    for table in (seven_networks, hidden_512, beside_torch):
        print(table(), end="\n\n", flush=True)
    found = growth()
    print(growth_tables(found))
    if options.plot:
        plot_growth(found, options.plot)


if __name__ == "__main__":
    main()
