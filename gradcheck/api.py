"""The check of anyone's pair, as a function, as an assertion for tests, and from a file."""

import inspect
import os
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradcheck.errors import UserError
from gradcheck.examine import examine_subject
from gradcheck.faults import raised
from gradcheck.guard import watch
from gradcheck.report.sentences import failures
from gradcheck.result import CheckResult
from gradcheck.subject import ORACLES, Advance, no_progress
from gradcheck.subjects.black_box import BUDGET, PairSubject
from gradcheck.subjects.pair import Calls, Pair
from gradcheck.subjects.relu_network import LayeredSubject, Layers


def check(
    parameters: dict[str, Any],
    cost: Callable[[Any], Any],
    gradients: Callable[[Any], Any],
    reference: Callable[[Any], Any] | None = None,
    layers: Layers | None = None,
    *,
    name: str = "pair",
    oracles: Sequence[str] = ORACLES,
    seed: int = 0,
    budget: float = BUDGET,
    advance: Advance = no_progress,
    pictures: bool = False,
) -> CheckResult:
    """Checks `gradients(parameters)`, the claimed gradient of `cost(parameters)`; see `Pair` for these five.

    `seed` draws samples and directions; `budget` are the seconds that the oracles may take before entries are sampled.
    Returns a CheckResult, whose `verdict` is "pass", "fail" or "undecided". Raises UserError where the pair can't be checked.
    """
    pair = Pair(parameters, cost, gradients, reference, layers)
    return check_pair(pair, name=name, oracles=oracles, seed=seed, budget=budget, advance=advance, pictures=pictures)


def check_pair(
    pair: Pair,
    *,
    name: str = "pair",
    oracles: Sequence[str] = ORACLES,
    seed: int = 0,
    budget: float = BUDGET,
    advance: Advance = no_progress,
    pictures: bool = False,
) -> CheckResult:
    """As `check`, of a Pair."""
    unknown = [oracles] if isinstance(oracles, str) else [oracle for oracle in oracles if oracle not in ORACLES]
    if unknown:
        raise UserError(f"oracles has {unknown[0]!r}; it has to be a list of {', '.join(ORACLES)}")
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed is {seed!r}; it has to be an integer from 0")
    calls = Calls(pair)
    with watch(calls.guarded, calls.restore) as changed:
        subject = PairSubject(name, calls, seed, budget) if pair.layers is None else LayeredSubject(name, calls, seed)
        result = examine_subject(subject, oracles, advance, seed, pictures)
    return result.with_changed(changed)


def of_function(function: Any, inputs: dict[str, Any], seed: int = 0) -> Pair:
    """The Pair of a `torch.autograd.Function`, its backward against its own forward.

    `inputs` is a dict of its arguments in their order, tensors on any device and whatever else it takes. The parameters are
    the floating tensors that require a gradient, or all floating tensors if none does. The cost is the sum of the outputs times
    random numbers, drawn with `seed`. The reference is autograd through `forward` itself, called with a stand-in for `ctx`;
    where autograd cannot see through it (a kernel, NumPy inside), there is none. A backward that returns None says 0. Raises
    UserError where there is no parameter, where no output can be differentiated, or where the forward raises.
    """
    from gradcheck.subjects.function import pair_of_function

    return pair_of_function(function, inputs, seed)


def assert_gradients_match(
    parameters: dict[str, Any],
    cost: Callable[[Any], Any],
    gradients: Callable[[Any], Any],
    reference: Callable[[Any], Any] | None = None,
    layers: Layers | None = None,
    *,
    seed: int = 0,
    budget: float = BUDGET,
) -> CheckResult:
    """Raises AssertionError unless `check` of the same arguments passes; returns its CheckResult.

    The message has each wrong tensor with an entry, both values, the oracle, the likely bug, and a line that runs it again.
    """
    __tracebackhide__ = True
    result = check(parameters, cost, gradients, reference, layers, seed=seed, budget=budget)
    if result.verdict != "pass":
        again = run_again(inspect.stack()[1], seed)
        raise AssertionError("\n".join(["the gradient is " + wrong(result), *failures(result.as_json()), again]))
    return result


def wrong(result: CheckResult) -> str:
    return "wrong" if result.verdict == "fail" else "not verified"


def run_again(caller: inspect.FrameInfo, seed: int) -> str:
    """A line for a shell that runs the assertion again, from the test that it stands in or the file that called it."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    command = ["-m", "pytest", test] if test else [caller.filename]
    return f"run it again: {shlex.join(['python', *command])}  # {Path(caller.filename).name} line {caller.lineno}, seed={seed}"


def load_pair(path: str | Path) -> Pair:
    """The Pair that a file defines. The file is run, with the rights of whoever asks for it.

    Raises UserError where it is missing, raises itself, or lacks a name.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is not a file; --pair takes a Python file with parameters, cost and gradients")
    try:
        with imports_from(path.parent.resolve()):
            names = runpy.run_path(str(path), run_name=path.stem)
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} can't be run: {raised(error)}") from error
    missing = [name for name in ("parameters", "cost", "gradients") if name not in names]
    if missing:
        raise UserError(f"{path} has no {' and no '.join(missing)}; a pair file defines parameters, cost and gradients")
    found: dict[str, Any] = {name: names.get(name) for name in Pair._fields}
    return Pair(**found)


@contextmanager
def imports_from(folder: Path) -> Iterator[None]:
    """Inside, `import` finds the modules of `folder` first, also one whose name a module of ours, or of another pair, has."""
    own = {path.stem for path in (*folder.glob("*.py"), *(init.parent for init in folder.glob("*/__init__.py")))}
    hidden = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in own and folder not in Path(getattr(module, "__file__", None) or "/").parents
    }
    for name in hidden:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.update(hidden)
