"""Elman against torch.nn."""

import pytest
import torch
from cells.parity import BARS, LENGTHS, greatest_error
from torch import nn

from sweepseg.cells import Elman


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("steps", LENGTHS)
def test_equals_torch(steps, dtype, nonlinearity):
    theirs = nn.RNN(3, 8, nonlinearity=nonlinearity, batch_first=True, bidirectional=True, dtype=dtype)
    assert greatest_error(theirs, Elman(3, 8, nonlinearity=nonlinearity).to(dtype), steps) <= BARS[dtype]


class TransposedWeight(Elman):
    def forward(self, x, state=None, reverse=False):
        self.weight_hh.data = self.weight_hh.data.T.contiguous()
        return super().forward(x, state, reverse)


class DroppedBias(Elman):
    def forward(self, x, state=None, reverse=False):
        self.bias_hh.data.zero_()
        return super().forward(x, state, reverse)


class IgnoredReverse(Elman):
    def forward(self, x, state=None, reverse=False):
        return super().forward(x, state)


@pytest.mark.parametrize("fault", [TransposedWeight, DroppedBias, IgnoredReverse])
def test_parity_catches(fault):
    theirs = nn.RNN(3, 8, batch_first=True, bidirectional=True)
    assert greatest_error(theirs, fault(3, 8), 37) > 1000 * BARS[torch.float32]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("theirs", [nn.RNN, nn.RNNCell])
def test_loads_torch_state_dicts(theirs, biased):
    module = theirs(3, 8, bias=biased)
    cell = Elman(3, 8, bias=biased)
    cell.load_state_dict(module.state_dict(), strict=True)
    assert all(map(torch.equal, cell.parameters(), module.parameters()))


def test_starts_as_torch_does():
    torch.manual_seed(5)
    expected = nn.RNNCell(3, 8)
    torch.manual_seed(5)
    assert all(map(torch.equal, Elman(3, 8).parameters(), expected.parameters()))
