#!/usr/bin/env python3
"""Hold the hand-derived gradient of every parameter against autograd, the complex step and central differences."""

from gradcheck.command import run
from lab.cli.compare import main

if __name__ == "__main__":
    run(main)
