"""What every task asks of logits before it turns them into labels."""

from collections.abc import Sequence

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
    check_finite(logits, ("batch", num_logits, "rows", "columns"))


def check_finite(logits: Tensor, wanted: Sequence[str | int]) -> None:
    """`check_logits` for logits of any number of dimensions.

    Args:
        logits: Scores.
        wanted: Name or, of the second, size of each dimension.

    Raises:
        ValueError: Another shape, or NaN or infinite values.
    """
    if logits.ndim != len(wanted) or logits.shape[1] != wanted[1]:
        raise ValueError(f"logits have shape {tuple(logits.shape)}; this task wants ({', '.join(map(str, wanted))})")
    finite = torch.isfinite(logits)
    if not finite.all():
        names = ("image", "channel", *(str(name).removesuffix("s") for name in wanted[2:]))
        first = zip(names, (~finite).nonzero()[0].tolist(), strict=True)
        raise ValueError(
            f"logits hold {(~finite).sum().item()} non-finite values (NaN or Inf), the first in "
            f"{', '.join(f'{name} {place}' for name, place in first)}; look for such values in the input and in the "
            "weights, or run in float32"
        )
