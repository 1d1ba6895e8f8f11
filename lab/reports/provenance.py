"""Where results come from: the commit of the code, and what it ran on."""

import os
import platform
import subprocess
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[2]


def commit() -> str | None:
    """The commit that is checked out, with + where the code differs from it; None where there is no git."""
    try:
        changed = git("status", "--porcelain", "--", "*.py", "*.toml")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def git(*arguments: str) -> str:
    """What a git command says of this repository. Raises OSError and CalledProcessError."""
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()


def environment() -> dict[str, str | int | None]:
    """The versions, the system, the number of cores and the name of the GPU, for JSON."""
    import torch

    found: dict[str, str | int | None] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found
