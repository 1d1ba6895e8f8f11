"""Who imports whom: the contracts of pyproject.toml, and the files at the top, which they do not reach."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The files below the twins, and what each imports.
FOUNDATION = {"random_streams": {"numpy"}, "networks": {"numpy", "gradcheck", "random_streams"}}
COMMANDS = ["compare", "train", "search", "reproduce", "figures"]


def imported(*paths):
    """The packages that these Python files and folders import, in functions too, without those of Python itself."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    names = {name for file in files for name in imports_of(ast.parse(file.read_text()))}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def imports_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module


def distributions(requirements):
    return {re.match(r"[\w-]+", line)[0].lower() for line in requirements if line and not line.startswith("#")}


def test_the_contracts_are_kept():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FOUNDATION)
def test_below_the_twins_only_gradcheck_is_imported(name):
    assert imported(ROOT / f"{name}.py") <= FOUNDATION[name]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_a_door(command):
    source = (ROOT / f"{command}.py").read_text()
    assert imported(ROOT / f"{command}.py") == {"gradcheck", "lab"}
    assert len(source.splitlines()) <= 12


def test_gradcheck_imports_what_its_wheel_declares():
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    declared = distributions([*PROJECT["dependencies"], *extras])
    assert imported(ROOT / "gradcheck") - {"gradcheck"} == declared


def test_requirements_name_what_is_imported():
    folders = [ROOT / name for name in ("gradcheck", "manual", "models", "lab", "benchmarks", "examples", "tests")]
    ours = {path.stem for path in [*folders, *ROOT.glob("*.py"), *(ROOT / "tests").glob("*.py")]}
    names = imported(*folders, *ROOT.glob("*.py")) - ours - {"cupy"}  # CuPy is for a GPU
    distribution_of = packages_distributions()
    needed = {distribution_of[name][0].lower() for name in names}
    assert needed <= distributions((ROOT / "requirements.txt").read_text().splitlines())
