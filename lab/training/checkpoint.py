"""The state of a training as one safetensors file: all that is needed to go on, a run also in the other twin."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gradcheck.errors import UserError, one_line
from gradcheck.report.files import write_bytes
from lab.twins import State


@dataclass(frozen=True)
class Checkpoint:
    """What every training needs to go on.

    `states` holds parameters and running statistics by the name of what was trained. `update` is the number of updates done,
    `generator` the state of the random generator at the start of the epoch (see `Batches`), `seconds` the time that "updates"
    and "records" have taken.
    """

    states: dict[str, State]
    update: int
    generator: dict[str, Any]
    seconds: dict[str, float]

    def is_complete(self) -> bool:
        """Whether the fields hold what is needed to go on."""
        counts = isinstance(self.update, int) and self.update >= 0 and self.seconds.keys() == {"updates", "records"}
        return counts and self.generator.get("bit_generator") == "PCG64" and bool(self.states)


@dataclass(frozen=True)
class RunCheckpoint(Checkpoint):
    """The checkpoint of a run: the states of "manual" or "torch" or both, and the `settings` of the run as JSON."""

    settings: dict[str, Any]

    def state_for(self, implementation: str) -> State:
        """The state of that twin, or of the other where only the other was trained."""
        return self.states.get(implementation) or next(iter(self.states.values()))


@dataclass(frozen=True)
class StackCheckpoint(Checkpoint):
    """The checkpoint of a stack: a state for each candidate, by its number.

    `candidates` says in words what was trained and recorded. `rows` and `diverged` are those of `StackedTraining`.
    """

    candidates: list[Any]
    rows: list[dict[str, Any]]
    diverged: list[int | None]

    def is_complete(self) -> bool:
        return super().is_complete() and self.states.keys() == {str(k) for k in range(len(self.diverged))}


AnyCheckpoint = TypeVar("AnyCheckpoint", bound=Checkpoint)


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the file whole or not at all. Its tensors are named manual.W1, torch.W1 or 0.W1; all else is metadata."""
    tensors = {f"{owner}.{name}": array for owner, state in checkpoint.states.items() for name, array in state.items()}
    write_bytes(path, save(tensors, {name: json.dumps(getattr(checkpoint, name)) for name in metadata_of(type(checkpoint))}))


def read(path: Path, kind: type[AnyCheckpoint]) -> AnyCheckpoint:
    """The checkpoint in a file, a RunCheckpoint or a StackCheckpoint. Raises UserError where the file does not hold one."""
    try:
        with safe_open(path, "numpy") as file:
            metadata = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a dict
        states: dict[str, State] = {}
        for full_name, tensor in tensors.items():
            owner, name = full_name.split(".")
            states.setdefault(owner, {})[name] = tensor
        if metadata.keys() != set(metadata_of(kind)) or not (found := kind(states, **metadata)).is_complete():
            raise ValueError("its metadata are incomplete")
        return found
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a checkpoint of train.py: {one_line(error)}") from error


def metadata_of(kind: type[Checkpoint]) -> list[str]:
    return [field.name for field in fields(kind) if field.name != "states"]
