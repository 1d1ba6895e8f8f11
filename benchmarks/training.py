#!/usr/bin/env python3
"""What training costs: an update of each twin beside plain PyTorch, and an evaluation beside its matrix products alone.

Run from the project's folder: python -m benchmarks.training. Every figure of a row is measured turn by turn in this run;
shown are medians.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from rich.progress import track

import models
from gradcheck.arrays import Array
from gradcheck.report.tables import markdown
from lab import twins
from lab.training.device_data import DeviceData
from lab.training.evaluation import evaluate
from networks import NAMED, Network, initial_state

IMAGES, BATCH, ROUNDS, UPDATES = 10_000, 100, 9, 50
LAM, LR = 0.005, 0.01


def plain_pytorch(network: Network, X: Array, y: Array) -> Callable[[Array], float]:
    """An update as a PyTorch user writes it: the penalty as weight decay, the batch indexed from one tensor."""
    model = models.MLP(network, initial_state(network), torch.float32).layers.train()
    weights = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": 2 * LAM}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=LR)
    images, labels = torch.from_numpy(X), torch.from_numpy(y)
    one_hot = torch.nn.functional.one_hot(labels, 10).float()

    def update(rows: Array) -> float:
        chosen = torch.from_numpy(rows)
        logits = model(images[chosen])
        if network.loss == "softmax":
            loss = torch.nn.functional.cross_entropy(logits, labels[chosen])
        else:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, one_hot[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return update


def our_update(implementation: str, network: Network, X: Array, y: Array) -> Callable[[Array], tuple[float, float]]:
    """An update of a twin."""
    twin = twins.training_twin(implementation, network, initial_state(network))
    images, labels = twin.array(X), twin.array(y)
    return lambda rows: twin.train_step(*twin.batch(images, labels, rows), twin.network.lambdas(LAM), LR)


def products(network: Network, X: Array) -> Callable[[], object]:
    """The matrix products of an evaluation alone, into arrays that are there already."""
    pairs, A = [], X
    for name, W in initial_state(network).items():
        if name.startswith("W"):
            W = W.astype(np.float32)
            pairs.append((A, W, np.empty((len(A), len(W)), np.float32)))
            A = np.random.default_rng(0).standard_normal(pairs[-1][2].shape, dtype=np.float32)
    return lambda: [np.matmul(A, W.T, out=out) for A, W, out in pairs]


def torch_products(network: Network, X: Array) -> Callable[[], object]:
    """The same in PyTorch."""
    pairs, A = [], torch.from_numpy(X)
    for name, W in initial_state(network).items():
        if name.startswith("W"):
            W = torch.tensor(W, dtype=torch.float32)
            pairs.append((A, W, torch.empty(len(A), len(W))))
            A = torch.randn(len(A), len(W))
    return lambda: [torch.matmul(A, W.T, out=out) for A, W, out in pairs]


def seconds(function: Callable[[], object]) -> float:
    # NumPy's and PyTorch's pools of threads spin on for a tenth of a second, and would slow each other down.
    time.sleep(0.2)
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def side_by_side(candidates: Sequence[Callable[[], object]]) -> Array:
    """Seconds of each candidate, a function without arguments, in each of ROUNDS: turn by turn, the first round left out."""
    rounds = [[seconds(candidate) for candidate in candidates] for _ in range(ROUNDS + 1)]
    return np.array(rounds[1:])


def main() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((IMAGES, 3072), dtype=np.float32), rng.integers(0, 10, IMAGES)
    orders = [rng.integers(0, IMAGES, BATCH) for _ in range(UPDATES)]
    updates = [("an update of 100", "manual, ms", "torch, ms", "plain PyTorch, ms", "plain / manual", "plain / torch")]
    evaluations = [
        (f"evaluation of {IMAGES:,}", "manual, ms", "its products, ms", "ratio", "torch, ms", "its products, ms", "ratio")
    ]
    for network in track(NAMED.values(), "", transient=True):
        steps = [our_update("manual", network, X, y), our_update("torch", network, X, y), plain_pytorch(network, X, y)]
        times = side_by_side([lambda step=step: [step(rows) for rows in orders] for step in steps]) / UPDATES * 1e3
        claimed, torch_twin, plain = np.median(times, axis=0)
        ratios = (statistics.median(times[:, 2] / times[:, k]) for k in (0, 1))
        updates.append((network.name, *(f"{t:.2f}" for t in (claimed, torch_twin, plain)), *(f"{r:.2f}" for r in ratios)))
        row = [network.name]
        for name, alone in (("manual", products), ("torch", torch_products)):
            twin = twins.training_twin(name, network, initial_state(network))
            data = DeviceData(twin.array(X), twin.array(y))
            times = side_by_side([lambda t=twin, p=data: evaluate(t, p, t.network.lambdas(LAM)), alone(network, X)]) * 1e3
            row += [f"{t:.1f}" for t in np.median(times, axis=0)] + [f"{statistics.median(times[:, 0] / times[:, 1]):.2f}"]
        evaluations.append(row)
    print(f"{markdown(updates)}\n\n{markdown(evaluations)}")


if __name__ == "__main__":
    main()
