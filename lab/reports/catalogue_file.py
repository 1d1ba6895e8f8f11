"""`experiments.toml`, read into a Catalogue, and checked against the networks and the options of train.py that exist."""

import shlex
import tomllib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from gradcheck.command import Parser
from gradcheck.errors import UserError, one_line
from lab.data.parts import PARTS
from lab.reports.catalogue import COLUMNS, Catalogue, Claim, Experiment, FigureDescription, RunSettings, name_matches
from lab.reports.checks import check_choice, check_keys
from lab.reports.gradient_check import GradientCheck
from lab.reports.numbers import Number, check_recorded, reported_number
from lab.training.options import parse
from lab.training.settings import Settings

FILE = Path(__file__).parent / "experiments.toml"

Table = dict[str, Any]
Entry = TypeVar("Entry", Claim, FigureDescription)

KINDS = ("training", "gradient-check")
# Keys of an experiment that hold tables, those that it needs, and all.
TABLES = {*COLUMNS, "reported", "also", "why"}
REQUIRED = {"report", "title", "specified", "reported"}
KEYS = {"report", "title", "kind", "record", "seeds", "tolerance", "tolerance-loss", "doubts"} | TABLES


def read_catalogue(path: Path = FILE) -> Catalogue:
    """The Catalogue in a file. Raises UserError, which names the experiment, where the file says what does not exist."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {one_line(error)}") from error
    shared, experiments = content.get("shared", {}), {}
    for name, table in content.get("experiment", {}).items():
        with located_errors(f"{path}: {name}"):
            experiments[name] = parse_experiment(name, table, shared)
    claims = parse_entries(Claim, content.get("claim", {}), experiments, path)
    figures = parse_entries(FigureDescription, content.get("figure", {}), experiments, path)
    return Catalogue(experiments, claims, figures)


@contextmanager
def located_errors(place: str) -> Iterator[None]:
    """Errors inside say where they come from."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def parse_entries(kind: type[Entry], tables: Table, experiments: Collection[str], path: Path) -> tuple[Entry, ...]:
    """The Claims or the FigureDescriptions of a file. Raises UserError."""
    entries = []
    for name, table in tables.items():
        with located_errors(f"{path}: {name}"):
            entries.append(parse_entry(kind, name, table, experiments))
    return tuple(entries)


def parse_entry(kind: type[Entry], name: str, table: Table, experiments: Collection[str]) -> Entry:
    known = {field.name for field in fields(kind)} - {"name"}
    check_keys(table, known)
    try:
        entry = kind(name=name, **(table | {"experiments": tuple(table["experiments"])}))
    except (KeyError, TypeError) as error:
        raise UserError(f"it needs {', '.join(sorted(known))}: {error}") from error
    missing = [part for part in entry.experiments if not any(name_matches(part, each) for each in experiments)]
    if missing:
        raise UserError(f"there is no experiment {missing[0]}")
    return entry


def parse_experiment(name: str, table: Table, shared: dict[str, Table]) -> Experiment:
    """The Experiment of a table of the file, and of the tables of `shared` that it is `like`. Raises UserError."""
    check_keys(table, KEYS | {"like"})
    table = with_inherited(table, shared)
    check_experiment(table)
    record = tuple(table.get("record", ("train", "val")))
    columns, commands = parse_columns(name, table)
    experiment = Experiment(
        name=name,
        report=table["report"],
        title=table["title"],
        columns=columns,
        commands=commands,
        numbers=parse_numbers(table),
        record=record,
        seeds=table.get("seeds", 1),
        doubts=tuple(table.get("doubts", ())),
    )
    if experiment.trains:
        for number in experiment.numbers:
            check_recorded(number.name, record)
    return experiment


def check_experiment(table: Table) -> None:
    """Raises UserError where the table of an experiment is not whole."""
    check_keys(table, KEYS)
    missing = REQUIRED - table.keys()
    if missing:
        raise UserError(f"{min(missing)} is missing")
    no_tables = [key for key in TABLES & table.keys() if not isinstance(table[key], dict)]
    if no_tables:
        raise UserError(f"{min(no_tables)} is not a table")
    check_choice("kind", table.get("kind", "training"), KINDS)
    for part in table.get("record", ()):
        check_choice("record:", part, PARTS)


def parse_columns(name: str, table: Table) -> tuple[dict[str, RunSettings], dict[str, str]]:
    """What is run for each column of an experiment, and the command line that runs it alone. Raises UserError."""
    columns: dict[str, RunSettings] = {}
    commands = {}
    for column in COLUMNS:
        if column not in table:
            continue
        options = table["specified"] | table[column]
        if table.get("kind") == "gradient-check":
            columns[column] = parse_gradient_check(options)
            commands[column] = f"python reproduce.py {name}"
        else:
            arguments = train_arguments(options)
            columns[column] = parse_settings(arguments)
            commands[column] = f"python train.py {shlex.join(arguments)}"
    return columns, commands


def parse_numbers(table: Table) -> tuple[Number, ...]:
    """The Numbers of an experiment: those of its report, and those that are only shown beside them. Raises UserError."""
    reported, also, why = table["reported"], table.get("also", {}), table.get("why", {})
    check_keys(why, reported.keys())
    both = reported.keys() & also.keys()
    if both:
        raise UserError(f"{min(both)!r} is in reported and in also")
    keys = {"accuracy": "tolerance", "loss": "tolerance-loss"}
    tolerances = {quantity: table[key] for quantity, key in keys.items() if key in table}
    judged = (reported_number(name, value, tolerances, why.get(name, "")) for name, value in reported.items())
    shown = (Number(name, text, None, None) for name, text in also.items())
    return (*judged, *shown)


def with_inherited(table: Table, shared: dict[str, Table]) -> Table:
    """`table` on top of the tables of `shared` that it is `like`. Raises UserError."""
    whole: Table = {}
    names = table.get("like", [])
    for name in [names] if isinstance(names, str) else names:
        if name not in shared:
            raise UserError(f"like: there is no [shared.{name}]")
        # An ancestor can't inherit from itself: on the way up, it is no longer there.
        others = {other: ancestor for other, ancestor in shared.items() if other != name}
        whole = merge(whole, with_inherited(shared[name], others))
    return merge(whole, {key: value for key, value in table.items() if key != "like"})


def merge(below: Table, above: Table) -> Table:
    """Both tables as one: tables in them are merged, lists of doubts joined, and anything else of `below` is replaced."""
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict):
            merged[key] = merged.get(key, {}) | value
        elif key == "doubts":
            merged[key] = [*merged.get(key, []), *value]
        else:
            merged[key] = value
    return merged


def train_arguments(options: Table) -> list[str]:
    """The command line of train.py: {"network": "two-layer", "step-size": 900} is two-layer --step-size 900."""
    arguments: list[str] = []
    for name, value in options.items():
        if name == "network":
            arguments.insert(0, value)
        elif value is True:
            arguments.append(f"--{name}")
        elif value is not False:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            arguments += [f"--{name}", text]
    return arguments


class RaisingParser(Parser):
    """A parser that raises its errors, so that they can be told where they come from."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def parse_settings(arguments: list[str]) -> Settings:
    """The Settings that train.py makes of these arguments. Raises UserError."""
    options = parse(arguments, RaisingParser)
    elsewhere = {"out", "resume"} & options.keys()
    if elsewhere:
        raise UserError(f"--{min(elsewhere)} says where a run is kept, not what is trained")
    return Settings(**options)


def parse_gradient_check(options: Table) -> GradientCheck:
    """The GradientCheck of a table. Raises UserError."""
    check_keys(options, {field.name for field in fields(GradientCheck)})
    missing = {field.name for field in fields(GradientCheck) if field.default is MISSING} - options.keys()
    if missing:
        raise UserError(f"a gradient check needs {', '.join(sorted(missing))}")
    return GradientCheck(**(options | {"offsets": tuple(options.get("offsets", GradientCheck.offsets))}))
