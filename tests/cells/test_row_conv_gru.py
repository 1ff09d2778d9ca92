"""RowConvGRU: GRU where the kernel has one tap; its equations are tested with the operation."""

import pytest
import torch
from cells.map_contract import C, H
from tolerances import assert_close

from sweepseg.cells import GRU, RowConvGRU


@pytest.mark.parametrize("reset_after", [True, False])
def test_with_one_tap_every_column_is_a_gru(reset_after):
    cell = RowConvGRU(C, H, "down", 1, reset_after=reset_after).double()
    gru = GRU(C, H, reset_after=reset_after).double()
    gru.load_state_dict(cell.state_dict() | {"weight_hh": cell.weight_hh.squeeze(-1)})
    x = torch.randn(2, C, 5, 6).double()
    expected, final = gru(x.permute(0, 3, 2, 1))
    output, state = cell(x)
    assert_close(output, expected.permute(0, 3, 2, 1), "output")
    assert_close(state, final.mT, "state")


def test_reset_before_is_another_cell():
    before, after = (RowConvGRU(C, H, "down", reset_after=reset_after) for reset_after in (False, True))
    before.load_state_dict(after.state_dict())
    x = torch.randn(1, C, 5, 6)
    assert (before(x)[0] - after(x)[0]).abs().max() > 1e-3
