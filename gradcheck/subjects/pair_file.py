"""A pair from a file, which is run, with the modules of its own folder."""

import runpy
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradcheck.errors import UserError
from gradcheck.faults import describe_error
from gradcheck.subjects.pair import Pair
from gradcheck.subjects.pair_checks import check_tolerance, check_types


def load_pair(path: str | Path) -> Pair:
    """The Pair that a Python file defines. THE FILE IS RUN, with your rights.

    Args:
        path: a file that defines `parameters`, `cost` and `gradients`, and if it likes `reference` or `layers`: see `Pair`. Its
            folder is where its imports are looked for first. A `tolerance` in it is for the command; give `check` its own.

    Returns:
        The Pair.

    Raises:
        UserError: the file is missing, raises itself, lacks one of the three names, or has something else under one.

    Example:
        >>> import pathlib, tempfile
        >>> source = "import numpy as np\\nparameters = {'w': np.ones(3)}\\n"
        >>> source += "cost = lambda p: (p['w'] ** 2).sum()\\ngradients = lambda p: {'w': 2 * p['w']}\\n"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "mine.py")
        ...     _ = file.write_text(source)
        ...     pair = load_pair(file)
        >>> sorted(pair.parameters)
        ['w']
    """
    return load_pair_and_tolerance(path, {})[0]


def load_pair_and_tolerance(path: str | Path, asked: Mapping[str, float]) -> tuple[Pair, dict[str, float]]:
    """The Pair of a file, as `load_pair`, and the `tolerance` by tensor that it defines, over which goes what is `asked`."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is not a file; name a Python file that defines parameters, cost and gradients")
    try:
        with imports_from(path.parent.resolve()):
            names = runpy.run_path(str(path), run_name=path.stem)
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} can't be run: {describe_error(error)}") from error
    missing = [name for name in ("parameters", "cost", "gradients") if name not in names]
    if missing:
        raise UserError(f"{path} has no {' and no '.join(missing)}; a pair file defines parameters, cost and gradients")
    found: dict[str, Any] = {name: names.get(name) for name in Pair._fields}
    pair, own = Pair(**found), names.get("tolerance", {})
    with naming(path):
        check_types(pair)
        check_tolerance(own, list(pair.parameters))
        tolerance = {**own, **asked}
        check_tolerance(tolerance, list(pair.parameters))
    return pair, tolerance


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Inside, what is wrong with a pair is said with the name of its file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


@contextmanager
def imports_from(folder: Path) -> Iterator[None]:
    """Inside, `import` finds the modules of `folder` first, also one whose name a module of ours, or of another pair, has.

    But it never finds another gradcheck than the one that checks.
    """
    packages = (init.parent for init in folder.glob("*/__init__.py"))
    own = {path.stem for path in (*folder.glob("*.py"), *packages)} - {"gradcheck"}
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
