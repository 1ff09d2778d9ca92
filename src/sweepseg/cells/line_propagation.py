"""LinePropagation: a linear recurrence over maps, line by line, each pixel fed by three of the line before."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops import line_scan
from ._base import Cell

Direction = Literal["down", "up", "right", "left"]
DIRECTIONS: tuple[Direction, ...] = ("down", "up", "right", "left")


class LinePropagation(Cell):
    """h[t, j] = w_left h[t-1, j-1] + w_center h[t-1, j] + w_right h[t-1, j+1] + lambda value, output u h, over a map.

    In the direction "down" t is the row and j the column; in "up" rows run from the last, in "right" and "left" t is
    the column. All six factors are products W x + b at [t, j]: ``weight_ih`` (6 H, C) and ``bias_ih`` (6 H,) hold
    value, lambda, u and the three weights. These go through a sigmoid and are divided by their sum over the neighbours
    that lie in the map. Each pixel sees the triangle of the lines before that opens from it; the four directions
    together see the whole map.

    Source: Wang et al. 2025, "Parallel Sequence Modeling via Generalized Spatial Propagation Network",
    arXiv:2501.12381, line scan and stability-context condition; see `sweepseg.ops.line_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the output, H.
        direction: Where the lines run to.
        bias: Learn a bias.
        layer_norm: Normalise the six products, each before its bias, with the learned gain ``gain_ih``.
        dropout: Probability that an element of the output is dropped in training.

    >>> output, state = LinePropagation(3, 8, "right")(torch.ones(2, 3, 5, 6))
    >>> output.shape, state.shape
    (torch.Size([2, 8, 5, 6]), torch.Size([2, 8, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        direction: Direction,
        *,
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
    ):
        if direction not in DIRECTIONS:
            raise ValueError(f"direction is {direction!r}; give one of {', '.join(DIRECTIONS)}")
        super().__init__(input_size, hidden_size, 6, recurrent=False, bias=bias, layer_norm=layer_norm, dropout=dropout)
        self.direction = direction
        self.reset_parameters()

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over a map.

        Args:
            x: (B, C, H, W), best channels-last in memory.
            state: The line before the map, what an earlier call returned: (B, hidden_size, W) or, for "right" and
                "left", (B, hidden_size, H). Default: zeros.

        Returns:
            The output (B, hidden_size, H, W) in the dtype of ``x`` and the state after the last line that was run.
        """
        transposed = self.direction in ("right", "left")
        maps = [product.permute(0, 3, 1, 2) for product in self.input_products(x.permute(0, 2, 3, 1))]
        value, scale, u, *weights = (each.mT for each in maps) if transposed else maps  # (B, hidden_size, T, lines)
        left, center, right = _normalised(*weights)
        h, state = line_scan(scale * value, left, center, right, state, reverse=self.direction in ("up", "left"))
        output = u * h
        return self.drop((output.mT if transposed else output).to(x.dtype)), state

    def extra_repr(self) -> str:
        """Sizes, direction and dropout, for ``print(cell)``."""
        return f"{super().extra_repr()}, direction={self.direction}"


def _normalised(left: Tensor, center: Tensor, right: Tensor) -> list[Tensor]:
    """Sigmoids over their sum, from their logarithms: no 0 / 0 where all are closed."""
    first = torch.arange(left.shape[-1], device=left.device) == 0
    logs = [
        F.logsigmoid(left).masked_fill(first, -torch.inf),
        F.logsigmoid(center),
        F.logsigmoid(right).masked_fill(first.flip(0), -torch.inf),
    ]
    greatest = torch.maximum(torch.maximum(logs[0], logs[1]), logs[2]).detach()
    weights = [torch.exp(log - greatest) for log in logs]
    total = weights[0] + weights[1] + weights[2]
    return [weight / total for weight in weights]
