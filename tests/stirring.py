"""New models with noise on every parameter: residual blocks start as identities, which would hide what they do."""

import torch
from torch import nn


def stirred(module: nn.Module) -> nn.Module:
    """The module itself, after normal noise of deviation 0.05 on all its parameters."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return module
