"""GatedLinearAttention against the paper's equations."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.cells import GatedLinearAttention

HEADS, D = 2, 3


def paper(cell, x):
    """Yang et al. 2023, section 4.4 with the authors' root mean square for the norm, head by head."""
    W, b = cell.weight_ih.chunk(5), cell.bias_ih.chunk(5)
    outputs = torch.empty(*x.shape[:-1], HEADS * D, dtype=x.dtype)
    for sample in range(x.shape[0]):
        for head in range(HEADS):
            rows = slice(head * D, (head + 1) * D)
            S = torch.zeros(D, D, dtype=x.dtype)
            for t, x_t in enumerate(x[sample]):
                q, k, v, alpha, g = (W_[rows] @ x_t + b_[rows] for W_, b_ in zip(W, b, strict=True))
                S = torch.diag(torch.sigmoid(alpha) ** (1 / 16)) @ S + torch.outer(k, v)
                o = q @ S
                outputs[sample, t, rows] = g / (1 + torch.exp(-g)) * o / ((o**2).mean() + 1e-5).sqrt()
    return outputs


def compare(cell):
    cell, x = cell.double(), torch.randn(2, 40, 4).double()
    with torch.no_grad():
        assert_close(cell(x)[0], paper(cell, x), "output")


def test_equals_the_paper():
    compare(GatedLinearAttention(4, HEADS * D, heads=HEADS))


class SwapsQueriesAndKeys(GatedLinearAttention):
    def input_products(self, x):
        q, k, *others = super().input_products(x)
        return k, q, *others


class MixesHeads(GatedLinearAttention):
    def __init__(self, *sizes, heads):
        super().__init__(*sizes, heads=1)


@pytest.mark.parametrize("fault", [SwapsQueriesAndKeys, MixesHeads])
def test_catches(fault):
    with pytest.raises(AssertionError, match="output"):
        compare(fault(4, HEADS * D, heads=HEADS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inputs_100_times_too_large_stay_finite(dtype):
    cell, x = GatedLinearAttention(3, 6, heads=2).to(dtype), (100 * torch.randn(2, 512, 3)).to(dtype).requires_grad_()
    output, state = cell(x)
    output.float().sum().backward()
    assert all(each.isfinite().all() for each in (output, state, x.grad, *(p.grad for p in cell.parameters())))


def test_refuses_heads_that_do_not_fit():
    with pytest.raises(ValueError, match="heads is 4 for a hidden_size of 6; give a divisor"):
        GatedLinearAttention(3, 6, heads=4)
