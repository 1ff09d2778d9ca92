"""Which pixels of a picture decided what a model says of one place in it."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import UsageError
from ..models.segmenter import Segmenter
from .region import Region, check_region

STEPS = 32  # points on the way of integrated gradients


def attribute(
    model: Segmenter,
    image: Tensor,
    region: Region,
    class_index: int | None = None,
    *,
    method: Literal["saliency", "integrated_gradients"] = "integrated_gradients",
) -> Tensor:
    """How much each pixel counts for the mean logit of a class over a region.

    Saliency is the largest absolute derivative among the channels. Integrated gradients are the difference from a
    picture of the training set's mean colour times the mean derivative on the straight way from it, summed over the
    channels; over all pixels they add up to the difference of the two pictures' logits, but for the error of `STEPS`
    points.

    Source: Simonyan et al. 2013, arXiv:1312.6034 (saliency); Sundararajan et al. 2017, "Axiomatic Attribution for Deep
    Networks", arXiv:1703.01365 (integrated gradients); both as in Captum.

    Args:
        model: A model that gives masks.
        image: (1, C, H, W) in [0, 1].
        region: The pixels whose class is in question.
        class_index: Index of the class; by default the one that most pixels of the region get.
        method: What to compute.

    Returns:
        (H, W); of either sign for integrated gradients, 0 or more for saliency.

    Raises:
        UsageError: Captum is not installed, or the region does not lie in the image.
    """
    captum = _import_captum()
    check_region(region, image)
    logit = logit_of(model, region, class_of(model, image, region) if class_index is None else class_index)
    image = image.detach().requires_grad_()
    if method == "saliency":
        return captum.Saliency(logit).attribute(image)[0].amax(0)
    baseline = model.mean.expand_as(image).contiguous()
    found = captum.IntegratedGradients(logit).attribute(image, baseline, n_steps=STEPS, internal_batch_size=1)
    return found[0].sum(0).detach()


def _import_captum() -> Any:
    try:
        import captum.attr
    except ImportError:
        raise UsageError('captum is not installed; pip install "sweepseg[explain]"') from None
    return captum.attr


def class_of(model: Segmenter, image: Tensor, region: Region) -> int:
    """The class that most pixels of a region get; of multilabel models the one with the highest mean logit."""
    with torch.no_grad():
        logits = region.crop(model(image))[0]  # (K, h, w)
    if model.config.task == "binary":
        return int((logits > 0).float().mean() > 0.5)
    if model.config.task == "multilabel":
        return int(logits.mean((1, 2)).argmax())
    return int(logits.argmax(0).flatten().bincount().argmax())


def logit_of(model: Segmenter, region: Region, class_index: int) -> Callable[[Tensor], Tensor]:
    """Map images (B, C, H, W) to a class's mean logit (B,) over a region; of a binary background minus the object's."""

    def logit(image: Tensor) -> Tensor:
        logits = region.crop(model(image))  # (B, K, h, w)
        if model.config.task == "binary":
            return (2 * class_index - 1) * logits.mean((1, 2, 3))
        return logits[:, class_index].mean((1, 2))

    return logit
