"""Memory order of results."""

import itertools
from struct import unpack

import pytest
import torch

from sweepseg.ops._memory import (
    contiguous,
    empty_state,
    empty_steps,
    laid_out_like,
    needs_gradient,
    pointers,
    sequences,
    shape,
    with_dense_channels,
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_order_and_dtype_come_from_the_other_values_stay(order):
    x, like = torch.randn(2, 3, 4), torch.empty(5, 6, 7, dtype=torch.bfloat16).permute(order)
    result = laid_out_like(x, like)
    assert torch.equal(result, x.bfloat16())
    assert result.permute([order.index(dim) for dim in range(3)]).is_contiguous()


def test_empty_steps_lie_as_the_steps_of_the_other():
    like = torch.empty(2, 7, 5, 4).permute(0, 2, 1, 3)  # (2, 5, 7, 4), columns of a channels-last map
    result = empty_steps(like, 3)
    assert result.shape == (2, 5, 7, 3) and result.permute(0, 2, 1, 3).is_contiguous()
    assert empty_steps(like[..., :1].expand(-1, -1, -1, 6), 2).stride(-1) == 1
    assert empty_state(result, 6, 7).shape == (2, 5, 6, 7) and empty_state(result, 6).dtype == result.dtype


def test_with_dense_channels_copies_only_others():
    x = torch.randn(2, 3, 4)
    assert with_dense_channels(x.transpose(0, 1)).data_ptr() == x.data_ptr()
    other = with_dense_channels(x.mT)
    assert other.is_contiguous() and torch.equal(other, x.mT)


def test_contiguous_copies_only_others():
    x = torch.randn(2, 3)
    assert contiguous(x) is x and contiguous(x.T).is_contiguous() and contiguous(None) is None


def test_gradients_are_needed_where_autograd_records():
    x, leaf = torch.ones(1), torch.ones(1, requires_grad=True)
    assert needs_gradient([x, None, leaf]) and not needs_gradient([x, None])
    with torch.no_grad():
        assert not needs_gradient([leaf])


def test_what_kernels_get():
    x, y = torch.empty(2, 3, 4), torch.empty(5, 2, 4, 3).transpose(1, 2)
    assert unpack("5q", shape(x, True)) == (1, 2, 3, 4, True) and unpack("5q", shape(y, False)) == (5, 4, 2, 3, False)
    assert unpack("8q", sequences(x, y)) == (x.data_ptr(), 0, 12, 4, y.data_ptr(), 24, 3, 12)
    assert unpack("2q", pointers(x, None)) == (x.data_ptr(), 0)
