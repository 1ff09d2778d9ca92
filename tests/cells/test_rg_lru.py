"""RGLRU against the paper's equations."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.cells import RGLRU
from sweepseg.cells.rg_lru import linear_scan


def paper(cell, x, h, reverse):
    """De et al. 2024, equations 1 to 4, one step after the other, from the state h."""
    W_a, W_x, *W_v = cell.weight_ih.split(cell.hidden_size)
    b_a, b_x, *b_v = cell.bias_ih.split(cell.hidden_size)
    a, c = 1 / (1 + torch.exp(-cell.decay_logit)), 8
    outputs = [None] * x.shape[1]
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        x_t = x[:, t]
        r_t = 1 / (1 + torch.exp(-(x_t @ W_a.T + b_a)))
        i_t = 1 / (1 + torch.exp(-(x_t @ W_x.T + b_x)))
        a_t = a ** (c * r_t)
        value = x_t @ W_v[0].T + b_v[0] if W_v else x_t
        h = outputs[t] = a_t * h + torch.sqrt(1 - a_t**2) * (i_t * value)
    return torch.stack(outputs, 1), h


def compare(cell, dtype=torch.float64):
    cell, x, state = cell.to(dtype), torch.randn(2, 40, cell.input_size).to(dtype), torch.randn(2, 5).to(dtype)
    for reverse in (False, True):
        output, final = cell(x, state, reverse)
        expected, expected_final = paper(cell.double(), x.double(), state.double(), reverse)
        assert_close(output, expected, "output")
        assert_close(final, expected_final, "state")
        cell.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("input_size", [5, 3], ids=["as wide", "projected"])
def test_equals_the_paper(input_size, dtype):
    compare(RGLRU(input_size, 5), dtype)


def test_slow_decay_keeps_its_input():
    """In float32 1 - a^2 would be off by some percent."""
    cell = RGLRU(5, 5)
    torch.nn.init.constant_(cell.decay_logit, 15.0)
    compare(cell, torch.float32)


class SwapsTheGates(RGLRU):
    def input_products(self, x):
        r, i, *projected = super().input_products(x)
        return i, r, *projected


@pytest.mark.parametrize("input_size", [5, 3])
def test_catches_swapped_gates(input_size):
    with pytest.raises(AssertionError, match="output"):
        compare(SwapsTheGates(input_size, 5))


def test_catches_a_forgotten_normaliser(monkeypatch):
    def unnormalised(decay, update, *state, **options):
        return linear_scan(decay, update / torch.sqrt(1 - decay**2), *state, **options)

    monkeypatch.setattr("sweepseg.cells.rg_lru.linear_scan", unnormalised)
    with pytest.raises(AssertionError, match="output"):
        compare(RGLRU(5, 5))


def test_worked_by_hand():
    """Half open gates: a = 0.6 keeps 1 - 0.36 = 0.64 of the square, so 2 enters as 0.8 * 0.5 * 2."""
    cell = RGLRU(1, 1).double()
    Lambda = torch.logit(torch.tensor([0.6], dtype=torch.float64) ** 0.25)  # 0.6 = sigmoid(Lambda)^(8 * 0.5)
    cell.load_state_dict({"weight_ih": torch.zeros(2, 1), "bias_ih": torch.zeros(2), "decay_logit": Lambda})
    output, _ = cell(torch.full((1, 3, 1), 2.0).double())
    assert_close(output.flatten(), torch.tensor([0.8, 1.28, 1.568], dtype=torch.float64), "output")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_closed_gate_keeps_the_state_and_finite_gradients(dtype):
    """At r = 0 nothing enters: there the square root of 1 - a^2 = 0 has an infinite slope."""
    cell = RGLRU(2, 2).to(dtype)
    cell.set_gate_bias(0, -1e4)
    x, state = torch.randn(1, 3, 2, dtype=dtype, requires_grad=True), torch.randn(1, 2, dtype=dtype)
    output, final = cell(x, state)
    torch.testing.assert_close(final, state)
    output.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (x, *cell.parameters()))


def test_initial_decay():
    decay = torch.sigmoid(RGLRU(3, 1000).decay_logit.double()) ** 8
    assert 0.8999 < decay.min() < 0.905 and 0.994 < decay.max() < 0.9991


def test_parameters_as_wide_and_projected():
    shapes = [
        {name: tuple(value.shape) for name, value in RGLRU(*sizes).state_dict().items()} for sizes in [(5, 5), (3, 5)]
    ]
    assert shapes == [
        {"weight_ih": (10, 5), "bias_ih": (10,), "decay_logit": (5,)},
        {"weight_ih": (15, 3), "bias_ih": (15,), "decay_logit": (5,)},
    ]


def test_as_wide_channels_last_view_stays_a_view():
    x = torch.randn(2, 5, 4, 7).contiguous(memory_format=torch.channels_last)
    for rows_or_columns in ((0, 2, 3, 1), (0, 3, 2, 1)):
        output, _ = RGLRU(5, 5)(x.permute(rows_or_columns))
        back = output.permute([rows_or_columns.index(dim) for dim in range(4)])
        assert back.is_contiguous(memory_format=torch.channels_last)
