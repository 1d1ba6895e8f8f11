"""compare.py: the networks of the course with their twins, or pairs of cost and gradient, are checked."""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from gradcheck import ENTRYWISE, CheckResult
from gradcheck.arrays import Array
from gradcheck.cli import PlannedCheck, add_check_options, check_outputs, pair_checks, run_checks
from gradcheck.command import Parser, whole_number
from gradcheck.errors import UserError
from gradcheck.subject import Advance
from lab.options import NETWORK_OPTIONS, add_common_options, add_network_options, chosen_networks, find_device, lambdas
from networks import NAMED, Network, initial_state, nonzero_state

DESCRIPTION = "Compare the claimed gradient of every parameter with autograd, the complex step and central differences."
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

# A pair brings its own parameters, data and dtype: an option that says otherwise would be ignored.
OPTIONS_OF_NETWORKS = ("networks", *NETWORK_OPTIONS, "batch_size", "lam", "dtype", "data", "data_dir", "device")

# The batch size of the walk, if that of the check is less: a few images may all be in one piece of a product.
WALKED = 150


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(DESCRIPTION, EXAMPLES)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"{', '.join(NAMED)} (all)")
    add_network_options(parser)
    parser.add_argument("--batch-size", type=whole_number(1), default=20, metavar="N", help="images (20)")
    parser.add_argument(
        "--lam", type=lambdas, action="append", metavar="L[,L...]", help="lambda, or one a layer (0; 0.01; 0.01,0.02,...)"
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="of the claimed gradient (float64)")
    parser.add_argument(
        "--pair",
        action="append",
        metavar="FILE.py",
        help="instead of networks: a file with parameters, cost and gradients, and if you like reference or layers; "
        "it is RUN, WITH YOUR RIGHTS",
    )
    add_check_options(parser)
    add_common_options(parser)
    options = parser.parse_args(arguments)
    check_outputs(parser, options)
    if options.budget is not None and not options.pair:
        parser.error("--budget is for --pair")
    if options.quick and not options.pair:
        parser.error("--quick is for --pair")
    if options.tolerance and not options.pair:
        parser.error("--tolerance is for --pair")
    if options.pair:
        refuse_options_of_networks(parser, options)
    elif options.hidden is None and not options.networks and not options.batch_norm and not options.loss:
        options.networks = list(NAMED)
    options.networks = [] if options.pair else chosen_networks(parser, options.networks, options)
    return options


def refuse_options_of_networks(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    for name in OPTIONS_OF_NETWORKS:
        if getattr(options, name) not in (parser.get_default(name), []):
            flag = name if name == "networks" else f"--{name.replace('_', '-')}"
            raise UserError(f"--pair brings its own cost and data; leave out {flag}")


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    checks = pair_checks(options) if options.pair else network_checks(options)
    in_float32 = "float32: the claimed gradient in float32 is compared with derivations in float64 at the same inputs"
    heading = in_float32 if options.dtype == "float32" else ""
    return run_checks(checks, options, shlex.join(["python", *sys.argv[:1], *arguments]), heading)


def walks(
    network: Network, lam: Sequence[float], options: argparse.Namespace, device: str, X: Array, y: Array, batch_size: int
) -> list[str]:
    """A sentence on each twin, and each stack of two, that does not walk as PyTorch does; `lam` is one lambda a layer."""
    from lab.walking.beside_pytorch import walk
    from lab.walking.walker import walker_of_stack, walker_of_twin

    states = [initial_state(network, seed=options.seed + k) for k in range(2)]
    lams = np.outer(lam, (1, 2))  # (depth, 2)
    walkers = [
        walker
        for twin in ("manual", "torch")
        for walker in (
            walker_of_twin(twin, network, states[0], lam, options.dtype, device),
            walker_of_stack(twin, network, states, lams, options.dtype, device),
        )
    ]
    found = [walk(walker, X, y, batch_size, flip=True, seed=options.seed) for walker in walkers]
    return [sentence for sentence in found if sentence]


def network_checks(options: argparse.Namespace) -> list[PlannedCheck]:
    """The checks of the networks that the options name, all at one batch of images."""
    from lab import twins
    from lab.data import datasets
    from lab.data.parts import draw_batch
    from lab.network_check import check_network, default_lambdas
    from lab.walking.beside_pytorch import images_needed

    device = find_device(options.device)
    images = datasets.load(options.data, options.data_dir, "45000", options.seed)
    X, y = draw_batch(images, options.batch_size, options.seed)
    walked = max(WALKED, options.batch_size)
    pool = draw_batch(images, min(images_needed(walked), len(images.train.labels)), options.seed)

    def check_one(network: Network, lams: Sequence, advance: Advance) -> CheckResult:
        started = time.perf_counter()
        claimed, reference = twins.build(network, nonzero_state(network, seed=options.seed), options.dtype, device)
        settings = {"oracles": options.oracles, "seed": options.seed, "pictures": bool(options.html)}
        result = check_network(network.name, claimed, reference, X, y, lams, advance=advance, **settings)
        if result.verdict != "fail":
            result = result.with_faults(walks(network, lams[-1], options, device, *pool, walked))
        return replace(result, seconds=time.perf_counter() - started)

    checks, oracles = [], len(set(options.oracles) & set(ENTRYWISE))
    for named in options.networks:
        network = replace(named, outputs=len(images.classes))
        lams = [network.lambdas(lam) for lam in options.lam or default_lambdas(network)]
        network.check_batch(len(X))
        checks.append(PlannedCheck(network.name, oracles * network.parameter_count, partial(check_one, network, lams)))
    return checks
