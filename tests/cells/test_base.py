"""Initial values, dropout and the options that all cells share."""

import math

import pytest
import torch

from sweepseg.cells import GRU, LSTM, Elman, MinGRU, MinLSTM, OutputElman

GATED = [LSTM, GRU, MinGRU, MinLSTM]
MASKED = [LSTM, GRU, Elman, OutputElman]


def fading(cell: torch.nn.Module, lag: int) -> float:
    """Gradient norm of the last output with respect to the input ``lag`` steps before, over that at one step."""
    x = torch.randn(4, lag + 1, cell.input_size, dtype=torch.float64, requires_grad=True)
    output, _ = cell(x)
    (gradient,) = torch.autograd.grad((output[:, -1] * torch.randn_like(output[:, -1])).sum(), x)
    norms = gradient.norm(dim=(0, 2))
    return (norms[0] / norms[-2]).item()


@pytest.mark.parametrize("cell", GATED)
def test_chrono_remembers_a_thousand_steps(cell):
    remembered = fading(cell(8, 64, init="chrono", max_lag=1000).double(), 1000)
    assert 1e-4 <= remembered <= 1e2
    assert fading(cell(8, 64).double(), 1000) < 1e-15


@pytest.mark.parametrize(
    ("cell", "keeps", "sign"),
    [(LSTM, 1, 1), (LSTM, 0, -1), (GRU, 1, 1), (MinGRU, 0, -1), (MinLSTM, 1, 1), (MinLSTM, 0, -1)],
)
def test_chrono_biases(cell, keeps, sign):
    """Summed over both biases, log(u) with u uniform in [1, max_lag - 1] for what keeps, -log(u) for what writes."""
    module = cell(2, 1000, init="chrono", max_lag=100)
    total = module.bias_ih + (0 if module.bias_hh is None else module.bias_hh)
    lags = torch.exp(sign * total.split(1000)[keeps])
    assert 1 - 1e-5 <= lags.min() < 2 and 98 < lags.max() <= 99 + 1e-3
    assert lags.mean().item() == pytest.approx(50, abs=5 * 98 / math.sqrt(12 * 1000))


@pytest.mark.parametrize("cell", [LSTM, MinLSTM])
def test_forget_bias(cell):
    module = cell(2, 5, forget_bias=1.5)
    total = module.bias_ih + (0 if module.bias_hh is None else module.bias_hh)
    assert total.split(5)[1].tolist() == [1.5] * 5
    assert (total.split(5)[0] != 1.5).all()


@pytest.mark.parametrize("cell", GATED)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "magic"}, "init is 'magic'"),
        ({"init": "chrono"}, "got max_lag=None; give the longest lag"),
        ({"init": "chrono", "max_lag": 2}, "got max_lag=2; give the longest lag"),
        ({"max_lag": 100}, "has no effect with init='default'"),
        ({"init": "chrono", "max_lag": 100, "bias": False}, "bias=False"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": -0.1}, "dropout is -0.1"),
    ],
)
def test_options_that_do_not_fit(cell, options, message):
    with pytest.raises(ValueError, match=message):
        cell(2, 3, **options)


@pytest.mark.parametrize("cell", [LSTM, MinLSTM])
@pytest.mark.parametrize("options", [{"bias": False}, {"init": "chrono", "max_lag": 9}])
def test_forget_bias_that_does_not_fit(cell, options):
    with pytest.raises(ValueError, match="forget_bias"):
        cell(2, 3, forget_bias=1.0, **options)


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_sizes_are_positive(sizes):
    with pytest.raises(ValueError, match="is 0; give at least 1"):
        GRU(*sizes)


@pytest.mark.parametrize("cell", [*GATED, Elman, OutputElman])
def test_dropout_falls_on_the_output_in_training_only(cell):
    module, x = cell(3, 50, dropout=0.5), torch.randn(4, 7, 3)
    kept, kept_state = module.eval()(x)
    dropped, dropped_state = module.train()(x)
    zero = dropped == 0
    torch.testing.assert_close(dropped[~zero], 2 * kept[~zero])
    assert zero.float().mean().item() == pytest.approx(0.5, abs=0.1)
    for actual, expected in zip(*map(torch.utils._pytree.tree_leaves, (dropped_state, kept_state)), strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("cell", MASKED)
def test_recurrent_dropout_is_one_mask_a_sequence_in_training_only(cell):
    module = cell(3, 50, recurrent_dropout=0.5)
    x = torch.randn(2, 4, 3)
    mask = module.train().hidden_mask(x)
    assert mask.shape == (2, 50)
    assert set(mask.flatten().tolist()) == {0.0, 2.0}
    assert module.eval().hidden_mask(x) is None
    plain = cell(3, 50)
    plain.load_state_dict(module.state_dict())
    assert torch.equal(module(x)[0], plain(x)[0])
    torch.manual_seed(1)
    masked, _ = module.train()(x)
    torch.manual_seed(1)
    mask = module.hidden_mask(x)
    module.hidden_mask = lambda x: mask
    assert torch.equal(module(x)[0], masked)
    assert not torch.equal(masked[:, 1:], plain(x)[0][:, 1:])
    assert torch.equal(masked[:, 0], plain(x)[0][:, 0])  # nothing to hide before the first step


def test_repr_shows_sizes_and_dropout():
    assert repr(GRU(3, 8, dropout=0.1)) == "GRU(3, 8, dropout=0.1)"
