"""Hold the hand-derived gradient of every parameter against autograd, the complex step and central differences."""

import argparse
import os
import shlex
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.progress import TextColumn

from gradcheck import ENTRYWISE, ORACLES, check_pair, load_pair, overall
from gradcheck.command import EXIT_CODES, Parser, positive, progress_bar, whole_number
from gradcheck.errors import UserError
from gradcheck.report.files import check_writable, write_bytes, write_json
from gradcheck.report.page import page
from gradcheck.report.tables import comparison_summary, network_table, show
from gradcheck.subjects.black_box import BUDGET
from lab import twins
from lab.data import datasets
from lab.network_check import check_network
from lab.options import NETWORK_OPTIONS, add_common_options, add_network_options, chosen_networks, find_device, lambdas
from networks import NAMED, nonzero_state

EXAMPLES = """\
examples:
  python compare.py                              all seven networks
  python compare.py two-layer three-layer-bn     these two
  python compare.py --hidden 100,50 --batch-norm --loss sigmoid
  python compare.py --data cifar10               on the real images, downloaded if they are absent
  python compare.py two-layer --lam 0.005,0.01   one lambda a layer; --lam again for another
  python compare.py two-layer --json - | jq .verdict
  python compare.py --html page.html             a page to look at, one file
  python compare.py --pair mine.py               your own cost and gradient; runs mine.py with your rights

exit codes: 0 every entry verified, 1 an entry is wrong, 3 none wrong but some undecided, 2 could not run
"""


PERCENTAGE = TextColumn("{task.percentage:>3.0f}%")


def parse(arguments):
    parser = Parser(__doc__, EXAMPLES)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"{', '.join(NAMED)} (all)")
    add_network_options(parser)
    parser.add_argument("--batch-size", type=whole_number(1), default=20, metavar="N", help="images (20)")
    parser.add_argument(
        "--lam", type=lambdas, action="append", metavar="L[,L...]", help="lambda, or one a layer (0; 0.01; 0.01,0.02,...)"
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="of the claimed gradient (float64)")
    parser.add_argument("--oracles", type=oracles, default=ORACLES, metavar="NAME,...", help=f"{','.join(ORACLES)} (all)")
    parser.add_argument(
        "--pair",
        action="append",
        metavar="FILE.py",
        help="instead of networks: a file with parameters, cost and gradients, and if you like reference or layers; "
        "it is RUN, WITH YOUR RIGHTS",
    )
    parser.add_argument(
        "--budget", type=positive, metavar="S", help=f"seconds for a pair before its entries are sampled ({BUDGET:g})"
    )
    parser.add_argument("--html", metavar="FILE", help="the result as a page that needs nothing else")
    parser.add_argument("--json", metavar="FILE", help="the result as JSON; - prints it alone on standard output")
    add_common_options(parser)
    options = parser.parse_args(arguments)
    if options.html == "-" or (options.html and options.json and same_file(options.html, options.json)):
        parser.error("--html needs a file of its own")
    if options.budget is not None and not options.pair:
        parser.error("--budget is for --pair")
    if options.pair:
        refuse_network_options(parser, options)
    elif options.hidden is None and not options.networks and not options.batch_norm and not options.loss:
        options.networks = list(NAMED)
    options.networks = [] if options.pair else chosen_networks(parser, options.networks, options)
    return options


def same_file(one, other):
    return os.path.realpath(one) == os.path.realpath(other)


def refuse_network_options(parser, options):
    """A pair brings its own parameters, data and dtype: an option that says otherwise would be ignored."""
    for name in ("networks", *NETWORK_OPTIONS, "batch_size", "lam", "dtype", "data", "data_dir", "device"):
        if getattr(options, name) not in (parser.get_default(name), []):
            raise UserError(f"--pair brings its own cost and data; leave out {name if name == 'networks' else flag(name)}")


def flag(name):
    return "--" + name.replace("_", "-")


def oracles(text):
    chosen = tuple(text.split(","))
    for name in chosen:
        if name not in ORACLES:
            raise argparse.ArgumentTypeError(f"unknown oracle {name!r}; choose from {','.join(ORACLES)}")
    return tuple(oracle for oracle in ORACLES if oracle in chosen)


def default_lambdas(network):
    """None, one for all layers, and another for each: a gradient that takes the lambda of a wrong layer shows only then."""
    return 0.0, 0.01, tuple(0.01 * layer for layer in range(1, network.depth + 1))


def draw_batch(images, options):
    """X (n, 3072) in float64 and y (n,): images of the training part, drawn with the seed."""
    n, available = options.batch_size, len(images.train.labels)
    if n > available:
        raise UserError(f"--batch-size {n} is over the {available:,} images of the training part")
    rows = np.sort(np.random.default_rng(options.seed).choice(available, n, replace=False))
    return images.normalise("train", rows=rows), images.train.labels[rows]


def main(arguments):
    started = time.perf_counter()
    options = parse(arguments)
    for path in (options.json, options.html):
        if path is not None:
            check_writable(path)
    talkative = options.json != "-"
    checks = [pair_check(path, options) for path in options.pair] if options.pair else network_checks(options)
    if talkative and options.dtype == "float32":
        show("float32: the claimed gradient in float32 against derivations in float64 at the same inputs")
    results = []
    for name, entries, run_check in checks:
        with progress_bar(PERCENTAGE) as progress:
            bar = progress.add_task(name, total=entries)
            results.append(run_check(partial(progress.advance, bar)))
        if talkative:
            show(network_table(results[-1].as_json()), "")
    verdict = overall(result.verdict for result in results)
    result = {
        "verdict": verdict,
        "seconds": time.perf_counter() - started,
        "networks": [result.as_json() for result in results],
    }
    if options.json is not None:
        write_json(options.json, result)
    if options.html is not None:
        command = shlex.join(["python", *sys.argv[:1], *arguments])
        write_bytes(options.html, page(result, [each.pictures for each in results], command).encode())
    if talkative:
        show(*comparison_summary(result))
    return EXIT_CODES[verdict]


def network_checks(options):
    """Name, entries to go through, and the check, for each network."""
    device = find_device(options.device)
    images = datasets.load(options.data, options.data_dir, "45000", options.seed)
    X, y = draw_batch(images, options)
    networks = [replace(network, outputs=len(images.classes)) for network in options.networks]
    lambdas_of_each = [options.lam or default_lambdas(network) for network in networks]
    for network, lams in zip(networks, lambdas_of_each, strict=True):
        network.check_batch(len(X))
        for lam in lams:
            network.check_lambda(lam)

    def check_one(network, lams, advance):
        claimed, reference = twins.build(network, nonzero_state(network, seed=options.seed), options.dtype, device)
        return check_network(
            network.name,
            claimed,
            reference,
            X,
            y,
            lams,
            options.oracles,
            advance,
            seed=options.seed,
            pictures=bool(options.html),
        )

    return [
        (network.name, len(set(options.oracles) & set(ENTRYWISE)) * network.parameter_count, partial(check_one, network, lams))
        for network, lams in zip(networks, lambdas_of_each, strict=True)
    ]


def pair_check(path, options):
    """The same for a pair file. What it prints goes to stderr: standard output is for the result."""
    with redirect_stdout(sys.stderr):
        pair, name = load_pair(path), Path(path).stem
    given = {"budget": options.budget} if options.budget else {}
    settings = {"name": name, "oracles": options.oracles, "seed": options.seed, "pictures": bool(options.html)} | given

    def check_one(advance):
        with redirect_stdout(sys.stderr):
            try:
                return check_pair(pair, **settings, advance=advance)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error

    return name, None, check_one
