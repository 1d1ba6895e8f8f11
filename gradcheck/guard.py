"""The check may change nothing: parameters, buffers, data and random generators are bit for bit what they were."""

import random
from contextlib import contextmanager

import numpy as np
import torch


def fingerprint(arrays):
    """The exact bits of the named arrays and of every global random generator, by name."""
    bits = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays().items()}
    bits["Python's random generator"] = repr(random.getstate()).encode()
    bits["NumPy's random generator"] = repr([part if np.isscalar(part) else part.tolist() for part in np.random.get_state()])
    bits["PyTorch's random generator"] = torch.get_rng_state().numpy().tobytes()
    if torch.cuda.is_initialized():
        bits["CUDA's random generators"] = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    return bits


@contextmanager
def watch(arrays):
    """Yields a list; afterwards it names what differs of all that `arrays()` returns, a dict by name, and of the generators."""
    changed = []
    before = fingerprint(arrays)
    yield changed
    after = fingerprint(arrays)
    changed += [name for name in before | after if before.get(name) != after.get(name)]
