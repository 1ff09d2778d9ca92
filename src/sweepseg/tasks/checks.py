"""What every task asks of logits before it turns them into labels."""

import torch
from torch import Tensor


def check_logits(logits: Tensor, num_logits: int) -> None:
    """Refuse logits that would silently give wrong labels; argmax takes NaN for the largest number.

    Args:
        logits: Scores (B, num_logits, H, W).
        num_logits: Channels that the task wants.

    Raises:
        ValueError: Another shape, or NaN or infinite values.
    """
    if logits.ndim != 4 or logits.shape[1] != num_logits:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}; this task wants (batch, {num_logits}, rows, columns)"
        )
    finite = torch.isfinite(logits)
    if not finite.all():
        image, channel, row, column = (~finite).nonzero()[0].tolist()
        raise ValueError(
            f"logits hold {(~finite).sum().item()} non-finite values (NaN or Inf), the first in image {image}, "
            f"channel {channel}, row {row}, column {column}; look for such values in the input and in the weights, "
            "or run in float32"
        )
