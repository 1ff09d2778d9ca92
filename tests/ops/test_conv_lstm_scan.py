"""conv_lstm_scan: its contract, torch.nn.LSTM, Keras, and faults that the contract must catch."""

from functools import partial

import keras
import numpy as np
import pytest
import torch
from ops import contract, test_conv_gru_scan
from ops.oracle import random, times
from ops.test_conv_gru_scan import (
    SHARED_FAULTS,
    C,
    H,
    assert_caught,
    check_size,
    check_threads,
    convolved,
    faulty,
    over_rows,
    sizes,
)

from sweepseg.ops import conv_lstm_scan
from sweepseg.ops.conv_lstm_scan import BACKENDS


def oracle(x, weight_ih, weight_hh, bias_ih, bias_hh, initial, reverse):
    """Shi et al. 2015, equation 3, without peepholes, along rows (*batch, W, C)."""
    (h, c), states = (state.mT for state in initial), {}
    for t in times(x.shape[-2], reverse):
        net = x[..., t, :].mT @ weight_ih.T + bias_ih + convolved(h, weight_hh) + bias_hh
        net_i, net_f, net_g, net_o = net.chunk(4, -1)
        i, f, o = (1 / (1 + torch.exp(-each)) for each in (net_i, net_f, net_o))
        c = f * c + i * torch.tanh(net_g)
        h = o * torch.tanh(c)
        states[t] = h.mT
    return torch.stack([states[t] for t in sorted(states)], dim=-2), (h.mT, c.mT)


def make(batch, steps, *size, **sizes):
    arguments = test_conv_gru_scan.make(batch, steps, *size, **sizes, gates=4)
    h = arguments["initial"]
    return arguments | {"initial": (h, torch.randn_like(h))}


CASE = contract.Case("conv_lstm", over_rows(conv_lstm_scan), over_rows(oracle), make)


@pytest.mark.parametrize("promise", contract.promises([CASE], BACKENDS))
def test_contract(promise):
    promise()


every_backend = pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))


@sizes
@every_backend
def test_sizes(size, backend):
    for along, reverse in (("rows", True), ("columns", False)):
        check_size(partial(conv_lstm_scan, backend=backend), oracle, make(*size), size[2], along, reverse)


def test_threads_share_a_map():
    check_threads(conv_lstm_scan, make((1,), 40, 200, 16, 32), 200)


@every_backend
@pytest.mark.parametrize("biased", [True, False])
def test_with_one_tap_every_column_is_torchs_lstm(biased, backend):
    theirs = torch.nn.LSTM(C, H, batch_first=True, bias=biased, dtype=torch.float64)
    x = random(2, C, 37, 3)
    expected, ((expected_h,), (expected_c,)) = theirs(x.permute(0, 3, 2, 1).flatten(0, 1))
    w_ih, w_hh, *biases = (parameter for _, parameter in theirs.named_parameters())
    output, (h, c) = conv_lstm_scan(x, w_ih, w_hh.unsqueeze(-1), *biases, backend=backend)
    torch.testing.assert_close(output.permute(0, 3, 2, 1).flatten(0, 1), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(h.mT.flatten(0, 1), expected_h, rtol=0, atol=1e-12)
    torch.testing.assert_close(c.mT.flatten(0, 1), expected_c, rtol=0, atol=1e-12)


def error_beside_keras(taps, backend, fault=lambda weight_hh: weight_hh):
    """Greatest difference from Keras, whose steps are the rows; its kernels are (K, in, out), gates in our order."""
    theirs = keras.layers.ConvLSTM1D(
        H, taps, padding="same", recurrent_activation="sigmoid", return_sequences=True, data_format="channels_last"
    )
    x = torch.randn(2, C, 7, 6)
    rows = x.permute(0, 2, 3, 1)
    theirs(rows)
    kernel, recurrent, bias = theirs.get_weights()
    here = np.arange(taps) == taps // 2
    kernel, bias = kernel * here[:, None, None], np.random.default_rng(0).normal(size=bias.shape) / 4
    theirs.set_weights([kernel, recurrent, bias])
    w_ih, w_hh = torch.tensor(kernel[taps // 2]).T, torch.tensor(recurrent).permute(2, 1, 0)
    with torch.no_grad():
        output, _ = conv_lstm_scan(x, w_ih, fault(w_hh), torch.tensor(bias).float(), backend=backend)
        return (output.permute(0, 2, 3, 1) - theirs(rows).cpu()).abs().max().item()


@every_backend
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_equals_keras(taps, backend):
    assert error_beside_keras(taps, backend) <= 1e-6


def test_keras_catches_turned_taps():
    assert error_beside_keras(3, "reference", fault=lambda weight_hh: weight_hh.flip(-1)) > 1e-3


@pytest.mark.parametrize(("changes", "promise"), SHARED_FAULTS)
def test_contract_catches(changes, promise):
    assert_caught(CASE, faulty(conv_lstm_scan, **changes), promise)


def swaps_final(**arguments):
    output, (h, c) = conv_lstm_scan(**arguments)
    return output, (c, h)


def loses_c(initial, **arguments):
    return conv_lstm_scan(initial=(initial[0], 0 * initial[1]), **arguments)


@pytest.mark.parametrize(("fault", "promise"), [(swaps_final, "float64"), (loses_c, "split_is_whole")])
def test_contract_catches_a_lost_state(fault, promise):
    assert_caught(CASE, faulty(fault), promise)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight_ih": torch.ones(15, 3)}, r"weight_ih has shape \(15, 3\); give \(20, 3\)"),
        ({"weight_hh": torch.ones(20, 5, 2)}, r"weight_hh has shape \(20, 5, 2\); give \(4 \* hidden, .* an odd K"),
        ({"initial": (torch.ones(2, 5, 6), torch.ones(2, 5, 4))}, r"initial c has shape \(2, 5, 4\); give \(2, 5, 6\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {"x": torch.ones(2, 3, 4, 6), "weight_ih": torch.ones(20, 3), "weight_hh": torch.ones(20, 5, 3)}
    with pytest.raises(ValueError, match=message):
        conv_lstm_scan(**arguments | changed)
