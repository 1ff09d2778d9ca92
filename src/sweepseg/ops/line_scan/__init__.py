"""Line propagation: a linear recurrence over the rows of a map, where each pixel sees three of the row before."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from .._sequences import check_sequence, check_shape
from .._triton import backend as triton_backend
from . import _cpu, _reference, _triton

BACKENDS = {
    "triton": triton_backend(_triton.scan),
    "cpu": Backend(_cpu.scan, devices=("cpu",), problem=_native.problem_with("sweepseg_line_scan_float")),
    "reference": Backend(_reference.scan),
}


def line_scan(
    update: Tensor,
    left: Tensor,
    center: Tensor,
    right: Tensor,
    initial: Tensor | None = None,
    *,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run h[t, j] = left h[t-1, j-1] + center h[t-1, j] + right h[t-1, j+1] + update over the rows t of a map.

    All five stand at [t, j]; outside of the map h is 0. It stays bounded where the three weights are at least 0 and add
    up to at most 1. Over columns instead of rows run the transposed views ``x.mT``. A weight that channels share is a
    view too: ``weight.expand_as(update)``.

    Source: Liu et al. 2017, "Learning Affinity via Spatial Propagation Networks", arXiv:1710.01020, three-way
    connection; Wang et al. 2025, "Parallel Sequence Modeling via Generalized Spatial Propagation Network",
    arXiv:2501.12381, whose lambda x is ``update``.

    Args:
        update: (B, C, H, W) or (B, H, W), of any stride, best channels-last in memory.
        left: Weights of the pixel one column before, in the shape of ``update``.
        center: Weights of the pixel in the same column.
        right: Weights of the pixel one column after.
        initial: The row before the first row that is run, (B, C, W) or (B, W). Default: zeros.
        reverse: Run from the last row to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states h, in shape, dtype and memory order of ``update``, and the last row that was run, in float32 or, for
        float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the map has no row, or the backend cannot run.

    >>> import torch
    >>> update = torch.tensor([[[0.0, 8.0, 0.0], [0.0, 0.0, 0.0]]])
    >>> quarter = torch.full((1, 2, 3), 0.25)
    >>> line_scan(update, quarter, 2 * quarter, quarter)[0].tolist()
    [[[0.0, 8.0, 0.0], [2.0, 4.0, 2.0]]]
    """
    check_sequence("line_scan", update)
    for name, weight in (("left", left), ("center", center), ("right", right)):
        check_shape("line_scan", name, weight, update.shape)
    check_shape("line_scan", "initial", initial, (*update.shape[:-2], update.shape[-1]))
    return choose(BACKENDS, backend, update.device)(update, left, center, right, initial, reverse)
