"""MinGRU against the paper's equations."""

import torch
from tolerances import assert_close

from sweepseg.cells import MinGRU


def paper(cell, x):
    """Feng et al. 2024, section 3.1.1, one step after the other."""
    W_z, W_h = cell.weight_ih.chunk(2)
    b_z, b_h = cell.bias_ih.chunk(2)
    h, states = torch.zeros(x.shape[0], cell.hidden_size, dtype=x.dtype), []
    for x_t in x.unbind(1):
        z = 1 / (1 + torch.exp(-(x_t @ W_z.T + b_z)))
        h = (1 - z) * h + z * (x_t @ W_h.T + b_h)
        states.append(h)
    return torch.stack(states, 1)


def test_equals_the_paper():
    cell, x = MinGRU(3, 5).double(), torch.randn(2, 40, 3).double()
    assert_close(cell(x)[0], paper(cell, x), "output")


def test_worked_by_hand():
    """Half open gate, candidate 4: 2, 3, 3.5."""
    cell = MinGRU(1, 1)
    cell.load_state_dict({"weight_ih": torch.tensor([[0.0], [4.0]]), "bias_ih": torch.zeros(2)})
    assert cell(torch.ones(1, 3, 1))[0].flatten().tolist() == [2, 3, 3.5]


def test_half_precision_keeps_long_memory():
    """In bfloat16 a gate that forgets 1 / 1000 a step would round to one that forgets nothing."""
    cell = MinGRU(1, 1).bfloat16()
    cell.load_state_dict({"weight_ih": torch.tensor([[0.0], [1.0]]), "bias_ih": torch.tensor([-6.90625, 0.0])})
    zeros = torch.zeros(1, 1000, 1, dtype=torch.bfloat16)
    _, final = cell(zeros, torch.ones(1, 1))
    z = 1 / (1 + torch.tensor(6.90625).double().exp())
    torch.testing.assert_close(final.double().squeeze(), (1 - z) ** 1000, rtol=1e-4, atol=0)
