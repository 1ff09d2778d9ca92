"""Memory: results in the order of an input, and tensors as the compiled kernels see them."""

from collections.abc import Iterable
from struct import pack
from typing import Any

import torch
from torch import Tensor

from ._sequences import memory_order


def laid_out_like(x: Tensor, like: Tensor) -> Tensor:
    """``x`` in memory order and dtype of ``like``, which has as many dimensions; a copy where the order is another.

    >>> import torch
    >>> laid_out_like(torch.zeros(2, 3), torch.zeros(5, 4).T).stride()
    (1, 2)
    """
    if x.dtype == like.dtype and x.stride() == like.stride():
        return x
    order = memory_order(like)
    dense = x.to(like.dtype).permute(order).contiguous()
    return dense.permute([order.index(dim) for dim in range(x.ndim)])


def empty_steps(x: Tensor, channels: int) -> Tensor:
    """Memory for (*batch, T, channels) whose steps lie in memory in the order of those of ``x``, channels innermost."""
    if x.is_contiguous() and channels == x.shape[-1]:
        return torch.empty_like(x)
    shape, strides, size = [*x.shape[:-1], channels], [1] * x.ndim, channels
    for dim in sorted(range(x.ndim - 1), key=[-stride for stride in x.stride()].__getitem__)[::-1]:
        strides[dim], size = size, size * shape[dim]
    return x.new_empty_strided(shape, strides)


def empty_state(x: Tensor, *sizes: int) -> Tensor:
    """Memory for (*batch, *sizes) of the sequence ``x`` (*batch, T, channels)."""
    return x.new_empty((*x.shape[:-2], *sizes))


def with_dense_channels(x: Tensor) -> Tensor:
    """``x`` itself or, if its last dimension is not contiguous, a copy."""
    return x if x.stride(-1) == 1 else x.contiguous()


def contiguous(x: Tensor | None) -> Tensor | None:
    """``x`` itself or, if it is not contiguous, a copy; None stays None."""
    return None if x is None else x.contiguous()


def needs_gradient(values: Iterable[Any]) -> bool:
    """Whether autograd will ask for gradients of what is computed from these tensors; other values do not matter."""
    return torch.is_grad_enabled() and any(isinstance(value, Tensor) and value.requires_grad for value in values)


def shape(x: Tensor, reverse: bool) -> bytes:
    """Shape of native/scan.h for (*batch, T, channels)."""
    return pack("5q", *(1,) * (4 - x.ndim), *x.shape, reverse)


def sequences(*tensors: Tensor) -> bytes:
    """Sequence[] of native/scan.h for (*batch, T, channels), channels contiguous."""
    values: list[int] = []
    for x in tensors:
        values += (x.data_ptr(), *strides(x))
    return pack(f"{len(values)}q", *values)


def strides(x: Tensor) -> tuple[int, ...]:
    """Of (*batch, T, channels): outer, where there are two batch dimensions, else 0; inner; step."""
    return x.stride()[:3] if x.ndim == 4 else (0, *x.stride()[:2])


def pointers(*tensors: Tensor | None) -> bytes:
    """void*[], null for None."""
    return pack(f"{len(tensors)}q", *[0 if tensor is None else tensor.data_ptr() for tensor in tensors])


def pointer(tensor: Tensor | None) -> int:
    """void*, null for None."""
    return 0 if tensor is None else tensor.data_ptr()
