"""Models whose derivatives can be worked out by hand."""

import torch
from torch import nn

from sweepseg.models.segmenter import ModelConfig, Segmenter


def segmenter(network: nn.Module, task: str = "binary", classes: int = 2, mean=(0.5,), std=(1.0,)) -> Segmenter:
    """A model around a network."""
    names = tuple(f"class{k}" for k in range(classes))
    config = ModelConfig(builder="none", task=task, classes=names, palette=((0, 0, 0),) * classes, mean=mean, std=std)
    return Segmenter(network, config).eval()


class Sum3x3(nn.Sequential):
    """Convolutions of 3 x 3 ones, padded with zeros."""

    def __init__(self, count: int, logits: int = 1):
        super().__init__(*(nn.Conv2d(1, 1 if i < count - 1 else logits, 3, padding=1) for i in range(count)))
        for layer in self:
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


class Weighted(nn.Module):
    """Logit k is the sum over channels of ``weights[k]`` (C, H, W) times the picture, the same at every pixel."""

    def __init__(self, weights: torch.Tensor):
        super().__init__()
        self.weights = weights

    def forward(self, x):
        logits = torch.einsum("kchw,bchw->bk", self.weights, x)
        return logits[..., None, None].expand(-1, -1, *x.shape[-2:])
