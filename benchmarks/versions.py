#!/usr/bin/env python3
"""The wheel with the oldest and the newest NumPy, rich and PyTorch, on each of these Pythons: does every check of it pass?

    python -m benchmarks.versions python3.11 python3.12

Run from the project's folder, with a Python that has pip. Each row is a virtual environment of its own, downloaded into
a temporary folder (PyTorch with CUDA takes 6 GB there) and removed again.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.installation import (
    CHECKS,
    ROOT,
    TORCH_CHECKS,
    Environment,
    build_wheel,
    expect,
    make_environment,
    run,
    write_project,
)

# The oldest releases that pyproject.toml admits and that have a wheel for this Python.
OLDEST = {
    "3.11": ("numpy==2.0.0", "torch==2.4.0"),
    "3.12": ("numpy==2.0.0", "torch==2.4.0"),
    "3.13": ("numpy==2.1.0", "torch==2.5.0"),
    "3.14": ("numpy==2.3.2", "torch==2.9.0"),
}
VERSIONS = """\
import platform
from importlib.metadata import PackageNotFoundError, version
print(platform.python_version())
for name in ("numpy", "rich", "torch"):
    try:
        print(version(name))
    except PackageNotFoundError:
        print("none")
"""


def requirements(interpreter: str) -> Iterator[list[str]]:
    """What to install beside the wheel, for each row of this Python."""
    number = run([interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).stdout.strip()
    numpy, torch = OLDEST[number]
    yield [numpy, "rich==13.0.0"]
    yield ["numpy", "rich"]
    yield [numpy, "rich==13.0.0", torch]
    yield ["numpy", "rich", "torch"]


def row(interpreter: str, packages: list[str], wheel: Path, folder: Path) -> tuple[str, ...]:
    """The versions in an environment with these packages, and how many checks pass there."""
    environment = make_environment(folder / "environment", interpreter)
    environment.install("pytest", *packages)
    environment.install("--no-deps", wheel)
    write_project(folder / "project")
    has_torch = any(name.startswith("torch") for name in packages)
    checks = (*CHECKS, *TORCH_CHECKS, private_names_of_pytorch_hold) if has_torch else CHECKS
    failed = [check.__name__ for check in checks if not passes(check, environment, folder / "project")]
    versions = environment.run("python", "-c", VERSIONS, cwd=folder).stdout.split()
    return (*versions, f"{len(checks) - len(failed)} of {len(checks)}", ", ".join(failed))


def private_names_of_pytorch_hold(environment: Environment, project: Path) -> None:
    shutil.copy(ROOT / "tests/test_torch_private.py", project)
    expect(environment.run("python", "-m", "pytest", "-q", "test_torch_private.py", cwd=project), 0, "passed")


def passes(check: Callable[[Environment, Path], None], environment: Environment, project: Path) -> bool:
    try:
        check(environment, project)
    except AssertionError as error:
        print(f"{check.__name__}: {error}", file=sys.stderr)
        return False
    return True


def main(interpreters: list[str]) -> None:
    print("| Python | NumPy | rich | PyTorch | checks passed | failed |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as wheels:
        wheel = build_wheel(Path(wheels))
        for interpreter in interpreters:
            for packages in requirements(interpreter):
                with tempfile.TemporaryDirectory() as folder:
                    print("| " + " | ".join(row(interpreter, packages, wheel, Path(folder))) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or [sys.executable])
