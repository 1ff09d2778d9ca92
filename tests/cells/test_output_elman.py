"""OutputElman against its equations."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.cells import Elman, OutputElman


@pytest.mark.parametrize("g", [torch.tanh, torch.sigmoid])
def test_equals_its_equations(g):
    cell, x = OutputElman(3, 5, output_nonlinearity=g).double(), torch.randn(2, 9, 3).double()
    output, final = cell(x)
    h = torch.zeros(2, 5).double()
    for t in range(9):
        h = torch.tanh(h @ cell.weight_hh.T + x[:, t] @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh)
        o = g(x[:, t] @ cell.weight_io.T + h @ cell.weight_ho.T + cell.bias_o)
        assert_close(output[:, t], o, f"output {t}")
    assert_close(final, h, "final")


def test_state_is_an_elman_networks():
    cell, elman, x = OutputElman(3, 5), Elman(3, 5), torch.randn(2, 9, 3)
    elman.load_state_dict({name: cell.state_dict()[name] for name in elman.state_dict()})
    assert torch.equal(cell(x)[1], elman(x)[1])
