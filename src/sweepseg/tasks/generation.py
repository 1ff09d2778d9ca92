"""Every pixel is to be foretold from those before it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from ..errors import UsageError
from .checks import check_finite
from .task import Rows, Task


@dataclass(frozen=True)
class Generation(Task):
    """The probability of a picture, as a product over its pixels and channels: logits (B, num_classes, C, H, W).

    Args:
        num_classes: Values that a channel of a pixel can have, 2 to 256.
        ignore_index: Value of pixels that do not count.

    Raises:
        UsageError: ``num_classes`` is not 2 to 256.

    >>> Generation(2).decode(torch.zeros(1, 2, 1, 1, 1)).exp().flatten()
    tensor([0.5000, 0.5000])
    """

    num_classes: int
    ignore_index: int = -1
    name = "generation"
    family = "generation"
    outlined = False
    scores: ClassVar = {
        "log_likelihood": "log-likelihood",  # more is better
        "nats": "nats a picture",
        "bits_per_dim": "bits a value",
    }
    without = frozenset(
        {
            *("crop", "scale", "flip", "flip_vertical", "rotate", "colour", "blur", "noise", "oversample_foreground"),
            *("cutmix", "clip_length", "teacher", "labels", "consistency", "loss", "class_weights", "label_smoothing"),
        }
    )

    def __post_init__(self):
        if not 2 <= self.num_classes <= 256:
            raise UsageError(f"{self.num_classes} values for task generation; give 2 to 256")

    def decode(self, logits: Tensor) -> Tensor:
        """Logarithm of the probability of each value in float32, (B, num_classes, C, H, W).

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_finite(logits, ("batch", self.num_logits, "channels", "rows", "columns"))
        return logits.float().log_softmax(1)

    def loss(
        self, terms: Mapping[str, float], class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Nats a picture: minus the logarithm of its probability, the mean over the batch."""

        def nats(logits: Tensor, target: Tensor) -> Tensor:
            summed = F.cross_entropy(logits.float(), target, ignore_index=self.ignore_index, reduction="sum")
            return summed / len(target)

        return nats

    def metric(self) -> "Likelihood":
        """The metric that takes what ``decode`` returns and the target."""
        return Likelihood(self.ignore_index)

    def batch(self, images: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Pictures of one size.

        Raises:
            UsageError: They differ in size or channels.
        """
        for image, target in zip(images, targets, strict=True):
            if not image.shape == target.shape == images[0].shape:
                shapes = f"{tuple(image.shape)} and {tuple(target.shape)} beside {tuple(images[0].shape)}"
                raise UsageError(f"the pictures are of several shapes, {shapes}; resize and convert them to one")
        return super().batch(images, targets)

    def report(self, scores: Mapping[str, Tensor], classes: Sequence[str]) -> list[Rows | str]:
        """Nats a picture and bits a value."""
        return [f"{scores['nats'].item():.2f} nats a picture, {scores['bits_per_dim'].item():.4f} bits a value"]

    @classmethod
    def headline(cls, scores: Mapping[str, float]) -> str:
        """Nats a picture, such as "82.10 nats a picture"; nothing if they are not there."""
        return f"{scores['nats']:.2f} nats a picture" if "nats" in scores else ""


class Likelihood(Metric):
    """How likely pictures are: nats a picture, and bits for each of its values.

    Args:
        ignore_index: Value of pixels that do not count.
    """

    nats: Tensor
    pictures: Tensor
    values: Tensor

    def __init__(self, ignore_index: int = -1):
        super().__init__()
        self.ignore_index = ignore_index
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pictures", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("values", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, log_probabilities: Tensor, target: Tensor) -> None:
        """Add pictures: (B, K, C, H, W) and values int64 (B, C, H, W)."""
        log_p = log_probabilities.double()
        self.nats += F.nll_loss(log_p, target, ignore_index=self.ignore_index, reduction="sum").cpu()
        self.pictures += len(target)
        self.values += (target != self.ignore_index).sum().cpu()

    def compute(self) -> dict[str, Tensor]:
        """``nats`` and ``log_likelihood`` = -nats, means over pictures, and ``bits_per_dim``."""
        nats = self.nats / self.pictures
        return {"log_likelihood": -nats, "nats": nats, "bits_per_dim": self.nats / self.values / math.log(2)}
