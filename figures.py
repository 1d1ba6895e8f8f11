#!/usr/bin/env python3
"""Draw the figures of training runs again, or of several runs side by side."""

from gradcheck.command import run
from lab.cli.figures import main

if __name__ == "__main__":
    run(main)
