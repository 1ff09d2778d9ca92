"""New models with noise on every parameter: residual blocks start as identities, which would hide what they do."""

import torch
from torch import nn


def stirred(module: nn.Module, deviation: float = 0.05) -> nn.Module:
    """The module itself, after normal noise on all its parameters."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += deviation * torch.randn_like(parameter)
    return module


def as_if_trained(module: nn.Module, deviation: float = 0.05) -> nn.Module:
    """The module itself in evaluation mode, all of whose weights and statistics matter."""
    for part in stirred(module, deviation).modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return module.eval()
