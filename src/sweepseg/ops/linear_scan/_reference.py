"""h[t] = decay[t] * h[t-1] + update[t], as a plain loop differentiated by autograd."""

import torch
from torch import Tensor

from .._sequences import no_autocast, stack_steps, steps, widen


def scan(decay: Tensor, update: Tensor, initial: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
    """The definition of `linear_scan`; same arguments, already checked."""
    with no_autocast(update.device):
        wide_update, wide_decay, h = widen(update, decay, initial)
        outputs = []
        for a, b in zip(steps(wide_decay, reverse), steps(wide_update, reverse), strict=True):
            h = b if h is None else torch.addcmul(b, a, h)  # (*batch, C)
            outputs.append(h)
        return stack_steps(outputs, update, reverse), h
