"""A cell over time at each pixel by itself, against the cell run on the sequence of one pixel."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.cells import GRU, MinGRU
from sweepseg.layers.pixel_rnn import PixelRNN


@pytest.mark.parametrize("cell", [GRU, MinGRU])
def test_each_pixel_is_a_sequence_of_its_own(cell):
    cell, x, state = cell(3, 4), torch.randn(2, 5, 3, 6, 7), torch.randn(2, 4, 6, 7)
    output, last = PixelRNN(cell)(x, state)
    for row, column in ((0, 0), (2, 6), (5, 3)):
        alone, end = cell(x[:, :, :, row, column], state[:, :, row, column])
        assert_close(output[:, :, :, row, column], alone, "output")
        assert_close(last[:, :, row, column], end, "state")


def test_refuses_what_is_no_video():
    with pytest.raises(ValueError, match=r"shape \(1, 3, 6, 7\); give \(B, T, C, H, W\)"):
        PixelRNN(MinGRU(3, 4))(torch.zeros(1, 3, 6, 7))
