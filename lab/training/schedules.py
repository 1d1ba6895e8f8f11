"""The learning rate as a pure function of the update number t = 0, 1, 2, ..."""

from collections.abc import Sequence


def cyclical(t: int, lr_min: float, lr_max: float, step_size: int) -> float:
    """Triangular: lr_min at t = 0, lr_max at t = step_size, lr_min again at 2 step_size, and so on (Smith 2017).

    The same numbers as `torch.optim.lr_scheduler.CyclicLR(base_lr=lr_min, max_lr=lr_max, step_size_up=step_size)`.
    """
    position = t % (2 * step_size) / step_size  # 0 to 2 within a cycle
    return lr_min + (lr_max - lr_min) * (1 - abs(position - 1))


def step_decay(t: int, lr: float, decay_at: Sequence[int]) -> float:
    """lr, divided by 10 from each update of `decay_at` on. Without any, the constant learning rate."""
    return lr / 10 ** sum(t >= update for update in decay_at)
