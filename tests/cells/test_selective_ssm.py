"""SelectiveSSM against the paper's equations."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.cells import SelectiveSSM

N = 4


def paper(cell, x):
    """Gu & Dao 2023, algorithm 2, channel by channel."""
    W_u, W_delta = cell.weight_ih.chunk(2)
    b_u, b_delta = cell.bias_ih.chunk(2)
    W_B, W_C = cell.weight_bc.chunk(2)
    outputs = torch.empty(*x.shape[:-1], cell.hidden_size, dtype=x.dtype)
    for c in range(cell.hidden_size):
        h = torch.zeros(x.shape[0], N, dtype=x.dtype)
        for t in range(x.shape[1]):
            u = x[:, t] @ W_u[c] + b_u[c]
            delta = torch.log1p(torch.exp(x[:, t] @ W_delta[c] + b_delta[c]))[:, None]
            h = torch.exp(-delta * torch.exp(cell.log_rate[c])) * h + delta * (x[:, t] @ W_B.T) * u[:, None]
            outputs[:, t, c] = (h * (x[:, t] @ W_C.T)).sum(-1) + cell.skip[c] * u
    return outputs


def compare(cell):
    cell, x = cell.double(), torch.randn(2, 20, 3).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(torch.rand_like(parameter))
        assert_close(cell(x)[0], paper(cell, x), "output")


def test_equals_the_paper():
    compare(SelectiveSSM(3, 5, states=N))


class SwapsTheProducts(SelectiveSSM):
    def input_products(self, x):
        return super().input_products(x)[::-1]


class ForgetsTheSkip(SelectiveSSM):
    def forward(self, x, state=None, reverse=False):
        output, state = super().forward(x, state, reverse)
        return output - self.skip * self.input_products(x)[0], state


@pytest.mark.parametrize("fault", [SwapsTheProducts, ForgetsTheSkip])
def test_catches(fault):
    with pytest.raises(AssertionError, match="output"):
        compare(fault(3, 5, states=N))


def test_initial_values():
    cell = SelectiveSSM(3, 1000)
    delta = torch.nn.functional.softplus(cell.bias_ih[1000:].double())
    assert 0.001 - 1e-6 < delta.min() < 0.0011 and 0.09 < delta.max() < 0.1 + 1e-6
    assert 0.008 < delta.median() < 0.0125  # uniform in its logarithm
    torch.testing.assert_close(cell.log_rate.exp(), torch.arange(1.0, 17).expand(1000, 16))
    assert (cell.skip == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inputs_100_times_too_large_stay_finite(dtype):
    cell, x = SelectiveSSM(3, 5).to(dtype), (100 * torch.randn(2, 4096, 3)).to(dtype).requires_grad_()
    output, state = cell(x)
    output.float().sum().backward()
    assert all(tensor.isfinite().all() for tensor in (output, state, x.grad, *(p.grad for p in cell.parameters())))


def test_refuses_no_states():
    with pytest.raises(ValueError, match="states is 0; give at least 1"):
        SelectiveSSM(3, 5, states=0)
