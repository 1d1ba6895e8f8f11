"""As `holomorphic.py`, for what PyTorch computes."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gradcheck.rounding.holomorphic import refuse

aten = torch.ops.aten
TORCH = {aten.abs, aten.sgn, aten.angle, aten._conj, aten.conj_physical, aten.linalg_vector_norm, aten.norm, aten.vdot}
TORCH |= {aten.var, aten.std, aten.var_mean, aten.std_mean, aten.linalg_cholesky_ex, aten._linalg_eigh, aten._linalg_svd}
TORCH |= {aten._linalg_slogdet, aten.linalg_qr, aten.linalg_lstsq, aten.linalg_pinv}


class WatchTorch(TorchDispatchMode):
    """The same for all that PyTorch computes inside it."""

    @classmethod
    def _should_skip_dynamo(cls):
        """As for `RoundingNoise`."""
        return False

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function.overloadpacket in TORCH and any(isinstance(a, torch.Tensor) and a.is_complex() for a in arguments):
            refuse(f"torch.{function.overloadpacket.__name__.lstrip('_')}")
        return function(*arguments, **(keywords or {}))
