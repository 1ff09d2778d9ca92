"""How far a model sees: the effective receptive field of one place."""

import torch
from torch import Tensor

from ..models.segmenter import Segmenter
from .region import Region, check_region

DRAWS = 8


def effective_receptive_field(model: Segmenter, image: Tensor, region: Region) -> Tensor:
    """How much the logits of a region depend on each pixel of a picture.

    The derivative by a pixel, as its root mean square over the channels and `DRAWS` random mixtures of the logits.

    Source: Luo et al. 2016, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
    arXiv:1701.04128, section 4.

    Args:
        model: A model that gives masks.
        image: (1, C, H, W) in [0, 1].
        region: Whose logits; best one pixel.

    Returns:
        (H, W), 0 or more.

    Raises:
        UsageError: The region does not lie in the image.
    """
    check_region(region, image)
    image = image.detach().requires_grad_()
    logits = region.crop(model(image)).mean((0, 2, 3))  # (K,)
    draws = 1 if len(logits) == 1 else DRAWS
    mixtures = torch.randn(draws, len(logits), generator=torch.Generator().manual_seed(0)).to(logits)
    mixtures = torch.ones_like(mixtures) if draws == 1 else mixtures
    squares = torch.zeros_like(image[0])
    for mixture in mixtures:
        (gradient,) = torch.autograd.grad(logits @ mixture, image, retain_graph=True)
        squares += gradient[0].square() / draws
    return squares.mean(0).sqrt()


def radius(field: Tensor, region: Region, share: float) -> float:
    """Distance in pixels from the middle of a region within which a share of the sum of a field (H, W) lies.

    >>> field = torch.zeros(9, 9)
    >>> field[4, 4], field[4, 8] = 3.0, 1.0
    >>> radius(field, Region.of_pixel(4, 4), 0.75), radius(field, Region.of_pixel(4, 4), 0.9)
    (0.0, 4.0)
    """
    row, column = region.centre
    rows, columns = (torch.arange(size, device=field.device) for size in field.shape)
    distance = torch.hypot((rows - row)[:, None], (columns - column)[None]).flatten()
    order = distance.argsort()
    within = field.flatten()[order].double().cumsum(0)
    return distance[order[int(torch.searchsorted(within, share * within[-1]))]].item()
