"""Where bugs are planted: a network at a batch, or an example. Each tells what compare.py finds there and who else objects."""

import contextlib
import io
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.example_bugs import WORDS
from benchmarks.peers import Peers, network_cost
from lab import twins
from lab.cli import compare
from lab.data import datasets
from lab.network_check import draw_batch
from manual import mlp
from networks import NAMED, nonzero_state

BATCH = 20


class NetworkPlace:
    """A network of `networks.py` with the images that compare.py draws at `seed`."""

    def __init__(self, network, seed=0, slow=True):
        self.network, self.seed = network, seed
        # Another for each layer, or the peers could not see a gradient that takes the lambda of a wrong one.
        self.lam = tuple(0.01 * layer for layer in range(1, network.depth + 1))
        images = datasets.load("synthetic", None, "45000", seed)
        self.batch = draw_batch(images, BATCH, seed)
        self.manual, _ = twins.build(network, nonzero_state(network, seed=seed))
        tensors = [torch.from_numpy(array) for array in self.batch]
        self.peers = Peers(
            self.manual.parameters,
            cost=lambda parameters: float(mlp.cost(network, parameters, *self.batch, self.lam)),
            torch_cost=lambda parameters: network_cost(network, parameters, *tensors, self.lam),
            slow=slow,
        )

    def judged(self, bug):
        """What compare.py finds and which peers accept the gradient, with `bug` planted; None is the correct one."""
        with bug.planted(self.network.depth) if bug else contextlib.nullcontext():
            found = found_by_compare(*arguments(self.network), "--batch-size", str(BATCH), "--seed", str(self.seed))
            gradients = self.manual.cost_and_gradients(*self.batch, self.lam).gradients
        return found, self.peers.judge(gradients)

    def cause(self, bug, diagnoses):
        return bug.judge(diagnoses)


class ExamplePlace:
    """A module of `examples/`, a pair for compare.py; a bug has another `source`, with other `gradients(parameters)`.

    `seed` means nothing to it.
    """

    def __init__(self, module, seed=0, slow=True):
        self.source = Path(module.__file__).read_text()
        self.module = module
        self.peers = Peers(
            {name: np.array(array) for name, array in module.parameters.items()},
            cost=lambda parameters: float(module.cost(self._own(parameters))),
            torch_cost=module.reference,
            slow=slow,
        )

    def _own(self, parameters):
        """`parameters` as the example has its own: arrays or tensors."""
        tensors = any(isinstance(own, torch.Tensor) for own in self.module.parameters.values())
        return {name: torch.from_numpy(array) for name, array in parameters.items()} if tensors else parameters

    def judged(self, bug):
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder, f"{Path(self.module.__file__).stem}.py")
            pair.write_text(bug.source if bug else self.source)
            found = found_by_compare("--pair", str(pair))
        gradients = (bug or self.module).gradients(self._own(self.peers.parameters))
        return found, self.peers.judge({name: np.array(gradient) for name, gradient in gradients.items()})

    def cause(self, bug, diagnoses):
        """As `Bug.judge`, of the kind of the bug; where it has none, each sentence is wrong."""
        said = [sentence for sentence in diagnoses.values() if sentence]
        if not said:
            return "none"
        return "right" if bug.cause and all(re.search(WORDS[bug.cause], sentence) for sentence in said) else "wrong"


def arguments(network):
    """The arguments that describe `network` to compare.py."""
    if NAMED.get(network.name) == network:
        return [network.name]
    hidden = ["--hidden", ",".join(map(str, network.hidden))]
    return [*hidden, "--loss", network.loss, *["--batch-norm"] * network.batch_norm]


def found_by_compare(*arguments):
    """The first network of the JSON of compare.py in this process, which shows nothing."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        compare.main([*arguments, "--json", "-"])
    return json.loads(out.getvalue())["networks"][0]
