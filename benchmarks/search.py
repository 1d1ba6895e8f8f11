#!/usr/bin/env python3
"""Eight candidates trained together beside eight single runs of the same updates: a Markdown table.

Run from the project's folder: python -m benchmarks.search [--device cuda]. Both are measured by turns in the same run; the
medians are shown. These are whole runs: a single one also evaluates the training and the test part and writes its files, which
a search does once, for the winner.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from gradcheck.report.tables import markdown
from lab.data.parts import Data
from lab.training.run import Run, load_images, resolve_settings
from lab.training.run_folder import RunFolder
from lab.training.settings import Settings
from lab.training.stacked import StackedTraining
from networks import NAMED

CANDIDATES, UPDATES, ROUNDS = 8, 200, 3
CASES = [(name, twin) for name in ("two-layer", "three-layer-bn", "nine-layer-bn") for twin in ("manual", "torch")]


def make_candidates(name: str, implementation: str, images: Data) -> list[Settings]:
    """The candidates: lambda from 1e-5 to 1e-1, with records only at the start and at the end."""
    base = Settings(NAMED[name], implementation, step_size=UPDATES // 2, cycles=1, record_every=UPDATES)
    return [replace(resolve_settings(base, images), lam=float(lam)) for lam in np.logspace(-5, -1, CANDIDATES)]


def seconds_together(candidates: list[Settings], images: Data, device: str) -> float:
    started = time.perf_counter()
    stack = StackedTraining(candidates, device)
    for _ in stack.train(stack.to_device(images), lambda: None, lambda: False):
        pass
    return time.perf_counter() - started


def seconds_one_by_one(candidates: list[Settings], images: Data, device: str) -> float:
    started = time.perf_counter()
    for settings in candidates:
        with tempfile.TemporaryDirectory() as folder:
            run_folder = RunFolder(Path(folder))
            run_folder.write_settings(settings)
            for _ in Run(settings, images, run_folder, device).train(lambda lr, loss: None, lambda: False):
                pass
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: the PyTorch twin alone (cpu)")
    device = parser.parse_args().device
    images = load_images(Settings(NAMED["two-layer"]))
    rows = [(f"{CANDIDATES} candidates, {UPDATES} updates of 100, {device}", "twin", "one by one, s", "together, s", "ratio")]
    for name, twin in track(CASES, "training", transient=True):
        if device == "cuda" and twin == "manual":
            continue
        candidates = make_candidates(name, twin, images)
        seconds_together(candidates[:1], images, device)  # the first call of all also pays for what is loaded late
        arguments = candidates, images, device
        singles, stacked = zip(
            *((seconds_one_by_one(*arguments), seconds_together(*arguments)) for _ in range(ROUNDS)),
            strict=True,
        )
        ratio = statistics.median(a / b for a, b in zip(singles, stacked, strict=True))
        rows.append((name, twin, f"{statistics.median(singles):.2f}", f"{statistics.median(stacked):.2f}", f"{ratio:.1f}"))
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
