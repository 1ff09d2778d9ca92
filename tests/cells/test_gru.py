"""GRU against torch.nn."""

import pytest
import torch
from cells.parity import BARS, LENGTHS, greatest_error
from torch import nn

from sweepseg.cells import GRU


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("steps", LENGTHS)
def test_equals_torch(steps, dtype):
    theirs = nn.GRU(3, 8, batch_first=True, bidirectional=True, dtype=dtype)
    assert greatest_error(theirs, GRU(3, 8).to(dtype), steps) <= BARS[dtype]


class SwappedGates(GRU):
    def forward(self, x, state=None, reverse=False):
        reset, update, candidate = self.weight_ih.data.chunk(3)
        self.weight_ih.data = torch.cat((update, reset, candidate))
        return super().forward(x, state, reverse)


class DroppedBias(GRU):
    def forward(self, x, state=None, reverse=False):
        self.bias_hh.data.zero_()
        return super().forward(x, state, reverse)


class OffByOne(GRU):
    def forward(self, x, state=None, reverse=False):
        return super().forward(x.roll(1, 1), state, reverse)


class ResetBefore(GRU):
    def __init__(self, *sizes):
        super().__init__(*sizes, reset_after=False)


@pytest.mark.parametrize("fault", [SwappedGates, DroppedBias, OffByOne, ResetBefore])
def test_parity_catches(fault):
    theirs = nn.GRU(3, 8, batch_first=True, bidirectional=True)
    assert greatest_error(theirs, fault(3, 8), 37) > 1000 * BARS[torch.float32]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("theirs", [nn.GRU, nn.GRUCell])
def test_loads_torch_state_dicts(theirs, biased):
    module = theirs(3, 8, bias=biased)
    cell = GRU(3, 8, bias=biased)
    cell.load_state_dict(module.state_dict(), strict=True)
    assert all(map(torch.equal, cell.parameters(), module.parameters()))


def test_starts_as_torch_does():
    torch.manual_seed(5)
    expected = nn.GRUCell(3, 8)
    torch.manual_seed(5)
    assert all(map(torch.equal, GRU(3, 8).parameters(), expected.parameters()))
