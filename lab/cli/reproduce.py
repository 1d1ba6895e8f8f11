"""Every number of the five student reports again, by both twins on CIFAR-10, beside what the report has."""

import argparse
import sys

from gradcheck.command import EXIT_CODES, Parser, progress_bar, whole_number
from gradcheck.errors import UserError
from gradcheck.result import NetworkResult, RunResult
from gradcheck.verdict import overall
from lab.options import add_common_options, find_device
from lab.reports.catalogue import Catalogue
from lab.reports.catalogue_file import read_catalogue
from lab.reports.reproduction import MOST_PROCESSES, Reproduction
from lab.reports.request import Request
from lab.reports.results import Results
from lab.reports.task import WrongGradient

EXAMPLES = """\
examples:
  python reproduce.py                        everything that results/ does not have yet, then its tables and pages
  python reproduce.py 004                    report 004
  python reproduce.py 000-fig3 004-9l-bn     these two; a part of a name will do: gradcheck, 004-sens
  python reproduce.py --list                 what there is, and what is finished
  python reproduce.py --results mine         everything from the beginning, in a folder of your own
  python reproduce.py --quick                every experiment for a few updates on synthetic images
  python reproduce.py --pages                train nothing: README.md, index.html and figures from the JSON that is there

What is finished is kept, and runs again only where its settings changed; what was stopped goes on where it was.
exit codes: 0 done, 1 a gradient is wrong, 2 could not run, 3 undecided entries in a gradient check, 130 stopped by Ctrl-C
"""

TWINS = ("manual", "torch")


def main(arguments: list[str]) -> int:
    """The command: returns its exit code. Raises UserError."""
    options = parse(arguments)
    catalogue = read_catalogue()
    experiments = catalogue.select(options.experiments)
    reproduction = Reproduction(catalogue, experiments, request_of(options), Results(results_folder(options)))
    if options.list:
        return show_list(reproduction)
    if not options.pages:
        try:
            finished = train(reproduction, options.jobs)
        except WrongGradient as wrong:
            return show_wrong_gradient(wrong.network)
        if not finished:
            path = reproduction.results.path
            print(f"stopped; what is finished is kept in {path}, and the same command goes on", file=sys.stderr)
            return 130
    return show_results(catalogue, reproduction, rewrite=options.pages or reproduction.changed)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options."""
    parser = Parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("experiments", nargs="*", metavar="EXPERIMENT", help="a report, a name of --list, or a part of one (all)")
    add("--list", action="store_true", help="the experiments, and what is finished")
    add("--pages", action="store_true", help="train nothing: write README.md, index.html and figures from the JSON files")
    add("--implementation", choices=(*TWINS, "both"), default="both", help="which twin trains (both)")
    add("--seeds", type=whole_number(1), metavar="K", help="seeds of each training (1; 3 for the headline rows as specified)")
    add("--quick", action="store_true", help="a few updates of each on synthetic images, in runs/reproduce-quick")
    jobs = f"processes at work (one a core, up to {MOST_PROCESSES}; one with CUDA)"
    add("--jobs", type=whole_number(1), metavar="N", help=jobs)
    add("--results", metavar="DIR", help="where the JSON files and pages are (results; runs/reproduce-DATA for other data)")
    add_common_options(parser, "cifar10; synthetic with --quick")
    parser.set_defaults(data=None)
    options = parser.parse_args(arguments)
    if options.quick and options.data not in (None, "synthetic"):
        parser.error("--quick trains on synthetic images; drop --data")
    if options.pages and options.list:
        parser.error("--list and --pages are two commands; give one")
    if options.pages and options.experiments:
        parser.error("--pages writes the pages of all that is there; name no experiment")
    options.data = options.data or ("synthetic" if options.quick else "cifar10")
    return options


def request_of(options: argparse.Namespace) -> Request:
    """What the options ask for. Raises UserError where the device is not there."""
    return Request(
        implementations=TWINS if options.implementation == "both" else (options.implementation,),
        seeds=options.seeds,
        seed=options.seed,
        data=options.data,
        data_dir=options.data_dir,
        device=find_device(options.device) if options.device == "cuda" else options.device,
        quick=options.quick,
    )


def results_folder(options: argparse.Namespace) -> str:
    """Where the results are: those on other images are not to stand among those of CIFAR-10."""
    default = "results" if options.data == "cifar10" else f"runs/reproduce-{'quick' if options.quick else options.data}"
    return options.results or default


def train(reproduction: Reproduction, jobs: int | None) -> bool:
    """Does what is not finished, with a progress bar, or with a line a task where there is no terminal.

    Returns whether all is done.

    Raises WrongGradient and UserError.
    """
    reproduction.update_descriptions()
    if not reproduction.experiments_remaining:
        return True
    from rich.progress import TextColumn

    from lab.cli.session import interruptible
    from lab.reports.execution import Execution

    execution = Execution(reproduction, jobs)
    with interruptible() as stopped, progress_bar(TextColumn("{task.fields[experiments]} experiments left")) as bar:
        line = bar.add_task("training", total=execution.work, experiments=reproduction.experiments_remaining)
        for task in execution.carry_out(lambda units: bar.advance(line, units), stopped):
            bar.update(line, experiments=reproduction.experiments_remaining)
            if bar.disable:
                print(f"{task}: done; experiments left: {reproduction.experiments_remaining}", file=sys.stderr)
    return not reproduction.experiments_remaining


def show_list(reproduction: Reproduction) -> int:
    """Prints what there is, and what is finished. Returns the exit code."""
    from gradcheck.report.tables import show
    from lab.output.reproduction import list_table

    finished = {name: reproduction.finished(name) for name in reproduction.experiments}
    show(list_table(list(reproduction.experiments.values()), finished))
    return 0


def show_wrong_gradient(network: NetworkResult) -> int:
    """Prints what the check of a network found. Returns the exit code."""
    from gradcheck.report.tables import comparison_summary, network_table, show

    summary: RunResult = {"verdict": network["verdict"], "seconds": network["seconds"], "networks": [network]}
    show(network_table(network), *comparison_summary(summary))
    print(f"reproduce.py: {network['name']} is not trained: its gradient is wrong", file=sys.stderr)
    return EXIT_CODES["fail"]


def show_results(catalogue: Catalogue, reproduction: Reproduction, rewrite: bool) -> int:
    """Prints the numbers of the experiments. Returns the exit code: whether a gradient check found anything wrong.

    The pages are written where `rewrite`, or where they are not those of the results. Raises UserError.
    """
    from gradcheck.report.tables import show
    from lab.output.reproduction import experiments_table, headline
    from lab.output.reproduction_pages import up_to_date, write_pages

    results = reproduction.results
    contents = [content for name in catalogue.experiments if (content := results.read(name))]
    if not contents:
        raise UserError(f"{results.path} holds no results; run without --pages to make them")
    if rewrite or not up_to_date(results.path, contents, catalogue):
        write_pages(results.path, contents, catalogue)
    shown = [content for content in contents if content["name"] in reproduction.experiments]
    show(experiments_table(shown), headline(shown), f"{results.path}: README.md, index.html, figures/")
    verdicts = [run["verdict"] for content in shown for run in content["runs"] if "measured" in run]
    return EXIT_CODES[overall(verdicts)] if verdicts else 0
