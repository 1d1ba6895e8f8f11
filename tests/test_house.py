"""The names of modules: none is named like a function or class in it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gradcheck", "lab", "manual", "models")
FILES = [*ROOT.glob("*.py"), *(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))]
MODULES = {str(file.relative_to(ROOT)): file for file in sorted(FILES)}
INITS = {name: file for name, file in MODULES.items() if file.name == "__init__.py"}


def defined_names(tree):
    """The functions and classes at a module's top level."""
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}


def imported_names(tree):
    """The names that a module's top level gives to what it imports."""
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


@pytest.mark.parametrize("file", MODULES.values(), ids=MODULES)
def test_no_module_has_the_name_of_what_is_in_it(file):
    own_name = file.parent.name if file.name == "__init__.py" else file.stem
    of_package = set() if file.parent == ROOT else {file.parent.name}
    assert not defined_names(ast.parse(file.read_text())) & ({own_name} | of_package)


@pytest.mark.parametrize("file", INITS.values(), ids=INITS)
def test_no_package_exports_the_name_of_one_of_its_modules(file):
    tree, inside = ast.parse(file.read_text()), file.parent
    modules = {other.stem for other in inside.glob("*.py")} | {init.parent.name for init in inside.glob("*/__init__.py")}
    assert not (defined_names(tree) | imported_names(tree)) & modules
