#!/usr/bin/env python3
"""Search lambda, and whatever else is varied, from coarse to fine: all candidates of a round train at once."""

from gradcheck.command import run
from lab.cli.search import main

if __name__ == "__main__":
    run(main)
