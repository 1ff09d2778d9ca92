"""What moves the weights: the optimizer, and the penalties on their size."""

import torch
from torch import Tensor, nn

from .settings import Settings


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """The optimizer of the settings; weight decay spares biases and the gains of norms."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    spared = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0
        )
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate)


def penalty(model: nn.Module, *, l1: float, l2: float) -> Tensor | float:
    """``l1`` times the sum of absolute weights plus ``l2`` times the sum of squares; biases and norms are spared.

    >>> penalty(nn.Linear(1, 1), l1=0.0, l2=0.0)
    0.0
    """
    total: Tensor | float = 0.0
    if l1 or l2:
        for weight in (p for p in model.parameters() if p.dim() > 1):
            total = total + l1 * weight.abs().sum() + l2 * weight.square().sum()
    return total
