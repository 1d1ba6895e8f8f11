"""The wheel, in environments of its own, outside the checkout: with PyTorch and without."""

import importlib.metadata
import shutil
import zipfile

import pytest
from packaging.requirements import Requirement

from benchmarks.installation import (
    CHECKS,
    ROOT,
    TORCH_CHECKS,
    build_wheel,
    make_environment,
    tracked_files,
    verdicts,
    write_project,
)

for module in ("pip", "hatchling"):
    pytest.importorskip(module, reason=f"building and installing the wheel needs {module}")


def with_dependencies(*names):
    """The names of these distributions and of all that they need."""
    found, waiting = set(), [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        found.add(requirement.name)
        for needed in map(Requirement, importlib.metadata.requires(requirement.name) or []):
            extras = ("", *requirement.extras)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting += [needed] if needed.name not in found else []
    return found


def link(environment, *names):
    """Gives an environment these distributions and what they need, as they are installed here: nothing is downloaded."""
    for name in with_dependencies(*names):
        distribution = importlib.metadata.distribution(name)
        for part in {file.parts[0] for file in distribution.files} - {".."}:
            place = environment.site_packages / part
            if not place.exists():
                place.symlink_to(distribution.locate_file(part))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the wheel is built from the files that git tracks, and this is no git checkout")
    return build_wheel(tmp_path_factory.mktemp("wheel"), "--no-index", "--no-build-isolation")


def installed(wheel, folder, *names):
    environment = make_environment(folder / "environment")
    link(environment, *names)
    environment.install("--no-index", "--no-deps", wheel)
    write_project(folder / "project")
    return environment, folder / "project"


@pytest.fixture(scope="module")
def with_torch(wheel, tmp_path_factory):
    return installed(wheel, tmp_path_factory.mktemp("with_torch"), "numpy", "rich", "pytest", "torch")


@pytest.fixture(scope="module")
def without_torch(wheel, tmp_path_factory):
    return installed(wheel, tmp_path_factory.mktemp("without_torch"), "numpy", "rich", "pytest")


@pytest.mark.parametrize("check", [*CHECKS, *TORCH_CHECKS], ids=lambda check: check.__name__)
def test_with_torch(with_torch, check):
    check(*with_torch)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_without_torch(without_torch, check):
    check(*without_torch)


def test_verdicts_are_the_same_with_torch_and_without(with_torch, without_torch):
    found = verdicts(*with_torch)
    assert {name: each[0] for name, each in found.items()} == {
        "right": "pass",
        "half": "fail",
        "reference": "pass",
        "layers_right": "pass",
        "layers_wrong": "fail",
        "layers_of_another_cost": "fail",
    }
    assert verdicts(*without_torch) == found


def test_without_torch_there_is_no_torch(without_torch):
    environment, project = without_torch
    done = environment.run("python", "-c", "import torch", cwd=project)
    assert "ModuleNotFoundError" in done.stderr


def test_the_wheel_holds_gradcheck_alone(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {name for name in tracked_files() if name.startswith("gradcheck/")}
    assert {"gradcheck/py.typed", "gradcheck/report/page.html", "gradcheck/report/schema.json"} <= held
