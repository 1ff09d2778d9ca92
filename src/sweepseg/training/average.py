"""Exponential moving average of a model's weights."""

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, decay: float, step: int) -> None:
    """Move ``average`` towards ``model``: average = d average + (1 - d) model, buffers of batch norm included.

    Args:
        average: A copy of the model; changed in place.
        model: The model after optimizer step ``step``.
        decay: Largest d; early on d = (1 + step) / (10 + step), so that the first weights are soon forgotten.
        step: Optimizer steps done before this one.

    Source: Polyak & Juditsky 1992, Acceleration of stochastic approximation by averaging; the growing d is that of
    TensorFlow's `tf.train.ExponentialMovingAverage`.
    """
    d = min(decay, (1 + step) / (10 + step))
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - d)
        else:
            old.copy_(new)
