"""A command that only shows its help imports no library that works."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMANDS = ["compare.py", "train.py", "search.py", "reproduce.py", "figures.py", "gradcheck/__main__.py"]
HEAVY = {"torch", "torchvision", "matplotlib", "optuna", "sqlalchemy", "scipy", "PIL", "rich", "safetensors", "selenium"}

# Runs the command and then says on stderr what it has imported.
SCRIPT = """\
import runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_little(command):
    script = f"import sys; sys.argv = [{command!r}, '--help']\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
    assert HEAVY & set(done.stderr.split()) == set()
