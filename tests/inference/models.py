"""Models for the tests of prediction: the real network with weights as they were initialised."""

import torch

from sweepseg.models.folder import build
from sweepseg.models.segmenter import ModelConfig, Segmenter


def model(task: str = "binary", classes: int = 2, channels: int = 3, builder: str = "sweepnet_small") -> Segmenter:
    """A segmenter in evaluation mode; the same arguments give the same weights."""
    torch.manual_seed(0)
    return build(
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
