"""Every number of the five student reports again, by both twins on CIFAR-10, beside what the report has."""

import sys

from rich.progress import TextColumn

from gradcheck import overall
from gradcheck.command import EXIT_CODES, Parser, progress_bar, whole_number
from gradcheck.errors import UserError
from gradcheck.report.tables import comparison_summary, network_table, show
from lab.cli.session import interruptible
from lab.options import add_common_options, device_of, find_device
from lab.output.reproduction import experiments_table, headline, list_table
from lab.output.reproduction_pages import up_to_date, write_pages
from lab.reports import catalogue
from lab.reports.orders import Order
from lab.reports.reproduction import MOST_PROCESSES, Reproduction
from lab.reports.results import Results
from lab.reports.work import WrongGradient

EXAMPLES = """\
examples:
  python reproduce.py                        everything that results/ does not have yet, then its tables and pages
  python reproduce.py 004                    report 004
  python reproduce.py 000-fig3 004-9l-bn     these two; a part of a name will do: gradcheck, 004-sens
  python reproduce.py --list                 what there is, and what is finished
  python reproduce.py --results mine         all anew, in a folder of your own
  python reproduce.py --quick                every experiment for a few updates on synthetic images
  python reproduce.py --pages                train nothing: README.md, index.html and figures from the JSON that is there

What is finished is kept, and runs again only where its settings changed; what was stopped goes on where it was.
exit codes: 0 done, 1 a gradient is wrong, 2 could not run, 3 undecided entries in a gradient check, 130 stopped by Ctrl-C
"""

TWINS = ("manual", "torch")


def parse(arguments):
    """The options, the Order that they make, and the Results that are kept."""
    parser = Parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("experiments", nargs="*", metavar="EXPERIMENT", help="a report, a name of --list, or a part of one (all)")
    add("--list", action="store_true", help="the experiments, and what is finished")
    add("--pages", action="store_true", help="train nothing: write README.md, index.html and figures from the JSON files")
    add("--implementation", choices=(*TWINS, "both"), default="both", help="which twin trains (both)")
    add("--seeds", type=whole_number(1), metavar="K", help="seeds of each training (1; 3 for the headline rows as specified)")
    add("--quick", action="store_true", help="a few updates of each on synthetic images, in runs/reproduce-quick")
    add(
        "--jobs",
        type=whole_number(1),
        metavar="N",
        help=f"processes at work (one a core, up to {MOST_PROCESSES}; one with CUDA)",
    )
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
    data = options.data or ("synthetic" if options.quick else "cifar10")
    twins = TWINS if options.implementation == "both" else (options.implementation,)
    device = find_device(options.device) if options.device == "cuda" else options.device
    order = Order(twins, options.seeds, options.seed, data, options.data_dir, device, options.quick)
    default = "results" if data == "cifar10" else f"runs/reproduce-{'quick' if options.quick else data}"
    return options, order, Results(options.results or default)


def main(arguments):
    options, order, results = parse(arguments)
    book = catalogue.read()
    experiments = catalogue.chosen(book, options.experiments)
    reproduction = Reproduction(experiments, book, order, results)
    if options.list:
        show(list_table(experiments, {each.name: reproduction.finished(each.name) for each in experiments}))
        return 0
    if not options.pages:
        try:
            if not work(reproduction, options.jobs):
                print(f"stopped; what is finished is kept in {results.path}, and the same command goes on", file=sys.stderr)
                return 130
        except WrongGradient as wrong:
            (found,) = wrong.args
            show(network_table(found), *comparison_summary({"networks": [found], **found}))
            print(f"reproduce.py: {found['name']} is not trained: its gradient is wrong", file=sys.stderr)
            return EXIT_CODES["fail"]
    contents = [content for name in book.experiments if (content := results.read(name))]
    if not contents:
        raise UserError(f"{results.path} holds no results; run without --pages to make them")
    if options.pages or reproduction.changed or not up_to_date(results.path, contents, book):
        write_pages(results.path, contents, book)
    shown = [content for content in contents if content["name"] in reproduction.experiments]
    show(experiments_table(shown), headline(shown), f"{results.path}: README.md, index.html, figures/")
    checks = [run["verdict"] for content in shown if not content["trains"] for run in content["runs"]]
    return EXIT_CODES[overall(checks)] if checks else 0


def work(reproduction, jobs):
    """Does what is not finished, with a progress bar, or a line a task where nobody watches. Returns whether all is done.

    Raises WrongGradient.
    """
    total, processes = reproduction.begin(device_of, jobs)
    with interruptible() as stopped, progress_bar(TextColumn("{task.fields[experiments]} experiments left")) as bar:
        line = bar.add_task("training", total=total, experiments=reproduction.experiments_left)
        for task in reproduction.work(processes, lambda units: bar.advance(line, units), stopped):
            bar.update(line, experiments=reproduction.experiments_left)
            if bar.disable:
                print(f"{task}: done; experiments left: {reproduction.experiments_left}", file=sys.stderr)
    return not reproduction.experiments_left
