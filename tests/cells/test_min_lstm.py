"""MinLSTM against the paper's equations."""

import torch
from tolerances import assert_close

from sweepseg.cells import MinLSTM


def paper(cell, x):
    """Feng et al. 2024, section 3.2.1, one step after the other."""
    W_i, W_f, W_h = cell.weight_ih.chunk(3)
    b_i, b_f, b_h = cell.bias_ih.chunk(3)
    h, states = torch.zeros(x.shape[0], cell.hidden_size, dtype=x.dtype), []
    for x_t in x.unbind(1):
        i = 1 / (1 + torch.exp(-(x_t @ W_i.T + b_i)))
        f = 1 / (1 + torch.exp(-(x_t @ W_f.T + b_f)))
        h = f / (f + i) * h + i / (f + i) * (x_t @ W_h.T + b_h)
        states.append(h)
    return torch.stack(states, 1)


def test_equals_the_paper():
    cell, x = MinLSTM(3, 5).double(), torch.randn(2, 40, 3).double()
    assert_close(cell(x)[0], paper(cell, x), "output")


def test_worked_by_hand():
    """Equal gates, candidate 4: 2, 3, 3.5."""
    cell = MinLSTM(1, 1)
    cell.load_state_dict({"weight_ih": torch.tensor([[1.0], [1.0], [4.0]]), "bias_ih": torch.zeros(3)})
    assert cell(torch.ones(1, 3, 1))[0].flatten().tolist() == [2, 3, 3.5]


def test_two_closed_gates_are_no_division_by_zero():
    cell = MinLSTM(1, 1)
    cell.load_state_dict({"weight_ih": torch.zeros(3, 1), "bias_ih": torch.tensor([-200.0, -200.0, 4.0])})
    assert cell(torch.ones(1, 3, 1))[0].flatten().tolist() == [2, 3, 3.5]
