"""Models for the tests of prediction: the real network with random weights, which sees all classes in noise."""

import torch
from stirring import as_if_trained
from torch import nn

from sweepseg.models.folder import build
from sweepseg.models.segmenter import ModelConfig, Segmenter

CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d


def model(
    task: str = "binary", classes: int = 2, channels: int = 3, builder: str = "sweepnet_small", seed: int = 0
) -> Segmenter:
    """A segmenter in evaluation mode; the same arguments give the same weights."""
    torch.manual_seed(seed)
    segmenter = build(
        ModelConfig(
            builder=builder,
            arguments={"num_classes": 1 if task == "binary" else classes, "in_channels": channels},
            task=task,
            classes=tuple(f"class{i}" for i in range(classes)),
            palette=tuple((i, 10 * i, 255 - i) for i in range(classes)),
            mean=(0.5,) * channels,
            std=(0.25,) * channels,
        )
    ).eval()
    noise = torch.rand(1, channels, *((16, 16, 16) if segmenter.volumes else (64, 64)))
    with torch.no_grad():
        last = [*as_if_trained(segmenter.network).stages.values()][-1]
        bias = [module.bias for module in last.modules() if isinstance(module, CONVOLUTIONS)][-1]
        bias -= segmenter(noise).mean((0, *range(2, noise.dim())))
    return segmenter


def told_model() -> Segmenter:
    """A segmenter of task referring that knows two words, in evaluation mode."""
    torch.manual_seed(0)
    segmenter = build(
        ModelConfig(
            builder="sweepnet_referring",
            arguments={"num_classes": 1, "in_channels": 3, "num_words": 4},
            task="referring",
            classes=("background", "object"),
            palette=((0, 0, 0), (128, 0, 0)),
            mean=(0.5,) * 3,
            std=(0.25,) * 3,
            words=("hat", "red"),
        )
    )
    network = as_if_trained(segmenter.network)
    with torch.no_grad():
        network.head.project.bias -= segmenter(torch.rand(1, 3, 16, 24), torch.tensor([[3, 2]])).mean()
    return segmenter.eval()
