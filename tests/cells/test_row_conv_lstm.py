"""RowConvLSTM: LSTM where the kernel has one tap, and its forget bias; its equations are tested with the operation."""

import pytest
import torch
from cells.map_contract import C, H
from tolerances import assert_close

from sweepseg.cells import LSTM, RowConvLSTM


def test_with_one_tap_every_column_is_an_lstm():
    cell, lstm = RowConvLSTM(C, H, "down", 1).double(), LSTM(C, H).double()
    lstm.load_state_dict(cell.state_dict() | {"weight_hh": cell.weight_hh.squeeze(-1)})
    x = torch.randn(2, C, 5, 6).double()
    expected, final = lstm(x.permute(0, 3, 2, 1))
    output, state = cell(x)
    assert_close(output, expected.permute(0, 3, 2, 1), "output")
    for ours, theirs in zip(state, final, strict=True):
        assert_close(ours, theirs.mT, "state")


def test_forget_bias():
    cell = RowConvLSTM(C, H, "down", forget_bias=1.0)
    input_gate, forget_gate, *_ = (cell.bias_ih + cell.bias_hh).detach().chunk(4)
    assert (forget_gate == 1).all() and (input_gate != 1).all()
    with pytest.raises(ValueError, match="forget_bias set biases, but bias=False"):
        RowConvLSTM(C, H, "down", bias=False, forget_bias=1.0)
