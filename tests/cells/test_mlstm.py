"""MLSTM against the paper's equations."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.cells import MLSTM

HEADS, D = 2, 3


def paper(cell, x):
    """Beck et al. 2024, equations 19 to 27, head by head, without a stabiliser."""
    W, b = cell.weight_ih.chunk(4), cell.bias_ih.chunk(4)
    outputs = torch.empty(*x.shape[:-1], HEADS * D, dtype=x.dtype)
    for sample in range(x.shape[0]):
        for head in range(HEADS):
            rows = slice(head * D, (head + 1) * D)
            C, n = torch.zeros(D, D, dtype=x.dtype), torch.zeros(D, dtype=x.dtype)
            for t, x_t in enumerate(x[sample]):
                q, k, v, o = (W_[rows] @ x_t + b_[rows] for W_, b_ in zip(W, b, strict=True))
                k = k / D**0.5
                i = torch.exp(cell.weight_gates[head] @ x_t + cell.bias_gates[head])
                f = torch.sigmoid(cell.weight_gates[HEADS + head] @ x_t + cell.bias_gates[HEADS + head])
                C, n = f * C + i * torch.outer(v, k), f * n + i * k
                outputs[sample, t, rows] = torch.sigmoid(o) * (C @ q) / max(abs(n @ q), 1)
    return outputs


def compare(cell):
    cell, x = cell.double(), torch.randn(2, 80, 4).double()
    with torch.no_grad():
        cell.weight_gates.normal_()
        assert_close(cell(x)[0], paper(cell, x), "output")


def test_equals_the_paper():
    compare(MLSTM(4, HEADS * D, heads=HEADS))


class SwapsGates(MLSTM):
    def forward(self, x, state=None, reverse=False):
        gates = self.bias_gates.clone()
        self.bias_gates.copy_(gates.roll(HEADS))
        result = super().forward(x, state, reverse)
        self.bias_gates.copy_(gates)
        return result


class SwapsQueriesAndKeys(MLSTM):
    def input_products(self, x):
        q, k, v, o = super().input_products(x)
        return k, q, v, o


@pytest.mark.parametrize("fault", [SwapsGates, SwapsQueriesAndKeys])
def test_catches(fault):
    with pytest.raises(AssertionError, match="output"):
        compare(fault(4, HEADS * D, heads=HEADS))


def test_initial_gates():
    input_gate, forget_gate = MLSTM(3, 1000, heads=1000).bias_gates.chunk(2)
    assert abs(input_gate.mean()) < 0.02 and 0.09 < input_gate.std() < 0.11
    torch.testing.assert_close(forget_gate, torch.linspace(3, 6, 1000))
    assert not MLSTM(3, 4).weight_gates.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inputs_100_times_too_large_stay_finite(dtype):
    cell = MLSTM(3, 6, heads=2).to(dtype)
    torch.nn.init.normal_(cell.weight_gates)
    x = (100 * torch.randn(2, 512, 3)).to(dtype).requires_grad_()
    output, state = cell(x)
    output.float().sum().backward()
    assert all(each.isfinite().all() for each in (output, *state, x.grad, *(p.grad for p in cell.parameters())))


@pytest.mark.parametrize("heads", [0, 4])
def test_refuses_heads_that_do_not_fit(heads):
    with pytest.raises(ValueError, match=f"heads is {heads} for a hidden_size of 6; give a divisor"):
        MLSTM(3, 6, heads=heads)
