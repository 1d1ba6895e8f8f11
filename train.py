#!/usr/bin/env python3
"""Train one network, by hand-written backpropagation, by PyTorch, or by both side by side; its gradient is verified first."""

from gradcheck.command import run
from lab.cli.train import main

if __name__ == "__main__":
    run(main)
