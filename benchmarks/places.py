"""Where bugs are planted: a network at a batch, or an example. Each says what gradcheck finds there and which peers object."""

import contextlib
import io
import re
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from benchmarks.example_bugs import WORDS, ExampleBug
from benchmarks.peers import Peers, network_cost
from benchmarks.planting import Bug
from gradcheck import check, load_pair
from gradcheck.result import NetworkResult
from lab import twins
from lab.data import datasets
from lab.data.parts import draw_batch
from lab.network_check import check_network, default_lambdas
from manual import passes
from networks import Network, nonzero_state

BATCH = 20

# The result of a check as JSON has it, and whether each peer accepts the gradient.
Judgement = tuple[NetworkResult, dict[str, bool]]


class NetworkPlace:
    """A network of `networks.py` with the parameters and the images that compare.py takes at `seed`."""

    def __init__(self, network: Network, seed: int = 0, slow: bool = True) -> None:
        self.network, self.seed = network, seed
        # Another for each layer, or the peers could not see a gradient that takes the lambda of a wrong one.
        self.lam = tuple(0.01 * layer for layer in range(1, network.depth + 1))
        self.batch = draw_batch(datasets.load("synthetic", "data", "45000", seed), BATCH, seed)
        self.manual, self.torch = twins.build(network, nonzero_state(network, seed=seed))
        X, y = (torch.from_numpy(array) for array in self.batch)
        self.peers = Peers(
            self.manual.parameters,
            cost=lambda parameters: float(passes.cost(network, parameters, *self.batch, self.lam)),
            torch_cost=lambda parameters: network_cost(network, parameters, X, y, self.lam),
            slow=slow,
        )

    def judged(self, bug: Bug | None) -> Judgement:
        """What gradcheck finds and which peers accept the gradient, with `bug` planted; None is the correct one."""
        lams = default_lambdas(self.network)
        with bug.planted(self.network.depth) if bug else contextlib.nullcontext():
            found = check_network(self.network.name, self.manual, self.torch, *self.batch, lams, seed=self.seed).as_json()
            gradients = self.manual.cost_and_gradients(*self.batch, self.lam).gradients
        return found, self.peers.judge(gradients)

    def cause(self, bug: Bug, diagnoses: dict[str, str | None]) -> str:
        return bug.judge(diagnoses)


class ExamplePlace:
    """A module of `examples/`, a pair; a bug has another `source`, with other `gradients(parameters)`.

    An example has the numbers that stand in it, whatever the `seed`.
    """

    def __init__(self, module: ModuleType, seed: int = 0, slow: bool = True) -> None:
        self.module, self.path = module, Path(str(module.__file__))
        self.peers = Peers(
            {name: np.array(array) for name, array in module.parameters.items()},
            cost=lambda parameters: float(module.cost(self._as_in_example(parameters))),
            torch_cost=module.reference,
            slow=slow,
        )

    def _as_in_example(self, parameters: dict[str, np.ndarray]) -> dict[str, Any]:
        """`parameters` as the example has its own: arrays or tensors."""
        tensors = any(isinstance(own, torch.Tensor) for own in self.module.parameters.values())
        return {name: torch.from_numpy(array) for name, array in parameters.items()} if tensors else parameters

    def judged(self, bug: ExampleBug | None) -> Judgement:
        """As that of `NetworkPlace`."""
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            file = Path(folder, self.path.name)
            file.write_text(bug.source if bug else self.path.read_text())
            found = check(*load_pair(file), name=file.stem).as_json()
        gradients = (bug or self.module).gradients(self._as_in_example(self.peers.parameters))
        return found, self.peers.judge({name: np.array(gradient) for name, gradient in gradients.items()})

    def cause(self, bug: ExampleBug, diagnoses: dict[str, str | None]) -> str:
        """As `Bug.judge`, of the kind of the bug; where it has none, each sentence is wrong."""
        said = [sentence for sentence in diagnoses.values() if sentence]
        if not said:
            return "none"
        return "right" if bug.cause and all(re.search(WORDS[bug.cause], sentence) for sentence in said) else "wrong"
