"""Several networks of one shape at once, in NumPy: every array of the state has a leading axis, one entry a network.

Read beside `models/stack.py`. The layers take the leading axis as it comes: nothing is derived anew.
"""

from manual.device import to_numpy
from manual.mlp import MLP
from networks import Evaluation


class Stack(MLP):
    """C networks of one shape, each from its own state of the list `states`; they see the same batches."""

    def load_state(self, states):
        """Copies the states, by name. Raises UserError where a name or shape is not the network's."""
        for state in states:
            self.network.check_state(state)
        self.stacked = (len(states),)
        stack = lambda shapes: {  # noqa: E731
            name: self.xp.stack([self.xp.asarray(state[name], self.dtype) for state in states]) for name in shapes
        }
        self.parameters = stack(self.network.parameter_shapes())
        self.statistics = stack(self.network.statistic_shapes())

    def states(self):
        """The state of each network, as NumPy arrays by name."""
        arrays = {name: to_numpy(array) for name, array in (self.parameters | self.statistics).items()}
        return [{name: array[k].copy() for name, array in arrays.items()} for k in range(*self.stacked)]

    def train_step(self, X, y, lam, lr):
        """One update of each at X (n, d), y (n,). `lam` (depth, C), `lr` (C,). Returns losses and costs before it, (C,)."""
        return tuple(map(to_numpy, self._update(X, y, self.array(lam), self.array(lr))))

    def evaluate(self, X, y, lam):
        """The losses, costs and accuracies, (C,) each, at X (n, d), y (n,), in evaluation mode."""
        return Evaluation(*map(to_numpy, self._evaluation(X, y, self.array(lam))))
