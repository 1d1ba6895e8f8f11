#!/usr/bin/env python3
"""Updates of eight candidates together beside the same updates of the eight one by one: a Markdown table.

Run from the project's folder: python -m benchmarks.search [--device cuda]. Turn by turn in this run; shown are medians. What
else a run does, loading, records and files, is left out on both sides.
"""

import argparse
import statistics
import time

import numpy as np
from rich.progress import track

import twins
from networks import NAMED, initial_state, lambda_per_layer
from reporting.tables import markdown
from training.evaluation import Placed

CANDIDATES, UPDATES, ROUNDS, IMAGES, BATCH, LR = 8, 40, 3, 5_000, 100, 0.01
NETWORKS = ("two-layer", "three-layer-bn", "nine-layer", "nine-layer-bn")


def seconds(twin, placed, order, lam, lr):
    """Of UPDATES updates of a twin or a stack."""
    started = time.perf_counter()
    for rows in order:
        twin.train_step(*twin.batch(*placed, rows), lam, lr)
    return time.perf_counter() - started


def measured(network, implementation, device):
    """Seconds one by one and together, medians, and the median of their ratios."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((IMAGES, network.inputs), np.float32), rng.integers(0, network.outputs, IMAGES)
    order = [rng.permutation(IMAGES)[:BATCH] for _ in range(UPDATES)]
    lams = np.logspace(-5, -1, CANDIDATES)
    states = [initial_state(network, seed=0) for _ in lams]
    stack = twins.training_stack(implementation, network, states, "float32", device)
    singles = [twins.training_twin(implementation, network, state, "float32", device) for state in states]
    placed = Placed(stack.array(X), stack.array(y))
    per_layer = np.array([lambda_per_layer(lam, network.depth) for lam in lams]).T  # (depth, C)
    rounds = []
    for _ in range(ROUNDS):
        one_by_one = sum(seconds(twin, placed, order, float(lam), LR) for twin, lam in zip(singles, lams, strict=True))
        rounds.append((one_by_one, seconds(stack, placed, order, per_layer, np.full(CANDIDATES, LR))))
    ratio = statistics.median(a / b for a, b in rounds)
    return *(statistics.median(column) for column in zip(*rounds, strict=True)), ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: the PyTorch twin alone (cpu)")
    device = parser.parse_args().device
    rows = [
        (f"{CANDIDATES} candidates, {UPDATES} updates of {BATCH}, {device}", "twin", "one by one, s", "together, s", "ratio")
    ]
    cases = [(name, twin) for name in NETWORKS for twin in (("torch",) if device == "cuda" else ("manual", "torch"))]
    for name, twin in track(cases, "training", transient=True):
        apart, together, ratio = measured(NAMED[name], twin, device)
        rows.append((name, twin, f"{apart:.2f}", f"{together:.2f}", f"{ratio:.1f}"))
    print(markdown(rows))


if __name__ == "__main__":
    main()
