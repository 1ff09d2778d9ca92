"""The machine's limits, measured with torch's own loops on the threads that torch uses: memory and multiplications."""

from collections.abc import Callable
from typing import Any

import torch

TRIAD_BYTES = 12  # an element: two float32 read, one written
GEMM_SHAPE = (1024, 256, 384)
GEMM_FLOPS = 2 * 1024 * 256 * 384


def triad(elements: int) -> Callable[[], Any]:
    """The triad a = b + s * c on float32 arrays of so many elements.

    Source: McCalpin 1995, "Memory Bandwidth and Machine Balance in Current High Performance Computers" (STREAM).
    """
    a, b, c = torch.empty(elements), torch.randn(elements), torch.randn(elements)
    return lambda: torch.add(b, c, alpha=0.5, out=a)


def gemm() -> Callable[[], Any]:
    """The matrix product of ``GEMM_SHAPE`` in float32, whose operands stay in the cache."""
    rows, inner, columns = GEMM_SHAPE
    a, b, product = torch.randn(rows, inner), torch.randn(inner, columns), torch.empty(rows, columns)
    return lambda: torch.mm(a, b, out=product)
