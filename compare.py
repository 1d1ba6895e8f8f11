#!/usr/bin/env python3
"""Compare the claimed gradient of every parameter with autograd, the complex step and central differences."""

from gradcheck.command import run
from lab.cli.compare import main

if __name__ == "__main__":
    run(main)
