"""Every pixel has one or more numbers, such as a depth or a height."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import DataSet
from ..data.statistics import Progress, map_stats
from ..errors import UsageError
from ..metrics_regression import MapErrors
from .checks import check_logits
from .task import Rows, Task


@dataclass(frozen=True)
class Regression(Task):
    """K numbers for each pixel: logits (B, K, H, W) are the maps less their mean, over their standard deviation.

    Targets (B, K, H, W) are in the unit of the data, with NaN where nothing is known; `batch` standardises them and
    `decode` gives the unit back, so that the network and its loss see numbers around 0 whatever the unit.

    Args:
        num_classes: Number of maps K, 1 to 255.
        ignore_index: Not used.
        mean: Of each map, in its unit.
        std: Standard deviation of each map.

    Raises:
        UsageError: ``num_classes`` is out of range, or there is not a mean and a deviation above 0 for each map.

    >>> Regression(1, mean=[10.0], std=[2.0]).decode(torch.tensor([[[[-1.0, 0.5]]]]))
    tensor([[[[ 8., 11.]]]])
    """

    num_classes: int
    ignore_index: int = -1
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    name = "regression"
    outlined = False
    in_parts = False
    losses: ClassVar = {"mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}
    default_loss = "mse"
    scores: ClassVar = {"r2": "R2", "mae": "MAE", "rmse": "RMSE"}
    without = frozenset(  # a picture twice as large has distances twice as long and depths half as deep, or the same
        {"scale", "teacher", "consistency", "oversample_foreground", "clip_length", "class_weights", "label_smoothing"}
    )

    def __post_init__(self):
        if not 1 <= self.num_classes <= 255:
            raise UsageError(f"{self.num_classes} maps for task regression, which takes 1 to 255")
        if {len(self.mean), len(self.std)} not in ({0}, {self.num_classes}) or not all(one > 0 for one in self.std):
            raise UsageError(f"mean {self.mean} and std {self.std}; give one for each of {self.num_classes} maps")

    def fitted(self, dataset: DataSet, progress: Progress = iter) -> Self:
        """With mean and standard deviation of the training maps."""
        mean, std = map_stats(dataset, progress=progress)
        return replace(self, mean=mean, std=std)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The maps in their units, float32 (B, K, H, W)."""
        mean, std = self._stats(logits)
        return logits.float() * std + mean

    def decode(self, logits: Tensor) -> Tensor:
        """The maps in their units, float32 (B, K, H, W).

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_logits(logits, self.num_logits)
        return self.probabilities(logits)

    def batch(self, images: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Views (C, h, w) and their standardised maps (B, K, h, w)."""
        stacked = torch.stack([*targets])
        mean, std = self._stats(stacked)
        return torch.stack([*images]), (stacked - mean) / std

    def _stats(self, maps: Tensor) -> Tensor:
        """Mean and standard deviation, each (K, 1, 1)."""
        numbers = [self.mean or (0.0,) * self.num_classes, self.std or (1.0,) * self.num_classes]
        return torch.tensor(numbers, dtype=torch.float32, device=maps.device)[..., None, None]

    def loss(
        self, terms: Mapping[str, float], class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The weighted sum of terms of `losses`, each a mean over all known values of a batch."""

        def loss(logits: Tensor, target: Tensor) -> Tensor:
            logits, known = logits.float(), ~target.isnan()
            wanted = target.where(known, logits.detach())  # no error, and no NaN in the gradient
            errors = [weight * self.losses[name](logits, wanted, reduction="sum") for name, weight in terms.items()]
            return torch.stack(errors).sum() / known.sum().clamp_min(1)

        return loss

    def metric(self) -> MapErrors:
        """The metric that takes what ``decode`` returns and the target."""
        return MapErrors(self.num_classes)

    def report(self, scores: Mapping[str, Tensor], classes: Sequence[str]) -> list[Rows | str]:
        """Errors of each map in its unit, beside that of saying the mean everywhere, which is its deviation."""
        columns = {"MAE": "map_mae", "RMSE": "map_rmse", "RMSE of the mean": "map_deviation", "R2": "map_r2"}
        values = zip(*(scores[name].reshape(-1).tolist() for name in columns.values()), strict=True)
        told = ([f"{value:.4g}".replace("nan", "-") for value in row] for row in values)
        return [[["map", *columns], *([name, *row] for name, row in zip(classes, told, strict=True))]]

    @classmethod
    def headline(cls, scores: Mapping[str, float]) -> str:
        """The share of the variance that is explained, such as "R2 0.813"; nothing if it is not there."""
        return f"R2 {scores['r2']:.3f}" if "r2" in scores else ""
