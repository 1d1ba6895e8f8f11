"""Random costs of every kind, each drawn from one seed."""

from collections.abc import Callable

import numpy as np

from benchmarks.cost_source import Expression, Node
from benchmarks.cost_truth import Array

Rng = np.random.Generator
# How many axes an operation takes, where not any number.
AXES = {"matrix": (1, 2), "centred": (2,), "transpose": (2,)}
AXES |= dict.fromkeys(("gather", "softmax", "log softmax", "logsumexp"), (1, 2, 3))
SHAPES = ((), (1,), (3,), (6,), (2, 3), (4, 1), (3, 4), (2, 2, 3), (3, 4, 2))


def choice(rng: Rng, options: list) -> object:
    return options[rng.integers(len(options))]


def uniform_exponent(rng: Rng, low: float, high: float, shape: tuple[int, ...] = ()) -> Array:
    """Numbers from 10**low to 10**high, of either sign."""
    return rng.choice([-1.0, 1.0], shape) * 10 ** rng.uniform(low, high, shape)


def normal(rng: Rng, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def whole(rng: Rng, shape: tuple[int, ...]) -> Array:
    return rng.integers(-3, 8, shape).astype(float)


def large_logits(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Logits of 30 to 700, some of them of an ordinary size."""
    large = rng.choice([-1.0, 1.0], shape) * np.exp(rng.uniform(np.log(30), np.log(700), shape))
    return np.where(rng.random(shape) < 0.7, large, 2 * rng.standard_normal(shape))


def badly_scaled(rng: Rng, shape: tuple[int, ...]) -> Array:
    """From 1e-12 to 1e12, all of one size or each of its own."""
    if rng.random() < 0.5:
        return uniform_exponent(rng, -12, 12, shape)
    return rng.standard_normal(shape) * abs(uniform_exponent(rng, -12, 12))


# --- stages: from a node to a node, of the same shape or a smaller one


def smooth_stage(cost: Expression, rng: Rng, x: Node) -> Node:
    ops = ["tanh", "sigmoid", "sin", "cos", "arctan", "square", "scale", "shift", "weights", "log of 1 + square", "root"]
    ops += ["matrix", "reciprocal of 1 + square", "gather", "softmax", "log softmax", "logsumexp", "centred", "transpose"]
    ops += ["exp", "softplus", "stable softplus", "cube"] if np.max(np.abs(x.value)) < 5 else []
    return apply_smooth(cost, rng, x, str(rng.choice(ops)))


def apply_smooth(cost: Expression, rng: Rng, x: Node, op: str) -> Node:
    if op in ("scale", "shift"):
        return cost.apply(op, x, k=round(float(rng.normal(0, 2)), 2) or 1.0)
    if op == "weights":
        return cost.apply("multiply", x, cost.constant(normal(rng, x.shape)))
    if op in ("log of 1 + square", "root", "reciprocal of 1 + square"):
        inside = cost.apply("shift", cost.apply("square", x), k=1.0)
        return cost.apply({"log of 1 + square": "log", "root": "sqrt"}.get(op, "reciprocal"), inside)
    if len(x.shape) not in AXES.get(op, (0, 1, 2, 3)):
        return cost.apply("sin", x)
    if op == "matrix":
        return mixed(cost, rng, x, normal)
    if op == "gather":
        return cost.apply("gather", x, k=rng.integers(0, len(x.value), 4).tolist())
    if op == "centred":
        return cost.apply("subtract", x, cost.apply("column mean", x))
    return cost.apply(op, x)


def mixed(cost: Expression, rng: Rng, x: Node, numbers: Callable[[Rng, tuple[int, ...]], Array]) -> Node:
    """A constant matrix times x, a vector or a matrix."""
    matrix = cost.constant(numbers(rng, (4, x.shape[0])))
    return cost.apply("matrix times vector" if len(x.shape) == 1 else "matmul", matrix, x)


def kinked_stage(cost: Expression, rng: Rng, x: Node) -> Node:
    op = str(
        rng.choice(["relu", "abs", "leaky relu", "clip", "closed clip", "hinge", "maximum", "max", "first max", "hard swish"])
    )
    if op in ("clip", "closed clip"):
        return cost.apply(op, x, k=float(rng.integers(1, 7)))
    if op == "hinge":
        signs = cost.constant(rng.choice([-1.0, 1.0], x.shape))
        return cost.apply("relu", cost.apply("from one", cost.apply("multiply", signs, x)))
    if op == "maximum":
        return cost.apply(op, x, cost.constant(np.round(normal(rng, x.shape))))
    if op == "hard swish":
        return cost.apply("multiply", x, cost.apply("closed clip", cost.apply("shift", x, k=3.0), k=6.0))
    if op in ("max", "first max") and not x.shape:
        return cost.apply("relu", x)
    return cost.apply(op, x)


def tied_stage(cost: Expression, rng: Rng, x: Node) -> Node:
    """Kinks of whole numbers, some of them after a matrix of whole numbers."""
    return kinked_stage(cost, rng, mixed(cost, rng, x, whole) if len(x.shape) in AXES["matrix"] and rng.random() < 0.4 else x)


def saturated_stage(cost: Expression, rng: Rng, x: Node) -> Node:
    ops = ["sigmoid", "tanh", "softplus", "stable softplus", "naive bce", "log of sigmoid", "log1p of exp", "bce with logits"]
    ops += ["softmax", "log softmax", "logsumexp", "log of softmax", "cross-entropy"] if x.shape else []
    op = str(rng.choice(ops))
    if op == "naive bce":
        small = cost.apply("scale", x, k=36 / max(36.0, float(np.max(np.abs(x.value)))))
        return cost.apply("log", cost.apply("from one", cost.apply("sigmoid", small)))
    if op == "log of sigmoid":
        return cost.apply("log", cost.apply("sigmoid", x))
    if op == "log1p of exp":
        return cost.apply("log1p", cost.apply("exp", x))
    if op == "bce with logits":
        return cost.apply(op, x, cost.constant(rng.integers(0, 2, x.shape).astype(float)))
    if op == "log of softmax":
        return cost.apply("log", cost.apply("softmax", x))
    if op == "cross-entropy":
        one_hot = np.zeros(x.shape)
        one_hot[..., rng.integers(x.shape[-1])] = -1.0
        return cost.apply("multiply", cost.apply("log softmax", x), cost.constant(one_hot))
    return cost.apply(op, x)


def scaled_stage(cost: Expression, rng: Rng, x: Node) -> Node:
    op = str(rng.choice(["square", "cube", "factors", "factor", "normalised", "matrix", "log of 1 + square"]))
    if op == "factors":
        return cost.apply("multiply", x, cost.constant(uniform_exponent(rng, -12, 12, x.shape)))
    if op == "factor":
        return cost.apply("scale", x, k=float(f"{uniform_exponent(rng, -12, 12):.3g}"))
    if op == "normalised":
        small = cost.apply("scale", x, k=float(f"{1 / np.max(np.abs(x.value), initial=1e-30):.3g}"))
        return cost.apply(str(rng.choice(["tanh", "sin", "sigmoid", "exp", "arctan"])), small)
    return apply_smooth(cost, rng, x, op)


def oscillating_stage(cost: Expression, rng: Rng, x: Node) -> Node:
    fast = cost.apply("scale", x, k=float(f"{10 ** rng.uniform(1, 6):.3g}"))
    return cost.apply(str(rng.choice(["sin", "cos"])), fast)


def flat_stage(cost: Expression, rng: Rng, x: Node) -> Node:
    return cost.apply(str(rng.choice(["floor", "round", "sign"])), cost.apply("scale", x, k=3.0))


# --- derivatives that are exactly 0


def dead_units(cost: Expression, rng: Rng) -> Node:
    w = cost.parameter(normal(rng, shape(rng)))
    return total(cost, rng, cost.apply("relu", cost.apply("shift", w, k=-1000.0)))


def unused(cost: Expression, rng: Rng) -> Node:
    cost.parameter(normal(rng, shape(rng)))
    return term(cost, rng, "smooth")


def perfect_fit(cost: Expression, rng: Rng) -> Node:
    w = cost.parameter(whole(rng, (3,)))
    fitted = mixed(cost, rng, w, whole)
    return total(cost, rng, cost.apply("square", cost.apply("subtract", fitted, cost.constant(fitted.value))))


def decay_at_zero(cost: Expression, rng: Rng) -> Node:
    w = cost.parameter(np.zeros(shape(rng)))
    return cost.apply("scale", cost.apply("sum", cost.apply("square", w)), k=float(f"{10 ** rng.uniform(-4, 1):.3g}"))


def norm_at_zero(cost: Expression, rng: Rng) -> Node:
    return cost.apply("norm", cost.parameter(np.zeros(shape(rng))))


def times_zero(cost: Expression, rng: Rng) -> Node:
    w = cost.parameter(normal(rng, shape(rng)))
    return total(cost, rng, cost.apply("multiply", w, cost.constant(rng.integers(0, 2, w.shape).astype(float))))


def sum_of_softmax(cost: Expression, rng: Rng) -> Node:
    return cost.apply("sum", cost.apply("softmax", cost.parameter(normal(rng, shape(rng) or (3,)))))


ZERO = [dead_units, unused, perfect_fit, decay_at_zero, norm_at_zero, times_zero, sum_of_softmax]


def zero_term(cost: Expression, rng: Rng) -> Node:
    recipe = ZERO[rng.integers(len(ZERO))]
    return recipe(cost, rng)


# --- terms and costs

STAGES = {
    "smooth": (normal, smooth_stage),
    "kinked": (normal, kinked_stage),
    "tied": (whole, tied_stage),
    "saturated": (large_logits, saturated_stage),
    "scaled": (badly_scaled, scaled_stage),
    "oscillating": (normal, oscillating_stage),
    "flat": (normal, flat_stage),
}
KINDS = (*STAGES, "zero")


def shape(rng: Rng) -> tuple[int, ...]:
    return SHAPES[rng.integers(len(SHAPES))]


def total(cost: Expression, rng: Rng, x: Node) -> Node:
    """A single number of x: its sum, mean, norm, a weighted sum, a sum of squares or a mean of rows."""
    if x.shape == ():
        return x
    way = str(rng.choice(["sum", "mean", "weighted", "squares", "norm", "row sums"]))
    if way == "weighted":
        return cost.apply("sum", cost.apply("multiply", x, cost.constant(normal(rng, x.shape))))
    if way == "squares":
        return cost.apply("mean", cost.apply("square", x))
    if way == "row sums":
        return cost.apply("mean", cost.apply("row sum", x))
    return cost.apply(way, x)


def term(cost: Expression, rng: Rng, kind: str, x: Node | None = None) -> Node:
    """A single number of a parameter, a new one where none is given, with what is special about this kind."""
    if kind == "zero":
        return zero_term(cost, rng)
    numbers, stage = STAGES[kind]
    if x is None:
        x = cost.parameter(numbers(rng, shape(rng)))
        if kind == "smooth" and len(cost.parameters) < 3 and rng.random() < 0.3:
            x = product(cost, rng, x)
    x = stage(cost, rng, x)
    for _ in range(rng.integers(0, 3)):
        again = kind in ("smooth", "kinked", "tied", "scaled") and rng.random() < 0.5
        x = (stage if again else smooth_stage)(cost, rng, x)
    return total(cost, rng, x)


def product(cost: Expression, rng: Rng, x: Node) -> Node:
    """x times another parameter: as matrices, as a row that is broadcast, or entry by entry."""
    if len(x.shape) == 2 and rng.random() < 0.6:
        return cost.apply("matmul", x, cost.parameter(normal(rng, (x.shape[1], 2))))
    row = cost.parameter(normal(rng, x.shape[-1:]))
    return cost.apply(str(rng.choice(["add", "multiply", "maximum"])) if x.shape else "multiply", x, row)


def draw_expression(rng: Rng) -> tuple[Expression, list[str]]:
    """A cost of one to three parameters, the sum or product of one or two terms, and its kinds."""
    cost = Expression()
    kinds = [str(rng.choice(KINDS))]
    x = term(cost, rng, kinds[0])
    # What may not move at all gets company that does.
    if kinds[0] in ("flat", "zero") or rng.random() < 0.3:
        kinds.append("smooth" if kinds[0] in ("flat", "zero") or rng.random() < 0.5 else str(rng.choice(KINDS[:-1])))
        if len(cost.parameters) < 3:
            x = cost.apply(str(rng.choice(["add", "add", "multiply"])), x, company(cost, rng, kinds[1]))
    return cost, list(dict.fromkeys(kinds))


def company(cost: Expression, rng: Rng, kind: str) -> Node:
    """A second term, of a parameter that is there or of another."""
    if rng.random() < 0.3:
        name = str(rng.choice(cost.names))
        return term(cost, rng, kind, Node(name, cost.parameters[name]))
    return term(cost, rng, kind)
