"""Mutants of a source text: each operator at each place where it applies, one change at a time.

An operator gets a node of the syntax tree and the `Scope` that it stands in, and yields pairs of a node and what takes its
place. Annotations, docstrings and imports are left alone: nothing runs in them that could go wrong silently.
"""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Change = tuple[ast.AST, ast.AST]

OTHER_ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,),
}
OTHER_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
# What may be written in the place of a function, a method or an attribute of this name.
OTHER_NAMES = {
    "add": ("subtract", "multiply"),
    "subtract": ("add",),
    "multiply": ("divide", "add"),
    "divide": ("multiply",),
    "maximum": ("minimum",),
    "minimum": ("maximum",),
    "greater": ("greater_equal", "less"),
    "sum": ("mean", "max"),
    "mean": ("sum", "max"),
    "max": ("min", "mean"),
    "min": ("max",),
    "argmax": ("argmin",),
    "exp": ("expm1",),
    "log": ("log1p",),
    "log1p": ("log", "expm1"),
    "sqrt": ("square", "cbrt"),
    "empty": ("zeros", "ones"),
    "float64": ("float32",),
    "eps": ("momentum",),
    "momentum": ("eps",),
    "depth": ("outputs",),
    "parameters": ("statistics",),
    "statistics": ("parameters",),
    "parameter_shapes": ("statistic_shapes",),
    "statistic_shapes": ("parameter_shapes",),
    "array": ("asarray",),
}


# First line, first column, last line and the column behind the last; columns count bytes.
Span = tuple[int, int, int, int]


class Mutant(NamedTuple):
    """`source` is the whole text of `file` with one change in it, made by `operator` at `span`; `id` is file:line:number."""

    id: str
    file: str
    operator: str
    span: Span
    source: str


class Scope(NamedTuple):
    """What an operator may know of where a node stands: its parent, the variables of its function, the file's array names.

    `prefixes` are those of f"S{layer}", f"gamma{layer}" and the like.
    """

    parent: ast.AST
    variables: list[str]
    prefixes: list[str]


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Every mutant of the source `text`, whose file has this name; no two are the same, and none is the original."""
    seen, found, on_line = set[str](), [], Counter[int]()
    for node, scope in places(ast.parse(text)):
        for operator in OPERATORS:
            for old, new in operator(node, scope):
                source = replaced(text, old, new)
                if source in seen or ast.unparse(old) == ast.unparse(new):
                    continue
                seen.add(source)
                line, *_ = span = span_of(old)
                on_line[line] += 1
                found.append(Mutant(f"{file}:{line}:{on_line[line]}", file, operator.__name__, span, source))
    return found


def places(tree: ast.Module) -> Iterator[tuple[ast.AST, Scope]]:
    """The nodes that operators look at, each with its scope."""
    prefixes = sorted({prefix for node in ast.walk(tree) if (prefix := array_prefix(node))})

    def visit(node: ast.AST, parent: ast.AST, variables: list[str]) -> Iterator[tuple[ast.AST, Scope]]:
        if isinstance(node, ast.Import | ast.ImportFrom) or is_docstring(node) or is_type_alias(node, parent):
            return
        if isinstance(node, ast.FunctionDef):
            arguments = [argument.arg for argument in node.args.args if argument.arg != "self"]
            assigned = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)]
            variables = sorted({*arguments, *assigned} - {"_"})
        yield node, Scope(parent, variables, prefixes)
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child, node, variables)

    for statement in tree.body:
        yield from visit(statement, tree, [])


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_type_alias(node: ast.AST, parent: ast.AST) -> bool:
    return isinstance(parent, ast.Module) and isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.List)


def array_prefix(node: ast.AST) -> str | None:
    """The "S" of f"S{layer}"; None where the node is no such string."""
    if isinstance(node, ast.JoinedStr) and len(node.values) == 2 and isinstance(node.values[0], ast.Constant):
        return str(node.values[0].value)
    return None


def span_of(node: ast.AST) -> Span:
    at: Any = node
    return at.lineno, at.col_offset, at.end_lineno, at.end_col_offset


def replaced(text: str, old: ast.AST, new: ast.AST) -> str:
    """The source text with the node `new` in the place of `old`."""
    lines = text.encode().splitlines(keepends=True)
    first, column, last, end = span_of(old)
    written = ast.unparse(new)
    if isinstance(new, ast.BinOp | ast.BoolOp | ast.UnaryOp | ast.Compare | ast.IfExp):
        written = f"({written})"
    if isinstance(new, ast.Tuple) and written.startswith("(") and any(isinstance(each, ast.Slice) for each in new.elts):
        written = written[1:-1]
    before, after = b"".join(lines[: first - 1]) + lines[first - 1][:column], lines[last - 1][end:] + b"".join(lines[last:])
    return (before + written.encode() + after).decode()


def changed(node: Any, **fields: Any) -> Any:
    """A copy of the node with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def swapped(elements: list[Any]) -> Iterator[list[Any]]:
    """The list with each two neighbours exchanged."""
    for k in range(len(elements) - 1):
        yield [*elements[:k], elements[k + 1], elements[k], *elements[k + 2 :]]


def arithmetic(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """Another operation, one operand alone, or both exchanged."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        for other in OTHER_ARITHMETIC.get(type(node.op), ()):
            yield node, changed(node, op=other())
    if isinstance(node, ast.BinOp):
        yield node, node.left
        yield node, node.right
        if not isinstance(node.op, ast.Add | ast.Mult):
            yield node, changed(node, left=node.right, right=node.left)
    if isinstance(node, ast.AugAssign):
        yield node, ast.Assign([node.target], node.value, lineno=node.lineno)


def comparison(node: ast.AST, scope: Scope) -> Iterator[Change]:
    if isinstance(node, ast.Compare):
        for other in OTHER_COMPARISONS[type(node.ops[0])]:
            yield node, changed(node, ops=[other(), *node.ops[1:]])


def sign(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """A minus or a `not` taken away; a minus before an operand and before what is assigned or returned."""
    if isinstance(node, ast.UnaryOp):
        yield node, node.operand
    elif isinstance(node, ast.BinOp):
        yield node.right, ast.UnaryOp(ast.USub(), node.right)
    elif isinstance(node, ast.Assign | ast.Return) and isinstance(node.value, ast.Call | ast.BinOp | ast.Name):
        yield node.value, ast.UnaryOp(ast.USub(), node.value)


def constant(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """The next number up and down, the other truth value, another string."""
    if not isinstance(node, ast.Constant) or isinstance(scope.parent, ast.JoinedStr):
        return
    value = node.value
    if isinstance(value, bool):
        yield node, ast.Constant(not value)
    elif isinstance(value, int | float):
        yield node, ast.Constant(value + 1)
        yield node, ast.Constant(value - 1)
    elif isinstance(value, str):
        yield node, ast.Constant(f"{value}_")


def array_name(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """f"S{layer}" becomes two other names of arrays in the file, and that of the next layer: what `out=` writes into, too."""
    prefix = array_prefix(node)
    if prefix is None or not isinstance(node, ast.JoinedStr):
        return
    at = scope.prefixes.index(prefix)
    for step in (1, 2):
        other = scope.prefixes[(at + step) % len(scope.prefixes)]
        yield node, ast.JoinedStr([ast.Constant(other), node.values[1]])
    layer = node.values[1]
    if isinstance(layer, ast.FormattedValue):
        following = changed(layer, value=ast.BinOp(layer.value, ast.Add(), ast.Constant(1)))
        yield node, ast.JoinedStr([ast.Constant(prefix), following])


def arguments(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """Two arguments exchanged, the last or a keyword left out, or the argument itself in the place of the call."""
    if not isinstance(node, ast.Call):
        return
    for others in swapped(node.args):
        yield node, changed(node, args=others)
    if len(node.args) > 1:
        yield node, changed(node, args=node.args[:-1])
    if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
        yield node, node.args[0]
    if isinstance(node.func, ast.Attribute):
        yield node, node.func.value
    for k in range(len(node.keywords)):
        yield node, changed(node, keywords=[*node.keywords[:k], *node.keywords[k + 1 :]])


def function(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """Another function, method or attribute; or what has the attribute."""
    if isinstance(node, ast.Attribute):
        for other in OTHER_NAMES.get(node.attr, ()):
            yield node, changed(node, attr=other)
        if node.attr == "real":
            yield node, node.value


def variable(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """The next variable of the function, by name."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in scope.variables:
        at = scope.variables.index(node.id)
        yield node, changed(node, id=scope.variables[(at + 1) % len(scope.variables)])


def statement(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """A statement left out."""
    if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.ClassDef) and scope.variables:
        yield node, ast.Pass()


def elements(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """Neighbours in a tuple exchanged: what is returned, what it is taken apart into, the axes of an index."""
    if isinstance(node, ast.Tuple):
        for others in swapped(node.elts):
            yield node, changed(node, elts=others)


def slices(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """A slice that starts or ends one later, or that lacks an end or its step; all of it in the place of a full one."""
    if not isinstance(node, ast.Slice):
        return
    for field in ("lower", "upper", "step"):
        if getattr(node, field) is not None:
            yield node, changed(node, **{field: None})
    if node.step is None:
        later = ast.Constant(1) if node.lower is None else ast.BinOp(node.lower, ast.Add(), ast.Constant(1))
        yield node, changed(node, lower=later)
        yield node, changed(node, step=ast.Constant(-1))
        if node.upper is None:
            yield node, changed(node, upper=ast.UnaryOp(ast.USub(), ast.Constant(1)))


def condition(node: ast.AST, scope: Scope) -> Iterator[Change]:
    """A condition that always or never holds, or its opposite; `or` for `and`, and one side alone."""
    if isinstance(node, ast.If | ast.IfExp):
        for new in (ast.Constant(True), ast.Constant(False), ast.UnaryOp(ast.Not(), node.test)):
            yield node.test, new
    if isinstance(node, ast.BoolOp):
        yield node, changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for value in node.values:
            yield node, value


Operator = Callable[[ast.AST, Scope], Iterator[Change]]

OPERATORS: tuple[Operator, ...] = (
    arithmetic,
    comparison,
    sign,
    constant,
    array_name,
    arguments,
    function,
    variable,
    statement,
    elements,
    slices,
    condition,
)
