"""`experiments.toml`, read and held against the networks and the options of train.py that exist."""

import shlex
import tomllib
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from gradcheck.command import Parser
from gradcheck.errors import UserError
from lab.reports.gradient_check import GradientCheck
from lab.reports.numbers import PARTS, Number, check_name, reported_number
from lab.training.options import parse
from lab.training.settings import Settings

FILE = Path(__file__).parent / "experiments.toml"

COLUMNS = ("specified", "as-run", "what-if")
FIGURES = ("curves", "losses", "weights", "probability", "lambda")
TABLES = {*COLUMNS, "reported", "also", "why"}
KEYS = {"report", "title", "kind", "record", "seeds", "tolerance", "tolerance-loss", "doubts"} | TABLES


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

    @property
    def trains(self):
        return isinstance(self.columns["specified"], Settings)

    def described(self):
        """All that tables and pages say of it, as a dict for JSON."""
        numbers = [each.as_json() for each in self.numbers]
        about = {"name": self.name, "report": self.report, "title": self.title, "trains": self.trains}
        about["columns"] = list(self.columns)
        return about | {"numbers": numbers, "doubts": list(self.doubts)}


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
    """A figure: which experiments (parts of names will do), in which column, drawn how. Raises UserError."""

    name: str
    kind: str
    title: str
    experiments: tuple[str, ...]
    column: str = "specified"

    def __post_init__(self):
        for key, known in (("kind", FIGURES), ("column", COLUMNS)):
            if getattr(self, key) not in known:
                raise UserError(f"{key} {getattr(self, key)!r} is none of {', '.join(known)}")

    def shows(self, name):
        return any(matches(wanted, name) for wanted in self.experiments)


@dataclass(frozen=True)
class Catalogue:
    experiments: dict
    claims: tuple[Claim, ...]
    figures: tuple[Picture, ...]

    def shows_weights(self, name):
        """Whether a figure shows the weights of that experiment."""
        return any(figure.kind == "weights" and figure.shows(name) for figure in self.figures)


def read(path=FILE):
    """The Catalogue of a file. Raises UserError, which names the experiment, where the file says what does not exist."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {' '.join(str(error).split())}") from error
    shared, experiments, others = content.get("shared", {}), {}, {"claim": [], "figure": []}
    for name, own in content.get("experiment", {}).items():
        with located_errors(f"{path}: {name}"):
            experiments[name] = experiment(name, own, shared)
    for key, kind in (("claim", Claim), ("figure", Picture)):
        for name, own in content.get(key, {}).items():
            with located_errors(f"{path}: {name}"):
                others[key].append(of_kind(kind, name, own, experiments))
    return Catalogue(experiments, tuple(others["claim"]), tuple(others["figure"]))


@contextmanager
def located_errors(where):
    """Errors inside say where they come from."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def of_kind(kind, name, own, experiments):
    """A Claim or a Picture. Raises UserError."""
    known = {field.name for field in fields(kind)} - {"name"}
    check_keys(own, known)
    try:
        found = kind(name=name, **(own | {"experiments": tuple(own["experiments"])}))
    except (KeyError, TypeError) as error:
        raise UserError(f"it needs {', '.join(sorted(known))}: {error}") from error
    missing = [wanted for wanted in found.experiments if not any(matches(wanted, each) for each in experiments)]
    if missing:
        raise UserError(f"there is no experiment {missing[0]}")
    return found


def check_keys(given, known):
    if not isinstance(given, dict):
        raise UserError(f"{given!r} is no table")
    unknown = given.keys() - known
    if unknown:
        raise UserError(f"{min(unknown)!r} is none of {', '.join(sorted(known))}")


def experiment(name, own, shared):
    check_keys(own, KEYS | {"like"})
    whole = inherited(own, shared)
    check_keys(whole, KEYS)
    missing = {"report", "title", "specified", "reported"} - whole.keys()
    if missing:
        raise UserError(f"{min(missing)} is missing")
    for key in TABLES & whole.keys():
        if not isinstance(whole[key], dict):
            raise UserError(f"{key} is no table")
    trains = whole.get("kind", "training") == "training"
    columns, commands = {}, {}
    for column in COLUMNS:
        if column in whole:
            options = whole["specified"] | whole[column]
            arguments = as_arguments(options) if trains else []
            columns[column] = settings_of(arguments) if trains else gradient_check_of(options)
            commands[column] = f"python train.py {shlex.join(arguments)}" if trains else f"python reproduce.py {name}"
    record = tuple(whole.get("record", ("train", "val")))
    for part in record:
        if part not in PARTS:
            raise UserError(f"record: {part!r} is none of {', '.join(PARTS)}")
    numbers = numbers_of(whole)
    if trains:
        for each in numbers:
            check_name(each.name, record)
    doubts = tuple(whole.get("doubts", ()))
    return Experiment(name, whole["report"], whole["title"], columns, commands, numbers, record, whole.get("seeds", 1), doubts)


def numbers_of(whole):
    """The Numbers of an experiment: those of its report, and those that are shown beside them."""
    reported, also, why = whole["reported"], whole.get("also", {}), whole.get("why", {})
    check_keys(why, reported.keys())
    both = reported.keys() & also.keys()
    if both:
        raise UserError(f"{min(both)!r} is in reported and in also")
    keys = {"accuracy": "tolerance", "loss": "tolerance-loss"}
    tolerances = {kind: whole[key] for kind, key in keys.items() if key in whole}
    found = [reported_number(name, value, tolerances, why.get(name, "")) for name, value in reported.items()]
    return (*found, *(Number(name, text, None, None) for name, text in also.items()))


def inherited(own, shared):
    """`own` on top of what it is `like`: tables are merged, lists of doubts added up, anything else replaced."""
    whole = {}
    names = own.get("like", [])
    for name in [names] if isinstance(names, str) else names:
        if name not in shared:
            raise UserError(f"like: there is no [shared.{name}]")
        # What is above in the family is taken away on the way down, so that none is its own ancestor.
        whole = merged(whole, inherited(shared[name], {other: table for other, table in shared.items() if other != name}))
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
    given = parse(arguments, Strict)
    for name in ("out", "resume"):
        if name in given:
            raise UserError(f"--{name} says where, not what is trained")
    return Settings(**given)


class Strict(Parser):
    """A parser whose errors are raised, to be told with where they come from."""

    def error(self, message):
        raise UserError(message)


def gradient_check_of(options):
    check_keys(options, {field.name for field in fields(GradientCheck)})
    missing = {field.name for field in fields(GradientCheck) if field.default is MISSING} - options.keys()
    if missing:
        raise UserError(f"a gradient check needs {', '.join(sorted(missing))}")
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
