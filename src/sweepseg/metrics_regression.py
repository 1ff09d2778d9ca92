"""Metrics of maps of numbers, in the unit of the data; sums are pooled over all known pixels of the data set."""

import torch
from torch import Tensor
from torchmetrics import Metric


class MapErrors(Metric):
    """How far maps are from the truth.

    ``compute()`` returns, of each map (K,) and NaN where none of its pixels is known, ``map_mae``, ``map_rmse`` and
    ``map_r2`` = 1 - squared error / squared deviation of the truth from its own mean, which is 0 for whoever says that
    mean everywhere; and ``map_deviation``, the error (RMSE) of that answer. ``mae``, ``rmse`` and ``r2`` are means over
    maps.

    Args:
        num_maps: K.

    >>> metric = MapErrors(1)
    >>> metric.update(torch.tensor([[[[1.0, 2.0, 9.0]]]]), torch.tensor([[[[1.0, 3.0, torch.nan]]]]))
    >>> {name: round(score.item(), 3) for name, score in metric.compute().items() if not name.startswith("map")}
    {'r2': 0.5, 'mae': 0.5, 'rmse': 0.707}
    """

    full_state_update = False
    is_differentiable = False
    sums: Tensor

    def __init__(self, num_maps: int):
        super().__init__()
        # pixels, truth, its square, error, its square
        self.add_state("sums", torch.zeros(5, num_maps, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, found: Tensor, target: Tensor) -> None:
        """Add pictures: both (B, K, H, W), the target with NaN where nothing is known."""
        truth = target.double().transpose(0, 1).flatten(1)  # (K, pixels)
        known = ~truth.isnan()
        truth = truth.where(known, 0)
        error = (found.double().transpose(0, 1).flatten(1) - truth).where(known, 0)
        self.sums += torch.stack([known.double(), truth, truth**2, error.abs(), error**2]).sum(2).to(self.sums.device)

    def compute(self) -> dict[str, Tensor]:
        """Scores by name."""
        pixels, truth, squares, error, squared = self.sums
        spread = squares - truth**2 / pixels
        spread = spread.where(spread > 1e-12 * squares, torch.nan)  # what rounding leaves of a constant truth
        by_map = {
            "r2": 1 - squared / spread,
            "mae": error / pixels,
            "rmse": (squared / pixels).sqrt(),
            "deviation": (spread / pixels).sqrt(),
        }
        means = {name: values.nanmean() for name, values in by_map.items() if name != "deviation"}
        return means | {f"map_{name}": values for name, values in by_map.items()}
