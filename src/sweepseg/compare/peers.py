"""Networks of other packages with random weights, as builders like those of `models.MODELS`.

They can be trained and measured beside ours and nothing more: `predict` works stage by stage and they have none, so
`load` does not know them.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..layers.stages import cropped, padded


class Whole(nn.Module):
    """A network that takes sizes of some multiple only, for pictures of any size.

    Args:
        network: Maps (B, C, H, W) to logits at H x W or at a fraction of it, which are enlarged bilinearly.
        multiple: Pictures are padded to this, below and to the right by replication, and their logits cropped.
        logits: Takes the logits from what the network returns.
        dimensions: 2 for images, 3 for volumes (B, C, D, H, W), whose logits are at their size.
    """

    def __init__(
        self,
        network: nn.Module,
        multiple: int,
        logits: Callable[..., Tensor] = lambda output: output,
        *,
        dimensions: int = 2,
    ):
        super().__init__()
        self.network, self.multiple, self.logits, self.dimensions = network, multiple, logits, dimensions

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, C, H, W) -> logits (B, num_classes, H, W)."""
        enlarged = padded(image, self.multiple)
        logits = self.logits(self.network(enlarged))
        if logits.shape[2:] != enlarged.shape[2:]:
            logits = F.interpolate(logits, size=enlarged.shape[2:], mode="bilinear", align_corners=False)
        return cropped(logits, image.shape[2:])


def smp_unet_resnet18(num_classes: int, in_channels: int = 3) -> nn.Module:
    """U-Net on a ResNet-18, of segmentation-models-pytorch (MIT)."""
    mend_torchvision()
    smp = _package("segmentation_models_pytorch")
    return Whole(smp.Unet("resnet18", encoder_weights=None, in_channels=in_channels, classes=num_classes), 32)


def segformer_b0(num_classes: int, in_channels: int = 3) -> nn.Module:
    """SegFormer-B0, of transformers (Apache-2.0), whose logits are at 1/4 of the picture."""
    mend_torchvision()
    transformers = _package("transformers")
    config = transformers.SegformerConfig(num_channels=in_channels, num_labels=num_classes)  # its other defaults are B0
    return Whole(transformers.SegformerForSemanticSegmentation(config), 32, lambda output: output.logits)


def monai_unet(num_classes: int, in_channels: int = 3) -> nn.Module:
    """U-Net with two residual units a level, of MONAI (Apache-2.0), at the widths of its documentation."""
    return _monai_unet(2, num_classes, in_channels)


def monai_unet_volume(num_classes: int, in_channels: int = 1) -> nn.Module:
    """U-Net for volumes, `monai_unet` in three dimensions."""
    return _monai_unet(3, num_classes, in_channels)


def _monai_unet(dimensions: int, num_classes: int, in_channels: int) -> nn.Module:
    unet = _package("monai.networks.nets").UNet
    widths, strides = (16, 32, 64, 128, 256), (2, 2, 2, 2)
    network = unet(dimensions, in_channels, num_classes, channels=widths, strides=strides, num_res_units=2)
    return Whole(network, 16, dimensions=dimensions)


PEERS: dict[str, Callable[..., nn.Module]] = {
    "smp_unet_resnet18": smp_unet_resnet18,
    "segformer_b0": segformer_b0,
    "monai_unet": monai_unet,
    "monai_unet_volume": monai_unet_volume,
}


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        remedy = 'pip install "sweepseg[peers]" in an environment of its own'
        raise UsageError(f"{missing} is not installed; to compare with it: {remedy}") from None


_declared: list[torch.library.Library] = []  # what is declared lives as long as the library object


def mend_torchvision() -> None:
    """Make torchvision importable, if it is installed, where its compiled operations do not fit this torch.

    PyPI's torchvision beside a CPU torch fails on import, and with it whatever tries it: timm, lightning, torchmetrics.
    All it misses is the declaration of two operations that no segmentation network calls.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operation in ("nms", "qnms"):
            library.define(f"{operation}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        importlib.import_module("torchvision")
