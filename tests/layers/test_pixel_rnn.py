"""A cell over time at each pixel by itself, against the cell run on the sequence of one pixel."""

from functools import partial

import pytest
import torch
from tolerances import assert_close
from torch.utils._pytree import tree_map

from sweepseg.cells import GRU, LSTM, MinGRU
from sweepseg.layers.pixel_rnn import PixelRNN


def at(state, row, column):
    return tree_map(lambda part: part[:, :, row, column], state)


@pytest.mark.parametrize("cell", [GRU, MinGRU, LSTM])
def test_each_pixel_is_a_sequence_of_its_own(cell):
    cell, x, state = cell(3, 4), torch.randn(2, 5, 3, 6, 7), torch.randn(2, 4, 6, 7)
    state = (state, state.flip(0)) if isinstance(cell, LSTM) else state
    output, last = PixelRNN(cell)(x, state)
    for row, column in ((0, 0), (2, 6), (5, 3)):
        alone, end = cell(x[:, :, :, row, column], at(state, row, column))
        assert_close(output[:, :, :, row, column], alone, "output")
        tree_map(partial(assert_close, what="state"), at(last, row, column), end)


def test_refuses_what_is_no_video():
    with pytest.raises(ValueError, match=r"shape \(1, 3, 6, 7\); give \(B, T, C, H, W\)"):
        PixelRNN(MinGRU(3, 4))(torch.zeros(1, 3, 6, 7))
