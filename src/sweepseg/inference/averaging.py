"""Averaging what a model says about several views of an image: its mirror image and other sizes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from ..models.segmenter import Segmenter
from .segment import mask_task


class Averaged(nn.Module):
    """A model whose probabilities are the mean over views of the image.

    Args:
        model: What `sweepseg.load` returned.
        flip: Whether to see every view mirrored left-right as well.
        scales: Sizes of the views over that of the image, each more than 0.

    Raises:
        UsageError: No scale, or one that is not more than 0; or the model remembers earlier frames or takes volumes.

    >>> import sweepseg
    >>> model = Averaged(sweepseg.load(sweepseg.bundled_model()), flip=True, scales=(1.0, 1.5))
    >>> model(torch.zeros(1, 3, 20, 30)).shape
    torch.Size([1, 1, 20, 30])
    """

    def __init__(self, model: Segmenter, *, flip: bool = False, scales: Sequence[float] = (1.0,)):
        super().__init__()
        if not scales or min(scales) <= 0:
            raise UsageError(f"scales are {tuple(scales)}; give one or more, each more than 0")
        if model.remembers:
            raise UsageError(
                "a model that remembers earlier frames is not averaged over views; leave out flip and scales"
            )
        if model.volumes:
            raise UsageError("a model for volumes is not averaged over views; leave out flip and scales")
        self.task = mask_task(model)
        self.model, self.flip, self.scales = model, flip, tuple(scales)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, num_classes, H, W) of the mean probabilities, for images (B, C, H, W) in [0, 1]."""
        size = image.shape[-2:]
        views = [self._probabilities(_resized(image, _scaled(size, scale)), size) for scale in self.scales]
        mean = torch.stack(views).mean(0)
        if self.task.name == "multiclass":
            return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
        return mean.logit(eps=torch.finfo(mean.dtype).eps)

    def _probabilities(self, view: Tensor, size: Sequence[int]) -> Tensor:
        seen = self.task.probabilities(self.model(view))
        if self.flip:
            seen = (seen + self.task.probabilities(self.model(view.flip(-1))).flip(-1)) / 2
        return _resized(seen, size)


def _scaled(size: Sequence[int], scale: float) -> list[int]:
    return [max(1, round(length * scale)) for length in size]


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """A map in another size, smoothed where it becomes smaller."""
    if list(x.shape[-2:]) == list(size):
        return x
    return F.interpolate(x, size=list(size), mode="bilinear", antialias=True)
