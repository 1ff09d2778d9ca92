"""LSTM against torch.nn."""

import pytest
import torch
from cells.parity import BARS, LENGTHS, greatest_error
from torch import nn

from sweepseg.cells import LSTM


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("steps", LENGTHS)
def test_equals_torch(steps, dtype):
    theirs = nn.LSTM(3, 8, batch_first=True, bidirectional=True, dtype=dtype)
    assert greatest_error(theirs, LSTM(3, 8).to(dtype), steps) <= BARS[dtype]


class SwappedGates(LSTM):
    def forward(self, x, state=None, reverse=False):
        i, f, g, o = self.weight_ih.data.chunk(4)
        self.weight_ih.data = torch.cat((i, f, o, g))
        return super().forward(x, state, reverse)


class DroppedBias(LSTM):
    def forward(self, x, state=None, reverse=False):
        self.bias_ih.data.zero_()
        return super().forward(x, state, reverse)


class SwappedStates(LSTM):
    def forward(self, x, state=None, reverse=False):
        output, (h, c) = super().forward(x, state, reverse)
        return output, (c, h)


@pytest.mark.parametrize("fault", [SwappedGates, DroppedBias, SwappedStates])
def test_parity_catches(fault):
    theirs = nn.LSTM(3, 8, batch_first=True, bidirectional=True)
    assert greatest_error(theirs, fault(3, 8), 37) > 1000 * BARS[torch.float32]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("theirs", [nn.LSTM, nn.LSTMCell])
def test_loads_torch_state_dicts(theirs, biased):
    module = theirs(3, 8, bias=biased)
    cell = LSTM(3, 8, bias=biased)
    cell.load_state_dict(module.state_dict(), strict=True)
    assert all(map(torch.equal, cell.parameters(), module.parameters()))


def test_starts_as_torch_does():
    torch.manual_seed(5)
    expected = nn.LSTMCell(3, 8)
    torch.manual_seed(5)
    assert all(map(torch.equal, LSTM(3, 8).parameters(), expected.parameters()))
