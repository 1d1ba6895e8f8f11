"""A run's state as one safetensors file: all that is needed to go on, in the same twin or in the other."""

import json
from dataclasses import dataclass

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gradcheck.errors import UserError
from gradcheck.report.files import write_bytes


@dataclass(frozen=True)
class Checkpoint:
    """`states` holds the parameters and running statistics of each twin, "manual" or "torch" or both, by name.

    `update` is the number of updates done, `generator` the state of the random generator at the start of the epoch (see
    `Batches`), `seconds` the time trained so far, `settings` those of the run as JSON.
    """

    states: dict
    update: int
    generator: dict
    seconds: dict
    settings: dict

    def state_for(self, implementation):
        """The state of that twin, or of the other where only the other was trained."""
        return self.states.get(implementation) or next(iter(self.states.values()))


METADATA = ("update", "generator", "seconds", "settings")


def write(path, checkpoint):
    """Writes the file whole or not at all. Its tensors are named manual.W1, or torch.W1."""
    tensors = {f"{twin}.{name}": array for twin, state in checkpoint.states.items() for name, array in state.items()}
    write_bytes(path, save(tensors, {name: json.dumps(getattr(checkpoint, name)) for name in METADATA}))


def read(path):
    """The Checkpoint in a file. Raises UserError where the file is not one."""
    try:
        with safe_open(path, "numpy") as file:
            metadata = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a dict
        states = {}
        for full_name, tensor in tensors.items():
            twin, name = full_name.split(".")
            states.setdefault(twin, {})[name] = tensor
        found = Checkpoint(states, **metadata)
        parts = found.generator.get("bit_generator") == "PCG64", found.seconds.keys() == {"updates", "records"}, found.states
        if not (isinstance(found.update, int) and found.update >= 0 and all(parts)):
            raise ValueError("its metadata are not whole")
        return found
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a checkpoint of train.py: {' '.join(str(error).split())}") from error
