"""The check of anyone's pair, as a function, as an assertion for tests, and from a file."""

import inspect
import os
import runpy
import sys
from pathlib import Path

from errors import UserError
from gradcheck.blackbox import BUDGET, PairSubject
from gradcheck.check import ORACLES, examine, nothing
from gradcheck.faults import raised
from gradcheck.layered import LayeredSubject
from gradcheck.pair import Calls, Pair
from gradcheck.words import failures


def check(
    parameters,
    cost,
    gradients,
    reference=None,
    layers=None,
    *,
    name="pair",
    oracles=ORACLES,
    seed=0,
    budget=BUDGET,
    advance=nothing,
    pictures=False,
):
    """Checks `gradients(parameters)`, the claimed gradient of `cost(parameters)`; see `Pair` for these five.

    `seed` draws samples and directions; `budget` are the seconds that the oracles may take before entries are sampled.
    Returns a CheckResult, whose `verdict` is "pass", "fail" or "undecided". Raises UserError where the pair can't be checked.
    """
    calls = Calls(Pair(parameters, cost, gradients, reference, layers))
    subject = PairSubject(name, calls, seed, budget) if layers is None else LayeredSubject(name, calls, seed)
    return examine(subject, oracles, advance, seed, pictures)


def assert_gradients_match(parameters, cost, gradients, reference=None, layers=None, *, seed=0, budget=BUDGET):
    """Raises AssertionError unless `check` of the same arguments passes; returns its CheckResult.

    The message has each wrong tensor with an entry, both values, the oracle, the likely bug, and a line that runs it again.
    """
    __tracebackhide__ = True
    result = check(parameters, cost, gradients, reference, layers, seed=seed, budget=budget)
    if result.verdict != "pass":
        again = run_again(inspect.stack()[1], seed)
        raise AssertionError("\n".join(["the gradient is " + wrong(result), *failures(result.as_json()), again]))
    return result


def wrong(result):
    return "wrong" if result.verdict == "fail" else "not verified"


def run_again(caller, seed):
    """The line that runs the assertion again, from the test that it stands in or the file that called it."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    command = f"python -m pytest '{test}'" if test else f"python {caller.filename}"
    return (
        f"run it again: {command}  (seed={seed} of assert_gradients_match, {Path(caller.filename).name} line {caller.lineno})"
    )


def load_pair(path):
    """The Pair that a file defines. The file is run, with the rights of whoever asks for it.

    Raises UserError where it is missing, raises itself, or lacks a name.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is not a file; --pair takes a Python file with parameters, cost and gradients")
    sys.path.insert(0, str(path.parent))
    try:
        names = runpy.run_path(str(path), run_name=path.stem)
    except Exception as error:
        raise UserError(f"{path} can't be run: {raised(error)}") from error
    finally:
        sys.path.remove(str(path.parent))
    missing = [name for name in ("parameters", "cost", "gradients") if name not in names]
    if missing:
        raise UserError(f"{path} has no {' and no '.join(missing)}; a pair file defines parameters, cost and gradients")
    if not isinstance(names["parameters"], dict):
        raise UserError(f"{path}: parameters is a {type(names['parameters']).__name__}; it has to be a dict of arrays by name")
    for function in ("cost", "gradients", "reference"):
        if names.get(function) is not None and not callable(names[function]):
            raise UserError(f"{path}: {function} is a {type(names[function]).__name__}; it has to be a function of parameters")
    return Pair(**{name: names.get(name) for name in Pair._fields})
