"""The wheel of gradcheck, built as from a clean clone, and a project of somebody else that uses it, whose files have our names.

tests/test_install.py runs the checks in one environment, benchmarks/versions.py in many. Only Python itself is imported here,
so that any interpreter can run this.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.example_bugs import BUGS

ROOT = Path(__file__).parent.parent

# Modules that a project may well have, each of which once was one of ours.
THEIRS = ("commands", "errors", "files", "manual", "models", "networks", "training", "twins")

TEST = """\
import numpy as np
from gradcheck import assert_gradients_match
from networks import X

def test_backward():
    def cost(p): return ((X @ p["w"]) ** 2).sum()
    def gradients(p): return {"w": 2 * X.T @ (X @ p["w"])}
    assert_gradients_match({"w": np.arange(1.0, 6.0)}, cost, gradients)
"""

PAIR = f"""\
import {", ".join(THEIRS)}

import numpy as np

assert all(module.THEIRS for module in ({", ".join(THEIRS)}))
parameters = {{"w": np.arange(1.0, 6.0), "b": np.zeros(1)}}


def cost(p):
    return ((networks.X @ p["w"] + p["b"]) ** 2).sum()


def gradients(p):
    r = networks.X @ p["w"] + p["b"]
    return {{"w": 2 * networks.X.T @ r, "b": 2 * r.sum(keepdims=True)}}
"""

IMPORTS = """\
import sys

import gradcheck

heavy = {"lab", "manual", "models", "networks", "torch", "matplotlib", "scipy", "optuna"} & set(sys.modules)
assert not heavy, heavy
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with gradcheck in it."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    def run(self, *command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs a command of the environment, which sees nothing of ours: not its folder, not its search path."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return run([self.folder / "bin" / command[0], *command[1:]], cwd=cwd, env=variables)

    def install(self, *arguments: str | Path) -> None:
        """Installs with the pip of the Python that runs this, so that the environment needs none."""
        done = run([sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", *arguments])
        assert done.returncode == 0, done.stderr

    @property
    def site_packages(self) -> Path:
        return next((self.folder / "lib").glob("python3*")) / "site-packages"


def run(command: list[str | Path], **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **settings)


def make_environment(folder: Path, interpreter: str = sys.executable) -> Environment:
    """A new virtual environment with nothing in it, not even pip."""
    done = run([interpreter, "-m", "venv", "--without-pip", folder])
    assert done.returncode == 0, done.stdout + done.stderr
    return Environment(folder)


def tracked_files() -> list[str]:
    """The paths of the files that git tracks and that are there, below the checkout's folder."""
    names = run(["git", "-C", ROOT, "ls-files", "-z"]).stdout.rstrip("\0").split("\0")
    return [name for name in names if (ROOT / name).is_file()]


def build_wheel(folder: Path, *options: str) -> Path:
    """Builds the wheel from the files that git tracks, without any other, and returns its path. `options` are pip's."""
    source = folder / "clone"
    for name in tracked_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    done = run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *options, "--wheel-dir", folder, source])
    assert done.returncode == 0, done.stderr
    return next(folder.glob("gradcheck-*.whl"))


def write_project(folder: Path) -> None:
    """A project with a test, with pairs of cost and gradient, and with modules that have the names of ours."""
    for name in THEIRS:
        path = folder / ("models/__init__.py" if name == "models" else f"{name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("THEIRS = True\n")
    (folder / "networks.py").write_text("import numpy as np\n\nTHEIRS = True\nX = np.arange(30.0).reshape(6, 5) % 7\n")
    (folder / "test_backward.py").write_text(TEST)
    (folder / "test_wrong.py").write_text(TEST.replace("2 * X.T", "X.T"))
    (folder / "mine.py").write_text(PAIR)
    bug = next(bug for bug in BUGS if bug.example == "custom_function" and bug.cause == "sign")
    (folder / "function_wrong.py").write_text(bug.source)
    for example in ("student_two_layer", "custom_function", "layer_norm"):
        shutil.copy(ROOT / f"examples/{example}.py", folder)


def expect(done: subprocess.CompletedProcess[str], code: int, *texts: str) -> None:
    """Raises AssertionError unless a command ended with this code and printed these texts."""
    output = done.stdout + done.stderr
    if done.returncode != code or not all(text in output for text in texts):
        raise AssertionError(f"exit code {done.returncode}, not {code}, or without {texts}:\n{output}")


def an_import_is_light(environment: Environment, project: Path) -> None:
    expect(environment.run("python", "-c", IMPORTS, cwd=project), 0)


def a_test_passes(environment: Environment, project: Path) -> None:
    expect(environment.run("python", "-m", "pytest", "-q", "test_backward.py", cwd=project), 0, "1 passed")


def a_test_names_its_bug(environment: Environment, project: Path) -> None:
    done = environment.run("python", "-m", "pytest", "-q", "test_wrong.py", cwd=project)
    expect(done, 1, "w: it is multiplied by 1/2", "1 failed")


def a_pair_is_verified(environment: Environment, project: Path) -> None:
    done = environment.run("gradcheck", "mine.py", "--html", "page.html", "--json", "result.json", cwd=project)
    expect(done, 0, "PASS: 6 of 6 entries verified")
    result = json.loads((project / "result.json").read_text())
    assert result["verdict"] == "pass", result
    assert "<html" in (project / "page.html").read_text()
    expect(environment.run("python", "-m", "gradcheck", "mine.py", cwd=project), 0, "PASS: 6 of 6 entries verified")


def layers_find_the_bug(environment: Environment, project: Path) -> None:
    done = environment.run("gradcheck", "student_two_layer.py", cwd=project)
    expect(done, 1, "130 of 622 entries verified", "fail: student_two_layer W1, 480 of 480 entries")


def tensors_are_verified(environment: Environment, project: Path) -> None:
    done = environment.run("gradcheck", "layer_norm.py", "custom_function.py", cwd=project)
    expect(done, 0, "autograd", "PASS")


def of_function_names_the_bug(environment: Environment, project: Path) -> None:
    expect(environment.run("gradcheck", "function_wrong.py", cwd=project), 1, "V: it is multiplied by -1")


TWO_LAYERS = (ROOT / "examples/student_two_layer.py").read_text()

# Pairs in NumPy that are checked with PyTorch and without: right ones, wrong ones, with layers, with a reference that imports
# PyTorch only where it is asked.
PAIRS_IN_NUMPY = {
    "right": PAIR,
    "half": PAIR.replace('"w": 2 *', '"w":'),
    "reference": PAIR
    + """

def reference(p):
    import torch

    r = torch.as_tensor(networks.X) @ p["w"] + p["b"]
    return (r**2).sum()
""",
    "layers_wrong": TWO_LAYERS,
    "layers_right": TWO_LAYERS.replace("G * (G > 0)", "G * (h > 0)"),
    "layers_of_another_cost": TWO_LAYERS.replace("G * (G > 0)", "G * (h > 0)").replace("return loss +", "return 1.0 + loss +"),
}


def verdicts(environment: Environment, project: Path) -> dict[str, list]:
    """The verdict on each of PAIRS_IN_NUMPY, on its forward values and on its tensors."""
    for name, source in PAIRS_IN_NUMPY.items():
        (project / f"{name}.py").write_text(source)
    files = [f"{name}.py" for name in PAIRS_IN_NUMPY]
    done = environment.run("gradcheck", *files, "--json", "-", cwd=project)
    return {
        network["name"]: [network["verdict"], *(row["verdict"] for row in network["tensors"])]
        for network in json.loads(done.stdout)["networks"]
    }


# What each environment has to do, and what one with PyTorch has to do as well.
CHECKS = (an_import_is_light, a_test_passes, a_test_names_its_bug, a_pair_is_verified, layers_find_the_bug)
TORCH_CHECKS = (tensors_are_verified, of_function_names_the_bug)
