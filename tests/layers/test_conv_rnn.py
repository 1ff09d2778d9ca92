"""Recurrence over time: order, state, and what does not fit."""

import pytest
import torch
from tolerances import assert_close
from torch.utils._pytree import tree_leaves

from sweepseg.cells.conv_gru import ConvGRU
from sweepseg.cells.conv_lstm import ConvLSTM
from sweepseg.layers.conv_rnn import ConvRNN

every_cell = pytest.mark.parametrize("cell", [ConvLSTM, ConvGRU])


@every_cell
def test_runs_the_cell_step_by_step(cell):
    cell, x, state = cell(3, 4, 3), torch.randn(2, 5, 3, 6, 7), None
    output, final = ConvRNN(cell)(x)
    assert output.shape == (2, 5, 4, 6, 7)
    for t in range(5):
        expected, state = cell(x[:, t], state)
        assert torch.equal(output[:, t], expected)
    assert all(map(torch.equal, tree_leaves(final), tree_leaves(state)))


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_split_is_whole(cell, reverse):
    layer, x = ConvRNN(cell(3, 4, 3)).double(), torch.randn(2, 5, 3, 6, 7).double()
    whole, final = layer(x, None, reverse)
    for cut in range(1, 5):
        parts = (x[:, cut:], x[:, :cut]) if reverse else (x[:, :cut], x[:, cut:])
        first, state = layer(parts[0], None, reverse)
        second, state = layer(parts[1], state, reverse)
        assert_close(torch.cat((second, first) if reverse else (first, second), 1), whole, "output")
        for actual, exact in zip(tree_leaves(state), tree_leaves(final), strict=True):
            assert_close(actual, exact, "state")


@every_cell
def test_reverse_is_flip(cell):
    layer, x = ConvRNN(cell(3, 4, 3)), torch.randn(2, 5, 3, 6, 7)
    output, final = layer(x.flip(1))
    backwards, last = layer(x, reverse=True)
    assert torch.equal(backwards, output.flip(1))
    assert all(map(torch.equal, tree_leaves(last), tree_leaves(final)))


def test_the_field_grows_by_the_kernel_each_step():
    x = torch.randn(1, 3, 2, 15, 15, requires_grad=True)
    output, _ = ConvRNN(ConvLSTM(2, 4, 3))(x)
    (gradient,) = torch.autograd.grad(output[0, 2, :, 7, 7].sum(), x)
    reaches = [int((gradient[0, t].any(0).nonzero() - 7).abs().max()) for t in range(3)]
    assert reaches == [3, 2, 1]


@pytest.mark.parametrize("shape", [(2, 3, 6, 7), (2, 0, 3, 6, 7)])
def test_refuses_what_is_no_video(shape):
    with pytest.raises(ValueError, match=r"got a video of shape .*; give \(B, T, C, H, W\)"):
        ConvRNN(ConvGRU(3, 4, 3))(torch.zeros(shape))
