"""As `holomorphic.py` and `continuation.py`, for what PyTorch computes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradcheck.rounding.continuation import refuse
from gradcheck.rounding.torch_private import Operator, OperatorMode, has_complex_derivative, name_of, pieces_of, public_name


class HolomorphicMode(OperatorMode):
    """Inside it PyTorch computes complex derivatives, or raises UserError where there are none."""

    def run(self, operator: Operator, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """The result of the operator, continued to complex numbers where PyTorch does not."""
        if not any(map(is_complex, tensors_in(arguments))):
            return operator(*arguments, **keywords)
        return without_overflow(self.continued(operator, arguments, keywords))

    def continued(self, operator: Operator, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        continued = CONTINUED.get(name_of(operator))
        if continued is not None:
            return continued(*arguments, **keywords)
        if not has_complex_derivative(operator):
            refuse(public_name(operator))
        # A product takes no complex matrix beside a real one.
        arguments = tuple(map(with_complex_tensors, arguments))
        try:
            return operator(*arguments, **keywords)
        except RuntimeError:
            pieces = pieces_of(operator)
            if pieces is None:
                raise
        with self:
            return pieces(*arguments, **keywords)


def is_complex(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_complex()


def tensors_in(arguments: Any) -> list[Any]:
    """The arguments, those in lists among them."""
    return [part for argument in arguments for part in (argument if isinstance(argument, list | tuple) else [argument])]


def with_complex_tensors(argument: Any) -> Any:
    """The argument, a floating tensor as a complex one."""
    if isinstance(argument, list | tuple):
        return type(argument)(map(with_complex_tensors, argument))
    is_floating = isinstance(argument, Tensor) and argument.is_floating_point()
    return argument.to(torch.complex128) if is_floating else argument


def without_overflow(value: Any) -> Any:
    """The value, without an imaginary part where the real one is infinite, see `continuation.py`."""
    if not is_complex(value) or not torch.isinf(value.real).any():
        return value
    return value.copy_(torch.where(torch.isinf(value.real), torch.complex(value.real, torch.zeros_like(value.real)), value))


def real(value: Any) -> Any:
    return value.real if is_complex(value) else value


def absolute(z: Tensor) -> Tensor:
    return torch.where(z.real >= 0, z, -z)  # at 0 as from the right, see `continuation.py`


def relu(z: Tensor) -> Tensor:
    return torch.where(z.real > 0, z, torch.zeros_like(z))


def compared(comparison: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A comparison of real parts."""
    return lambda x, y: comparison(real(x), real(y))


def constant_in_pieces(jumping: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda z, *others, **keywords: jumping(real(z), *map(real, others), **keywords) + 0j


def maximum(x: Any, y: Any) -> Tensor:
    return torch.where(real(x) >= real(y), x, y)


def minimum(x: Any, y: Any) -> Tensor:
    return torch.where(real(x) <= real(y), x, y)


def clamp(z: Tensor, lowest: Any = None, highest: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    lowest, highest = (min if lowest is None else lowest), (max if highest is None else highest)
    for bound, is_beyond in ((lowest, torch.lt), (highest, torch.gt)):
        if bound is not None:
            bound = torch.as_tensor(bound, dtype=z.dtype)
            z = torch.where(is_beyond(z.real, bound.real), bound, z)
    return z


def chosen(choose: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Of `amax` or `amin`: the entries whose real part is the largest or smallest over some dimensions."""

    def over(z: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
        dims = [dim] if isinstance(dim, int) else list(dim) or list(range(z.ndim))
        moved = z.movedim([d % z.ndim for d in dims], list(range(-len(dims), 0))).flatten(-len(dims))
        found = moved.gather(-1, choose(moved.real, -1, keepdim=True)).squeeze(-1)
        for d in sorted(d % z.ndim for d in dims) if keepdim else ():
            found = found.unsqueeze(d)
        return found

    return over


def with_indices(choose: Callable[..., Tensor]) -> Callable[..., Any]:
    """Of `max` or `min`: of all entries, or along a dimension with the indices."""

    def over(z: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            return z.flatten()[choose(z.real)]
        indices = choose(z.real, dim, keepdim=True)
        found = z.gather(dim, indices)
        return (found, indices) if keepdim else (found.squeeze(dim), indices.squeeze(dim))

    return over


def sort(z: Tensor, dim: int = -1, descending: bool = False, **keywords: Any) -> tuple[Tensor, Tensor]:
    indices = z.real.sort(dim=dim, descending=descending).indices
    return z.gather(dim, indices), indices


def norm(z: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    dims = tuple(range(z.ndim)) if dim is None else tuple([dim] if isinstance(dim, int) else dim)
    if ord == float("inf"):
        return chosen(torch.argmax)(absolute(z), dims, keepdim)
    powers = z * z if ord == 2 else absolute(z) ** ord
    return powers.sum(dim=dims, keepdim=keepdim) ** (1 / ord)


def var_mean(z: Tensor, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    dims = tuple(range(z.ndim)) if dim is None else tuple([dim] if isinstance(dim, int) else dim)
    mean = z.mean(dim=dims, keepdim=True)
    degrees = z.numel() // mean.numel() - (1 if correction is None else correction)
    found = ((z - mean) ** 2).sum(dim=dims, keepdim=keepdim) / degrees
    return found, mean.reshape(found.shape)


def var(*arguments: Any, **keywords: Any) -> Tensor:
    return var_mean(*arguments, **keywords)[0]


def std_mean(*arguments: Any, **keywords: Any) -> tuple[Tensor, Tensor]:
    squares, mean = var_mean(*arguments, **keywords)
    return squares.sqrt(), mean


def std(*arguments: Any, **keywords: Any) -> Tensor:
    return var(*arguments, **keywords).sqrt()


def sigmoid(z: Tensor) -> Tensor:
    exp = torch.exp(-absolute(z))
    return torch.where(z.real >= 0, torch.ones_like(z), exp) / (1 + exp)


def log1p(z: Tensor) -> Tensor:
    return torch.complex(torch.log1p(z.real), z.imag / (1 + z.real))


def expm1(z: Tensor) -> Tensor:
    return torch.complex(torch.expm1(z.real), z.imag * torch.exp(z.real))


def logaddexp(x: Tensor, y: Tensor) -> Tensor:
    x, y = x + 0j, y + 0j
    value = torch.logaddexp(x.real, y.real)
    return torch.complex(value, torch.exp(x.real - value) * x.imag + torch.exp(y.real - value) * y.imag)


CONTINUED: dict[str, Callable[..., Any]] = {
    "abs": absolute,
    "relu": relu,
    "maximum": maximum,
    "minimum": minimum,
    "clamp": clamp,
    "clamp_min": lambda z, lowest: clamp(z, lowest),
    "clamp_max": lambda z, highest: clamp(z, None, highest),
    "amax": chosen(torch.argmax),
    "amin": chosen(torch.argmin),
    "max": with_indices(torch.argmax),
    "min": with_indices(torch.argmin),
    "argmax": lambda z, *arguments, **keywords: torch.argmax(z.real, *arguments, **keywords),
    "argmin": lambda z, *arguments, **keywords: torch.argmin(z.real, *arguments, **keywords),
    "sort": sort,
    "linalg_vector_norm": norm,
    "var": var,
    "std": std,
    "var_mean": var_mean,
    "std_mean": std_mean,
    "conj": torch.clone,
    "conj_physical": torch.clone,
    "sigmoid": sigmoid,
    "logaddexp": logaddexp,
    "log1p": log1p,
    "expm1": expm1,
    **{name: constant_in_pieces(getattr(torch, name)) for name in ("sign", "floor", "ceil", "round", "trunc", "floor_divide")},
    "sgn": constant_in_pieces(torch.sign),
    **{name: compared(getattr(torch, name)) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
}
