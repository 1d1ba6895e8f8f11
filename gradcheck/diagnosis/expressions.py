"""The text of an operation in the user's file, and of its operands."""

import ast
import linecache
from types import CodeType, ModuleType
from typing import Any


def expression(code: CodeType, instruction: int) -> str:
    """The text that the instruction was made from, on one line; empty where the source is not at hand."""
    first, last, begin, end = [*code.co_positions()][instruction // 2]
    if first is None or last is None or begin is None or end is None:
        return ""
    lines = [linecache.getline(code.co_filename, line).encode() for line in range(first, last + 1)]
    lines[-1] = lines[-1][:end]  # the columns are those of UTF-8
    lines[0] = lines[0][begin:]
    return " ".join(line.decode().strip() for line in lines)


def line_of(code: CodeType, instruction: int) -> int | None:
    """The number of the line."""
    return [*code.co_positions()][instruction // 2][0]


def operands(text: str, names: dict[str, Any]) -> list[str]:
    """The texts of what an expression computes with, one after another; `names` are those that its module knows."""
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError):
        return []
    return [ast.get_source_segment(text, part) or "" for part in parts_of(statement, names)]


def parts_of(node: ast.AST, names: dict[str, Any]) -> list[ast.AST]:
    """The operands of an expression, lists among them taken apart."""
    if isinstance(node, ast.Expr):
        return parts_of(node.value, names)
    if isinstance(node, ast.AugAssign):
        return [node.target, node.value]
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.Subscript):
        return [node.value]
    if not isinstance(node, ast.Call):
        return []
    of_array = [node.func.value] if isinstance(node.func, ast.Attribute) and not is_module(node.func.value, names) else []
    return [*of_array, *(part for argument in node.args for part in taken_apart(argument))]


def taken_apart(node: ast.AST) -> list[ast.AST]:
    """The elements of a list or tuple, or the node itself."""
    if isinstance(node, ast.List | ast.Tuple):
        return [part for element in node.elts for part in taken_apart(element)]
    return [node]


def is_module(node: ast.AST, names: dict[str, Any]) -> bool:
    """Whether it names a module, or something in one."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and isinstance(names.get(node.id), ModuleType)
