"""A cost as an expression: written as a user would write it, in NumPy and in PyTorch, and walked by the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cost_operations import OPS
from benchmarks.cost_truth import Array, Dual


@dataclass(frozen=True, eq=False)
class Node:
    """A parameter, a constant, or the result of the operation `op` with its number `k`; `value` is what it is in float64."""

    name: str
    value: Array
    op: str | None = None
    args: tuple["Node", ...] = ()
    k: Any = None
    varies: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.value)


# What the sources call, in the words of a user.
HELPER_SOURCES = {
    "softmax": """\
def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
""",
    "logsumexp": """\
def logsumexp(x):
    highest = x.max(axis=-1, keepdims=True)
    return np.log(np.exp(x - highest).sum(axis=-1)) + highest[..., 0]
""",
    # The derivative by an array that was broadcast: summed over the axes that it has not.
    "fit": """\
def fit(g, shape):
    g = np.sum(g, axis=tuple(range(np.ndim(g) - len(shape))))
    return np.sum(g, axis=tuple(axis for axis, size in enumerate(shape) if size == 1), keepdims=True) if shape else g
""",
    # The derivative by an array of which some rows were taken.
    "scattered": """\
def scattered(g, rows, shape):
    found = np.zeros(shape, np.result_type(g))
    np.add.at(found, rows, g)
    return found
""",
}
HELPERS: dict[str, Any] = {"np": np}
exec("\n".join(HELPER_SOURCES.values()), HELPERS)

FORMS = ("numpy", "numpy, a reference", "numpy, gradient by autograd", "torch", "torch, a reference")


class Expression:
    """Nodes in the order of their evaluation, the last of which is the cost; it grows by `parameter`, `constant`, `apply`."""

    def __init__(self) -> None:
        self.parameters: dict[str, Array] = {}
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []

    def parameter(self, value: Any) -> Node:
        name = "wuv"[len(self.parameters)]
        self.parameters[name] = np.asarray(value, np.float64)
        return Node(name, self.parameters[name])

    def constant(self, value: Any) -> Node:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, np.float64)
        return Node(name, self.constants[name], varies=False)

    def apply(self, op: str, *args: Node, k: Any = None) -> Node:
        """The node of this operation, evaluated in NumPy."""
        text = OPS[op].numpy.format(a="a", b="b", k=k)
        value = eval(text, HELPERS | {name: arg.value for name, arg in zip("ab", args, strict=False)})
        node = Node(f"x{len(self.nodes)}", value, op, args, k, any(arg.varies for arg in args))
        self.nodes.append(node)
        return node

    @property
    def names(self) -> list[str]:
        return [*self.parameters]

    def __call__(self, duals: Mapping[str, Dual]) -> Dual:
        """The cost as a dual, from those of the parameters."""
        like = next(iter(duals.values()))
        found = dict(duals) | {name: like.constant(value) for name, value in self.constants.items()}
        for node in self.nodes:
            number = {} if node.k is None else {"k": node.k}
            found[node.name] = OPS[node.op or ""].truth(*(found[arg.name] for arg in node.args), **number)
        return found[self.nodes[-1].name]

    def forward_lines(self, library: str) -> list[str]:
        """A line for each parameter and each node, in the library "numpy" or "torch"."""
        lines = [f'{name} = p["{name}"]' for name in self.parameters]
        for node in self.nodes:
            text = getattr(OPS[node.op or ""], library)
            lines.append(f"{node.name} = {text.format(**symbols(node, library))}")
        return lines

    def backward_lines(self) -> list[str]:
        """The derivatives by the nodes, from the last to the first, and those by the parameters."""
        last, lines, begun = self.nodes[-1].name, [], set()
        lines.append(f"d{last} = 1.0")
        for node in reversed(self.nodes):
            if node.name != last and node.name not in begun:
                continue
            for arg, text in zip(node.args, OPS[node.op or ""].backward, strict=True):
                if arg.varies:
                    term = text.format(**symbols(node), o=node.name, g=f"d{node.name}")
                    term = term if arg.shape == node.shape or not is_broadcast(node) else f"fit({term}, {arg.name}.shape)"
                    lines.append(f"d{arg.name} = d{arg.name} + {term}" if arg.name in begun else f"d{arg.name} = {term}")
                    begun.add(arg.name)
        return [*lines, *(f"d{name} = np.zeros({name}.shape)" for name in self.parameters if name not in begun)]

    def in_numpy(self) -> str:
        return function("cost", [*self.forward_lines("numpy"), f"return {self.nodes[-1].name}"])

    def in_torch(self, name: str) -> str:
        return function(name, [*self.forward_lines("torch"), f"return {self.nodes[-1].name}"])

    def by_hand(self) -> str:
        """The gradients by a backward pass."""
        returned = ", ".join(f'"{name}": d{name}' for name in self.parameters)
        return function("gradients", [*self.forward_lines("numpy"), *self.backward_lines(), f"return {{{returned}}}"])

    def pair_source(self, form: str) -> str:
        """A pair file, in one of the FORMS."""
        parts = {
            "numpy": (self.in_numpy(), self.by_hand()),
            "numpy, a reference": (self.in_numpy(), self.by_hand(), self.in_torch("reference")),
            "numpy, gradient by autograd": (self.in_numpy(), self.in_torch("twin"), AUTOGRAD_OF_ARRAYS),
            "torch": (self.in_torch("cost"), AUTOGRAD_OF_TENSORS),
            "torch, a reference": (self.in_torch("cost"), AUTOGRAD_OF_TENSORS, "reference = cost\n"),
        }[form]
        text = "\n\n".join(parts)
        helpers = [source for name, source in HELPER_SOURCES.items() if f"{name}(" in text]
        numbers = self.numbers_source("torch" if form.startswith("torch") else "numpy")
        return "\n\n".join(["import numpy as np\nimport torch\n\n" + numbers, *helpers, text])

    def numbers_source(self, library: str) -> str:
        """The parameters in one of the libraries, and the constants in both."""
        make = {"numpy": "np.array({})", "torch": "torch.tensor({}, dtype=torch.float64)"}
        lines = [f'"{name}": {make[library].format(array.tolist())}' for name, array in self.parameters.items()]
        lines = ["parameters = {" + ", ".join(lines) + "}"]
        for name, array in self.constants.items():
            lines += [f"{name} = np.array({array.tolist()})", f"t{name} = torch.tensor({name})"]
        return "\n".join(lines) + "\n"


AUTOGRAD_OF_ARRAYS = """\
def gradients(p):
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in p.items()}
    found = torch.autograd.grad(twin(leaves), list(leaves.values()), materialize_grads=True)
    return {name: gradient.numpy() for name, gradient in zip(leaves, found)}
"""
AUTOGRAD_OF_TENSORS = """\
def gradients(p):
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in p.items()}
    found = torch.autograd.grad(cost(leaves), list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, found))
"""


def symbols(node: Node, library: str = "numpy") -> dict[str, Any]:
    """What {a}, {b} and {k} stand for in the texts of a node's operation; the tensor of the constant c0 is tc0."""
    names = [("t" if library == "torch" and is_constant(arg) else "") + arg.name for arg in node.args]
    return {"a": names[0], "b": names[-1], "k": node.k}


def is_constant(node: Node) -> bool:
    return node.op is None and not node.varies


def is_broadcast(node: Node) -> bool:
    """Whether an operation works entry by entry on two arguments, the smaller of which is broadcast."""
    return node.op in ("add", "subtract", "multiply", "maximum")


def function(name: str, lines: list[str]) -> str:
    return "\n    ".join([f"def {name}(p):", *lines]) + "\n"
