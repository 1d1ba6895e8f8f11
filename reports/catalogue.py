"""`experiments.toml`, read and held against the networks and the options of train.py that exist."""

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

import tomllib

import train
from commands import Parser
from errors import UserError
from reports.gradient_check import GradientCheck
from reports.numbers import PARTS, Number, check_name, number
from training.settings import Settings

FILE = Path(__file__).parent / "experiments.toml"

COLUMNS = ("specified", "as-run", "what-if")
FIGURES = ("curves", "losses", "weights", "probability", "lambda")
KEYS = {"report", "title", "kind", "record", "seeds", "tolerance", "tolerance-loss", "reported", "also", "doubts", "why"}


@dataclass(frozen=True)
class Experiment:
    """One experiment of a report: `columns` holds the Settings or the GradientCheck of each of its columns, by name.

    `numbers` are those of the report, and those shown beside them; `record` the parts recorded while it trains.
    """

    name: str
    report: str
    title: str
    columns: dict
    commands: dict
    numbers: tuple[Number, ...]
    record: tuple[str, ...]
    seeds: int
    doubts: tuple[str, ...]
    why: str

    @property
    def trains(self):
        return isinstance(self.columns["specified"], Settings)

    def described(self):
        """All that tables and pages say of it, as a dict for JSON."""
        numbers = [each.as_json() for each in self.numbers]
        about = {"name": self.name, "report": self.report, "title": self.title, "trains": self.trains}
        return about | {"numbers": numbers, "doubts": list(self.doubts), "why": self.why}


@dataclass(frozen=True)
class Claim:
    """A number of several experiments that has to lie within `within` of each other, whatever the report's figures say."""

    name: str
    title: str
    number: str
    experiments: tuple[str, ...]
    within: float


@dataclass(frozen=True)
class Picture:
    """A figure: which experiments, in which column, drawn how."""

    name: str
    kind: str
    title: str
    experiments: tuple[str, ...]
    column: str = "specified"


@dataclass(frozen=True)
class Catalogue:
    experiments: dict
    claims: tuple[Claim, ...]
    figures: tuple[Picture, ...]

    def shows_weights(self, name):
        """Whether a figure shows the weights of that experiment."""
        shown = (figure for figure in self.figures if figure.kind == "weights")
        return any(matches(wanted, name) for figure in shown for wanted in figure.experiments)


def read(path=FILE):
    """The Catalogue of a file. Raises UserError, which names the experiment, where the file says what does not exist."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {' '.join(str(error).split())}") from error
    shared, found = content.get("shared", {}), {}
    for name, own in content.get("experiment", {}).items():
        with_error(f"{path}: {name}", lambda name=name, own=own: found.update({name: experiment(name, own, shared)}))
    claims = [
        with_error(f"{path}: {name}", lambda: of_kind(Claim, name, own)) for name, own in content.get("claim", {}).items()
    ]
    figures = [
        with_error(f"{path}: {name}", lambda: of_kind(Picture, name, own)) for name, own in content.get("figure", {}).items()
    ]
    for each in (*claims, *figures):
        missing = [wanted for wanted in each.experiments if not any(matches(wanted, name) for name in found)]
        if missing:
            raise UserError(f"{path}: {each.name}: there is no experiment {missing[0]}")
    for figure in figures:
        if figure.kind not in FIGURES:
            raise UserError(f"{path}: {figure.name}: kind {figure.kind!r} is none of {', '.join(FIGURES)}")
    return Catalogue(found, tuple(claims), tuple(figures))


def with_error(where, do):
    """`do()`, whose errors say where they come from."""
    try:
        return do()
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def of_kind(kind, name, own):
    known = {field.name for field in fields(kind)} - {"name"}
    unknown = own.keys() - known
    if unknown:
        raise UserError(f"{min(unknown)!r} is none of {', '.join(sorted(known))}")
    try:
        return kind(name=name, **(own | {"experiments": tuple(own["experiments"])}))
    except (KeyError, TypeError) as error:
        raise UserError(f"it needs {', '.join(sorted(known))}: {error}") from error


def experiment(name, own, shared):
    whole = inherited(own, shared)
    unknown = whole.keys() - KEYS - set(COLUMNS)
    if unknown:
        raise UserError(f"{min(unknown)!r} is none of {', '.join(sorted(KEYS | set(COLUMNS)))}")
    missing = {"report", "title", "specified", "reported"} - whole.keys()
    if missing:
        raise UserError(f"{min(missing)} is missing")
    trains = whole.get("kind", "training") == "training"
    columns, commands = {}, {}
    for column in COLUMNS:
        if column in whole:
            options = whole["specified"] | whole[column]
            arguments = as_arguments(options) if trains else []
            columns[column] = settings_of(arguments) if trains else gradient_check_of(options)
            commands[column] = f"python train.py {shlex.join(arguments)}" if trains else "python reproduce.py " + name
    tolerances = {
        key: whole[f"tolerance{rest}"] for key, rest in (("accuracy", ""), ("loss", "-loss")) if f"tolerance{rest}" in whole
    }
    numbers = [number(key, value, tolerances) for key, value in whole["reported"].items()]
    numbers += [Number(key, text, None, None) for key, text in whole.get("also", {}).items()]
    record = tuple(whole.get("record", ("train", "val")))
    for part in record:
        if part not in PARTS:
            raise UserError(f"record: {part!r} is none of {', '.join(PARTS)}")
    if trains:
        for each in numbers:
            check_name(each.name)
    doubts = tuple(whole.get("doubts", ()))
    return Experiment(
        name, whole["report"], whole["title"], columns, commands, tuple(numbers), record, whole.get("seeds", 1), doubts,
        whole.get("why", ""),
    )  # fmt: skip


def inherited(own, shared):
    """`own` on top of what it is `like`: tables are merged, lists of doubts added up, anything else replaced."""
    whole = {}
    names = own.get("like", [])
    for name in [names] if isinstance(names, str) else names:
        if name not in shared:
            raise UserError(f"like: there is no [shared.{name}]")
        whole = merged(whole, inherited(shared[name], shared))
    return merged(whole, {key: value for key, value in own.items() if key != "like"})


def merged(one, other):
    result = dict(one)
    for key, value in other.items():
        if isinstance(value, dict):
            result[key] = result.get(key, {}) | value
        elif key == "doubts":
            result[key] = [*result.get(key, []), *value]
        else:
            result[key] = value
    return result


def as_arguments(options):
    """The command line of train.py: {"network": "two-layer", "step-size": 900} is two-layer --step-size 900."""
    arguments = []
    for name, value in options.items():
        if name == "network":
            arguments.insert(0, value)
        elif value is True:
            arguments.append(f"--{name}")
        elif value is not False:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            arguments += [f"--{name}", text]
    return arguments


def settings_of(arguments):
    """The Settings that train.py has for these arguments. Raises UserError."""
    return Settings(**train.parse(arguments, Strict))


class Strict(Parser):
    """A parser whose errors are raised, to be told with where they come from."""

    def error(self, message):
        raise UserError(message)


def gradient_check_of(options):
    known = {field.name for field in fields(GradientCheck)}
    unknown = options.keys() - known
    if unknown:
        raise UserError(f"{min(unknown)!r} is none of {', '.join(sorted(known))}")
    return GradientCheck(**(options | {"offsets": tuple(options.get("offsets", GradientCheck.offsets))}))


def chosen(catalogue, wanted):
    """The experiments that `wanted` name, by their whole name or a leading part of it, as 004 or 004-9l. Raises UserError."""
    for name in wanted:
        if not any(matches(name, each) for each in catalogue.experiments):
            reports = sorted({each.report for each in catalogue.experiments.values()})
            raise UserError(f"unknown experiment {name!r}; a report ({', '.join(reports)}), a name of --list, or a part of one")
    return [each for name, each in catalogue.experiments.items() if not wanted or any(matches(one, name) for one in wanted)]


def matches(wanted, name):
    """Whole words of the name, in order: 004, 004-sens, gradcheck, fig3."""
    return f"-{wanted}-" in f"-{name}-"


def with_seed(settings, implementation, seed, options):
    """The Settings as this run of reproduce.py trains them."""
    place = {"data": options.data, "data_dir": options.data_dir, "device": options.device}
    return replace(settings, implementation=implementation, seed=seed, **place)
