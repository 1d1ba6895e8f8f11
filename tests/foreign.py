"""Arrays that are as strict as CuPy's: NumPy's functions work on them, NumPy's arrays beside them do not.

They stand in for a GPU: code that runs on them needs only what CuPy has. That `take` has no `mode`, and the list of functions,
are as in CuPy 14.
"""

import operator

import numpy as np

FUNCTIONS = {np.take, np.copyto, np.where, np.arange}


class Array(np.lib.mixins.NDArrayOperatorsMixin):
    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, *arguments, **options):
        raise TypeError("implicit conversion to a NumPy array; use get()")

    def __array_ufunc__(self, ufunc, method, *inputs, out=(None,), **options):
        assert method == "__call__"
        return wrapped(ufunc(*map(bare, inputs), out=None if out[0] is None else bare(out[0]), **options), out[0])

    def __array_function__(self, function, types, arguments, options):
        if function not in FUNCTIONS or "mode" in options:
            return NotImplemented
        bound = {name: bare(value) for name, value in options.items()}
        return wrapped(function(*map(bare, arguments), **bound), options.get("out"))

    def __getitem__(self, index):
        return wrapped(self.values[bare_index(index)])

    def __setitem__(self, index, value):
        self.values[bare_index(index)] = bare(value)

    def __len__(self):
        return len(self.values)

    def __float__(self):
        return float(self.values)

    def get(self):
        return self.values.copy()

    def reshape(self, *shape):
        return Array(self.values.reshape(*shape))

    shape, dtype, ndim, size = (property(operator.attrgetter(f"values.{name}")) for name in ("shape", "dtype", "ndim", "size"))
    real = property(lambda self: Array(self.values.real))


def delegate(name):
    return lambda self, *arguments, **options: wrapped(getattr(self.values, name)(*arguments, **options))


for name in ("sum", "mean", "max", "argmax", "swapaxes"):
    setattr(Array, name, delegate(name))


def bare(value):
    """The NumPy array inside. Like CuPy, this raises where an array of NumPy's comes in."""
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("unsupported type numpy.ndarray")
    return value.values if isinstance(value, Array) else value


def bare_index(index):
    return tuple(map(bare, index)) if isinstance(index, tuple) else bare(index)


def wrapped(result, out=None):
    if out is not None:
        return out
    return Array(result) if isinstance(result, np.ndarray | np.generic) else result


def asarray(values, dtype=None):
    values = values.get() if isinstance(values, Array) else values
    return Array(np.array(values, dtype))


array = asarray


def empty(shape, dtype):
    return Array(np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 0, dtype))
