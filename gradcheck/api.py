"""What `import gradcheck` offers: the check of a pair, as a function and as an assertion for tests."""

import inspect
import math
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcheck.errors import OutOfTime, UserError
from gradcheck.examine import examine_subject
from gradcheck.report.sentences import asked_for, failures
from gradcheck.result import CheckResult
from gradcheck.subject import ORACLES, Advance, Subject, no_progress
from gradcheck.subjects.black_box import FIRST_SHARE, PairSubject
from gradcheck.subjects.first_calls import Examination, first_answers
from gradcheck.subjects.pair import Calls, Pair
from gradcheck.subjects.pair_checks import check_tolerance
from gradcheck.subjects.plan import BUDGET, Announce, Plan, no_announcement
from gradcheck.subjects.quick import Quick
from gradcheck.subjects.relu_network import LayeredSubject, Layers
from gradcheck.torch_if_there import torch_is_installed


def check(
    parameters: dict[str, Any],
    cost: Callable[[Any], Any],
    gradients: Callable[[Any], Any],
    reference: Callable[[Any], Any] | None = None,
    layers: Layers | None = None,
    *,
    tolerance: Mapping[str, float] | None = None,
    name: str = "pair",
    oracles: Sequence[str] = ORACLES,
    seed: int = 0,
    budget: float = BUDGET,
    quick: bool = False,
    advance: Advance = no_progress,
    announce: Announce = no_announcement,
    pictures: bool = False,
) -> CheckResult:
    """Checks `gradients(parameters)`, the claimed gradient of `cost(parameters)`, at every entry.

    Arrays and tensors that the functions keep and change, such as the parameters of a module, are put back afterwards.

    Args:
        parameters: arrays or tensors by name, float64 or float32, of any shape. They are not changed.
        cost: from a dict like `parameters` to a single number. It also gets float64 and, where it takes them, complex arrays.
        gradients: from a dict like `parameters` to a dict of the same names and shapes: what is claimed.
        reference: the same cost in PyTorch, from a dict of float64 tensors to a scalar tensor; gives autograd's opinion.
        layers: the structure of the cost, where it is that of a ReLU network; turns on the fast path and the full diagnosis.
        tolerance: by how much a tensor may be off beyond rounding, as a share of its largest derivative, by name: {"x": 1e-6}
            where a solver knows x no better. The result says so everywhere; without it nothing is ever loosened. None is needed
            for a kink, such as a ReLU of exactly 0: all that lies between the derivatives from both sides is right there.
        name: what the result is called.
        oracles: which derivations to ask, some of `ORACLES`.
        seed: draws samples and random directions.
        budget: seconds for the whole check. What does not fit is left out, and said: entries are sampled; where not even that
            fits, the check is a quick one. With `layers` every entry is looked at.
        quick: compares the claim along two random directions over all entries of all tensors together, by 10 calls of cost.
        advance: called with the number of entries that one oracle has done since the last call.
        announce: called with a sentence on what one call took and what the check will do, if that takes long.
        pictures: fills those of the result, for the page.

    Returns:
        A CheckResult, whose `verdict` is "pass", "fail" or "undecided".

    Raises:
        UserError: the pair can't be checked: a parameter is empty or not finite, the cost is no number, ...

    Example:
        >>> import numpy as np
        >>> X, t = np.eye(3), np.array([1.0, 2.0, 3.0])
        >>> def cost(p):
        ...     return ((X @ p["w"] - t) ** 2).mean()
        >>> def gradients(p):
        ...     return {"w": X.T @ (X @ p["w"] - t) / 3}
        >>> result = check({"w": np.array([0.5, -1.0, 2.0])}, cost, gradients)
        >>> result.verdict
        'fail'
        >>> result.tensors[0]["diagnosis"].split(" (")[0]
        'w: it is multiplied by 1/2'
    """
    return check_pair(
        Pair(parameters, cost, gradients, reference, layers),
        tolerance=tolerance,
        name=name,
        oracles=oracles,
        seed=seed,
        budget=budget,
        quick=quick,
        advance=advance,
        announce=announce,
        pictures=pictures,
    )


def check_pair(
    pair: Pair,
    *,
    tolerance: Mapping[str, float] | None = None,
    name: str = "pair",
    oracles: Sequence[str] = ORACLES,
    seed: int = 0,
    budget: float = BUDGET,
    quick: bool = False,
    advance: Advance = no_progress,
    announce: Announce = no_announcement,
    pictures: bool = False,
) -> CheckResult:
    """As `check`, of a Pair, as `load_pair` and `of_function` make them.

    Example:
        >>> import numpy as np
        >>> pair = Pair({"w": np.ones(3)}, lambda p: (p["w"] ** 3).sum(), lambda p: {"w": 3 * p["w"] ** 2})
        >>> check_pair(pair, name="cubes").verdict
        'pass'
    """
    if not isinstance(oracles, list | tuple) or not set(oracles) <= set(ORACLES):
        raise UserError(f"oracles is {oracles!r}; it has to be a list of some of {', '.join(ORACLES)}")
    if not hasattr(seed, "__index__") or seed < 0:
        raise UserError(f"seed is {seed!r}; it has to be an integer from 0")
    if not isinstance(budget, int | float) or not budget > 0:
        raise UserError(f"budget is {budget!r}; it has to be a number of seconds over 0")
    calls = Calls(pair)
    asked = {} if tolerance is None else tolerance
    check_tolerance(asked, list(pair.parameters))
    with calls.arrays_put_back():
        beginning = Examination(calls)
        beginning.begin()
        plan = plan_of(calls, budget, quick)
        if plan.takes_long:
            announce(plan.sentence())
        if not quick and (pair.layers is not None or not plan.quick):
            try:
                if pair.layers is None:
                    calls.deadline = calls.started + FIRST_SHARE * budget
                calls.first = beginning.after_further_calls()
                return examine_subject(subject_of(name, calls, seed, budget), oracles, advance, seed, pictures, asked)
            except OutOfTime:
                calls.deadline = math.inf
        return Quick(calls, plan_of(calls, budget, quick), beginning.shown(), seed, asked).check(name, calls.started + budget)


def plan_of(calls: Calls, budget: float, quick: bool) -> Plan:
    """What is done in what is left of the budget."""
    cost, gradients = (calls.seconds_of(function) for function in (calls.pair.cost, calls.pair.gradients))
    left = calls.started + budget - time.perf_counter()
    return Plan(cost, gradients, tuple(array.size for array in calls.parameters.values()), left, quick)


def subject_of(name: str, calls: Calls, seed: int, budget: float) -> Subject:
    """The pair with its layers, or as a black box where it has none, or where they are not those of its cost."""
    if calls.pair.layers is None:
        return PairSubject(name, calls, seed, budget)
    layered = LayeredSubject(name, calls, seed)
    if layered.mismatch is None:
        return layered
    first = first_answers(calls)
    calls.first = first._replace(faults=[*first.faults, layered.mismatch])
    return PairSubject(name, calls, seed, budget)


def of_function(function: Any, inputs: dict[str, Any], seed: int = 0) -> Pair:
    """The Pair of a `torch.autograd.Function`: its backward is claimed to be the gradient of its own forward.

    The cost is the sum of the outputs times random numbers. The reference is autograd through `forward` itself, called with a
    stand-in for `ctx`; where autograd cannot see through it (a kernel, NumPy inside), there is none. A backward that returns
    None says 0.

    Args:
        function: the class, a subclass of `torch.autograd.Function`.
        inputs: its arguments by name, in their order: tensors on any device, and whatever else it takes. The parameters are the
            floating tensors that require a gradient, or all floating tensors if none does.
        seed: draws the random numbers.

    Returns:
        A Pair: `check(*of_function(...))` checks it.

    Raises:
        UserError: `function` is no such class, `inputs` is not a dict, there is no parameter, no output can be differentiated,
            the forward raises, or PyTorch is not installed.

    Example:
        >>> import torch
        >>> class Square(torch.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x * x
        ...
        ...     @staticmethod
        ...     def backward(ctx, dout):
        ...         (x,) = ctx.saved_tensors
        ...         return 2 * x * dout
        >>> check(*of_function(Square, {"x": torch.linspace(1, 2, 5, dtype=torch.float64)})).verdict
        'pass'
    """
    if not torch_is_installed():
        raise UserError("of_function needs PyTorch, which is not installed: install gradcheck with its extra torch")
    from gradcheck.subjects.function import pair_of_function

    return pair_of_function(function, inputs, seed)


def assert_gradients_match(
    parameters: dict[str, Any],
    cost: Callable[[Any], Any],
    gradients: Callable[[Any], Any],
    reference: Callable[[Any], Any] | None = None,
    layers: Layers | None = None,
    *,
    tolerance: Mapping[str, float] | None = None,
    seed: int = 0,
    budget: float = BUDGET,
) -> CheckResult:
    """`check` as an assertion, for tests.

    Args:
        parameters, cost, gradients, reference, layers, tolerance, seed, budget: those of `check`.

    Returns:
        The CheckResult, which passes.

    Raises:
        AssertionError: the gradient is wrong, or could not be verified. The message has each wrong tensor with an entry, both
            values, the oracle, the likely bug, and a line that runs it again.
        UserError: the pair can't be checked.

    Example:
        >>> import numpy as np
        >>> result = assert_gradients_match({"w": np.ones(3)}, lambda p: (p["w"] ** 2).sum(), lambda p: {"w": 2 * p["w"]})
        >>> result.verdict
        'pass'
    """
    __tracebackhide__ = True
    result = check(parameters, cost, gradients, reference, layers, tolerance=tolerance, seed=seed, budget=budget)
    if result.verdict != "pass":
        again = run_again(inspect.stack()[1], seed)
        raise AssertionError("\n".join(["the gradient is " + wrong(result), *failures(result.as_json()), again]))
    return result


def wrong(result: CheckResult) -> str:
    return ("wrong" if result.verdict == "fail" else "not verified") + asked_for(result.tensors)


def run_again(caller: inspect.FrameInfo, seed: int) -> str:
    """A line for a shell that runs the assertion again, from the test that it stands in or the file that called it."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    command = ["-m", "pytest", test] if test else [caller.filename]
    return f"run it again: {shlex.join(['python', *command])}  # {Path(caller.filename).name} line {caller.lineno}, seed={seed}"
