"""What every task asks: of logits before it turns them into labels, and of a model before it sees a data set."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..data.dataset import DataSet
from ..errors import UsageError, printable
from ..models.segmenter import Segmenter


def check_dimensions(model: Segmenter, dataset: DataSet) -> None:
    """Refuse volumes for a model that takes images, and the reverse.

    Raises:
        UsageError: They do not go together.
    """
    if model.volumes != dataset.volumes:
        takes, holds = ("volumes", "images") if model.volumes else ("images", "volumes")
        remedy = "sweepnet_small" if model.volumes else "sweepnet_volume_small"
        raise UsageError(
            f"{model.config.builder} takes {takes}, but {printable(dataset.root)} holds {holds}; "
            f"choose a model for {holds}, such as {remedy}"
        )


def check_logits(logits: Tensor, num_logits: int) -> None:
    """Refuse logits that would silently give wrong labels; argmax takes NaN for the largest number.

    Args:
        logits: Scores (B, num_logits, H, W), of volumes (B, num_logits, D, H, W).
        num_logits: Channels that the task wants.

    Raises:
        ValueError: Another shape, or NaN or infinite values.
    """
    slices = ("slices",) if logits.ndim == 5 else ()
    check_finite(logits, ("batch", num_logits, *slices, "rows", "columns"))


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
