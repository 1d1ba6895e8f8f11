"""The operations that random costs are made of: each in NumPy, in PyTorch, backwards by hand, and as a rule for the truth."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cost_truth import Array, Dual


class Op(NamedTuple):
    """`numpy` and `torch` are texts with {a} and {b} for the arguments; `backward` holds a text for each argument, with {g} for
    the derivative by the result {o}; `truth` works on duals. A number of the operation's own is {k}, of the truth `k`."""

    numpy: str
    torch: str
    backward: tuple[str, ...]
    truth: Callable[..., Dual]


def smooth(numpy: str, torch: str, backward: str, function: Callable[..., Any], slope: Callable[..., Any]) -> Op:
    """An elementwise Op of one argument."""
    return Op(numpy, torch, (backward,), lambda a, k=None: a.unary(function, slope))


def softmax_of(a: Dual) -> Dual:
    e = shifted(a).unary(lambda xp, x: xp.exp(x), lambda xp, x, out: out)
    return e * last_axis_back(e.sum(-1).reciprocal())


def log_of_sum_of_exp(a: Dual) -> Dual:
    e = shifted(a).unary(lambda xp, x: xp.exp(x), lambda xp, x, out: out)
    return e.sum(-1).unary(lambda xp, x: xp.log(x), lambda xp, x, out: 1 / x) + Dual(a.arithmetic, highest(a)[..., 0], None)


def shifted(a: Dual) -> Dual:
    """Minus the largest along the last axis, which changes no derivative: the largest counts as a constant."""
    return Dual(a.arithmetic, a.value - highest(a), a.tangents)


def highest(a: Dual) -> Array:
    return np.asarray(a.value.max(axis=-1, keepdims=True))


def mean_of(a: Dual) -> Dual:
    return a.sum() * a.constant(float(a.value.size)).reciprocal()


def column_mean_of(a: Dual) -> Dual:
    """The mean along the first of two axes, which stays with length 1."""
    columns = a.moved(lambda x: x.T).sum(-1) * a.constant(float(len(a.value))).reciprocal()
    return columns.moved(lambda x: x[None])


def last_axis_back(a: Dual) -> Dual:
    return a.moved(lambda x: np.expand_dims(x, -1))


def last_axis_first(a: Dual) -> Dual:
    return a.moved(lambda x: np.moveaxis(x, -1, 0))


def on_whole(x: Array) -> Array:
    return x % 1 == 0


BELOW = "np.expand_dims({g}, -1)"
OPS: dict[str, Op] = {
    "tanh": smooth(
        "np.tanh({a})", "torch.tanh({a})", "{g} * (1 - {o}**2)", lambda xp, x: xp.tanh(x), lambda xp, x, o: 1 - o**2
    ),
    "sigmoid": smooth(
        "1 / (1 + np.exp(-{a}))",
        "torch.sigmoid({a})",
        "{g} * {o} * (1 - {o})",
        lambda xp, x: 1 / (1 + xp.exp(-x)),
        lambda xp, x, o: o * (1 - o),
    ),
    "exp": smooth("np.exp({a})", "torch.exp({a})", "{g} * {o}", lambda xp, x: xp.exp(x), lambda xp, x, o: o),
    "log": smooth("np.log({a})", "torch.log({a})", "{g} / {a}", lambda xp, x: xp.log(x), lambda xp, x, o: 1 / x),
    "log1p": smooth(
        "np.log1p({a})", "torch.log1p({a})", "{g} / (1 + {a})", lambda xp, x: xp.log1p(x), lambda xp, x, o: 1 / (1 + x)
    ),
    "sqrt": smooth(
        "np.sqrt({a})", "torch.sqrt({a})", "{g} / (2 * {o})", lambda xp, x: xp.sqrt(x), lambda xp, x, o: 1 / (2 * o)
    ),
    "sin": smooth("np.sin({a})", "torch.sin({a})", "{g} * np.cos({a})", lambda xp, x: xp.sin(x), lambda xp, x, o: xp.cos(x)),
    "cos": smooth("np.cos({a})", "torch.cos({a})", "-{g} * np.sin({a})", lambda xp, x: xp.cos(x), lambda xp, x, o: -xp.sin(x)),
    "arctan": smooth(
        "np.arctan({a})", "torch.atan({a})", "{g} / (1 + {a}**2)", lambda xp, x: xp.atan(x), lambda xp, x, o: 1 / (1 + x * x)
    ),
    "square": smooth("{a}**2", "{a}**2", "{g} * 2 * {a}", lambda xp, x: x * x, lambda xp, x, o: 2 * x),
    "cube": smooth("{a}**3", "{a}**3", "{g} * 3 * {a}**2", lambda xp, x: x * x * x, lambda xp, x, o: 3 * x * x),
    "reciprocal": smooth("1 / {a}", "1 / {a}", "-{g} / {a}**2", lambda xp, x: 1 / x, lambda xp, x, o: -1 / (x * x)),
    "softplus": smooth(
        "np.log(1 + np.exp({a}))",
        "torch.log(1 + torch.exp({a}))",
        "{g} / (1 + np.exp(-{a}))",
        lambda xp, x: xp.log(1 + xp.exp(x)),
        lambda xp, x, o: 1 / (1 + xp.exp(-x)),
    ),
    "stable softplus": smooth(
        "np.logaddexp(0, {a})",
        "torch.logaddexp(torch.zeros_like({a}), {a})",
        "{g} / (1 + np.exp(-{a}))",
        lambda xp, x: xp.log1p(xp.exp(-abs(x))) + np.maximum(x, 0 * x),
        lambda xp, x, o: 1 / (1 + xp.exp(-x)),
    ),
    "relu": Op("np.maximum({a}, 0)", "torch.relu({a})", ("{g} * ({a} > 0)",), lambda a: a.largest(0.0)),
    "abs": Op("np.abs({a})", "{a}.abs()", ("{g} * np.sign({a})",), lambda a: a.largest(-a)),
    "leaky relu": Op(
        "np.where({a} > 0, {a}, 0.125 * {a})",
        "torch.nn.functional.leaky_relu({a}, 0.125)",
        ("{g} * np.where({a} > 0, 1.0, 0.125)",),
        lambda a: a.largest(a * 0.125),
    ),
    "clip": Op(
        "np.clip({a}, -1, {k})",
        "torch.clamp({a}, -1, {k})",
        ("{g} * (({a} > -1) & ({a} < {k}))",),
        lambda a, k: -(-a.largest(-1.0)).largest(-k),
    ),
    "closed clip": Op(
        "np.minimum(np.maximum({a}, 0), {k})",
        "torch.clamp({a}, 0, {k})",
        ("{g} * (({a} >= 0) & ({a} <= {k}))",),
        lambda a, k: -(-a.largest(0.0)).largest(-k),
    ),
    "maximum": Op(
        "np.maximum({a}, {b})",
        "torch.maximum({a}, {b})",
        ("{g} * ({a} > {b})", "{g} * ({a} <= {b})"),
        lambda a, b: a.largest(b),
    ),
    "max": Op(
        "{a}.max(axis=-1)",
        "{a}.amax(dim=-1)",
        (BELOW + " * ({a} == np.expand_dims({o}, -1))",),
        lambda a: last_axis_first(a).largest_of_first(),
    ),
    "first max": Op(
        "{a}.max(axis=-1)",
        "{a}.max(dim=-1).values",
        (BELOW + " * (np.arange({a}.shape[-1]) == {a}.argmax(axis=-1)[..., None])",),
        lambda a: last_axis_first(a).largest_of_first(),
    ),
    "norm": Op(
        "np.linalg.norm({a})", "torch.linalg.norm({a})", ("{g} * {a} / {o} if {o} > 0 else 0 * {a}",), lambda a: a.norm()
    ),
    "floor": Op(
        "np.floor({a})",
        "torch.floor({a})",
        ("0 * {g}",),
        lambda a: a.step(np.floor, on_whole),
    ),
    "round": Op("np.round({a})", "torch.round({a})", ("0 * {g}",), lambda a: a.step(np.round, lambda x: on_whole(x + 0.5))),
    "sign": Op(
        "np.sign({a})",
        "torch.sign({a})",
        ("0 * {g}",),
        lambda a: a.step(np.sign, lambda x: x == 0),
    ),
    "add": Op("{a} + {b}", "{a} + {b}", ("{g}", "{g}"), lambda a, b: a + b),
    "subtract": Op("{a} - {b}", "{a} - {b}", ("{g}", "-{g}"), lambda a, b: a - b),
    "multiply": Op("{a} * {b}", "{a} * {b}", ("{g} * {b}", "{g} * {a}"), lambda a, b: a * b),
    "scale": Op("{k} * {a}", "{k} * {a}", ("{k} * {g}",), lambda a, k: a * k),
    "shift": Op("{a} + {k}", "{a} + {k}", ("{g}",), lambda a, k: a + k),
    "from one": Op("1 - {a}", "1 - {a}", ("-{g}",), lambda a: 1.0 - a),
    "matmul": Op("{a} @ {b}", "{a} @ {b}", ("{g} @ {b}.T", "{a}.T @ {g}"), lambda a, b: a @ b),
    "matrix times vector": Op("{a} @ {b}", "{a} @ {b}", ("np.outer({g}, {b})", "{a}.T @ {g}"), lambda a, b: a @ b),
    "transpose": Op("{a}.T", "{a}.T", ("{g}.T",), lambda a: a.moved(lambda x: x.T)),
    "gather": Op("{a}[{k}]", "{a}[{k}]", ("scattered({g}, {k}, {a}.shape)",), lambda a, k: a.moved(lambda x: x[k])),
    "sum": Op("{a}.sum()", "{a}.sum()", ("{g} * np.ones({a}.shape)",), lambda a: a.sum()),
    "mean": Op("{a}.mean()", "{a}.mean()", ("{g} * np.ones({a}.shape) / {a}.size",), mean_of),
    "row sum": Op("{a}.sum(axis=-1)", "{a}.sum(dim=-1)", (BELOW + " * np.ones({a}.shape)",), lambda a: a.sum(-1)),
    "column mean": Op(
        "{a}.mean(axis=0, keepdims=True)",
        "{a}.mean(dim=0, keepdim=True)",
        ("{g} * np.ones({a}.shape) / len({a})",),
        column_mean_of,
    ),
    "softmax": Op(
        "softmax({a})",
        "torch.softmax({a}, dim=-1)",
        ("{o} * ({g} - ({g} * {o}).sum(axis=-1, keepdims=True))",),
        softmax_of,
    ),
    "log softmax": Op(
        "{a} - logsumexp({a})[..., None]",
        "torch.log_softmax({a}, dim=-1)",
        ("{g} - np.exp({o}) * {g}.sum(axis=-1, keepdims=True)",),
        lambda a: a - last_axis_back(log_of_sum_of_exp(a)),
    ),
    "logsumexp": Op(
        "logsumexp({a})",
        "torch.logsumexp({a}, dim=-1)",
        (BELOW + " * np.exp({a} - np.expand_dims({o}, -1))",),
        log_of_sum_of_exp,
    ),
    "bce with logits": Op(
        "np.maximum({a}, 0) - {a} * {b} + np.log1p(np.exp(-np.abs({a})))",
        "torch.nn.functional.binary_cross_entropy_with_logits({a}, {b}, reduction='none')",
        ("{g} * (1 / (1 + np.exp(-{a})) - {b})", ""),
        lambda a, b: OPS["stable softplus"].truth(a) - a * b,
    ),
}
