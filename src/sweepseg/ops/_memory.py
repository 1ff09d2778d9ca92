"""Memory: results in the order of an input, and tensors as the compiled kernels see them."""

from ctypes import Array, c_int64, c_void_p

from torch import Tensor

from ._sequences import memory_order


def laid_out_like(x: Tensor, like: Tensor) -> Tensor:
    """``x`` in memory order and dtype of ``like``, which has as many dimensions; a copy where the order is another.

    >>> import torch
    >>> laid_out_like(torch.zeros(2, 3), torch.zeros(5, 4).T).stride()
    (1, 2)
    """
    order = memory_order(like)
    dense = x.to(like.dtype).permute(order).contiguous()
    return dense.permute([order.index(dim) for dim in range(x.ndim)])


def empty_steps(x: Tensor, channels: int) -> Tensor:
    """Memory for (*batch, T, channels) whose steps lie in memory in the order of those of ``x``, channels innermost."""
    order = [dim for dim in memory_order(x) if dim != x.ndim - 1]
    dense = x.new_empty([*(x.shape[dim] for dim in order), channels])
    return dense.permute([*(order.index(dim) for dim in range(x.ndim - 1)), x.ndim - 1])


def with_dense_channels(x: Tensor) -> Tensor:
    """``x`` itself or, if its last dimension is not contiguous, a copy.

    For the kernels' own functions: strides that torch.compile predicts need not be those of the tensor that comes.
    """
    return x if x.stride(-1) == 1 else x.contiguous()


def shape(x: Tensor, reverse: bool) -> Array:
    """Shape of native/scan.h for (*batch, T, channels)."""
    return (c_int64 * 5)(*(1,) * (4 - x.ndim), *x.shape, reverse)


def sequences(*tensors: Tensor) -> Array:
    """Sequence[] of native/scan.h for (*batch, T, channels), channels contiguous."""
    values: list[int] = []
    for x in tensors:
        strides = x.stride()[-4:-1]
        values += (x.data_ptr(), *(0,) * (3 - len(strides)), *strides)
    return (c_int64 * len(values))(*values)


def pointers(*tensors: Tensor | None) -> Array:
    """void*[], null for None."""
    return (c_void_p * len(tensors))(*(None if tensor is None else tensor.data_ptr() for tensor in tensors))
