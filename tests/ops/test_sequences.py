"""Memory order in and out of the recurrences, for any shape and order."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepseg.ops._sequences import input_product, memory_order, stack_steps, steps

shapes = st.lists(st.integers(1, 4), min_size=3, max_size=4)


def laid_out(shape, order):
    """A tensor of this shape whose dimensions lie in memory in this order."""
    x = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return x.view([shape[dim] for dim in order]).permute([order.index(dim) for dim in range(len(shape))])


@st.composite
def sequences(draw):
    shape = draw(shapes)
    order = draw(st.permutations(range(len(shape))))
    return laid_out(shape, order), order


@settings(deadline=None, derandomize=True)
@given(sequences(), st.booleans())
def test_steps_and_back(drawn, reverse):
    x, order = drawn
    back = stack_steps(list(steps(x, reverse)), x, reverse)
    assert torch.equal(back, x)
    assert back.permute(order).is_contiguous()


@settings(deadline=None, derandomize=True)
@given(sequences(), st.integers(1, 3))
def test_input_product(drawn, rows):
    x, order = drawn
    weight, bias = torch.randn(rows, x.shape[-1]).double(), torch.randn(rows).double()
    projected = input_product(x, weight, bias)
    torch.testing.assert_close(projected, torch.einsum("...c,rc->...r", x, weight) + bias)
    leading = [dim for dim in order if dim != x.ndim - 1]
    assert projected.permute(*leading, x.ndim - 1).is_contiguous()


def test_broadcast_dimensions_count_as_outermost():
    assert memory_order(torch.empty(3, 1).expand(3, 5)) == [1, 0]


def test_views_of_a_dense_map_are_not_copied(monkeypatch):
    """The matrix product gets the map's own memory."""
    seen = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr("torch.nn.functional.linear", lambda x, *others: seen.append(x) or linear(x, *others))
    image = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    for sequence in (image.permute(0, 2, 3, 1), image.permute(0, 3, 2, 1)):  # rows, columns
        input_product(sequence, torch.ones(6, 3))
        assert seen[-1].is_contiguous() and seen[-1].data_ptr() == image.data_ptr()
