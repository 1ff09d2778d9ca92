"""Propagation from line to line with three neighbours, as a plain loop differentiated by autograd.

h[t, j] = left[t, j] h[t-1, j-1] + center[t, j] h[t-1, j] + right[t, j] h[t-1, j+1] + update[t, j], 0 outside of the map
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .._sequences import no_autocast, stack_steps, steps, widen


def scan(
    update: Tensor, left: Tensor, center: Tensor, right: Tensor, initial: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The definition of `line_scan`; same arguments, already checked."""
    with no_autocast(update.device):
        *maps, h = widen(update, left, center, right, initial)
        outputs = []
        for x, a, b, c in zip(*(steps(each, reverse) for each in maps), strict=True):
            if h is None:
                h = x
            else:
                padded = F.pad(h, (1, 1))
                h = torch.addcmul(x, a, padded[..., :-2]).addcmul(b, h).addcmul(c, padded[..., 2:])  # (*batch, W)
            outputs.append(h)
        return stack_steps(outputs, update, reverse), h
