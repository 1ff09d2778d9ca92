"""lstm_scan: its contract, torch.nn, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import by_time, normalised, one_in_three_dropped, random, times

from sweepseg.ops import lstm_scan
from sweepseg.ops.lstm_scan import BACKENDS

C, H = 3, 5


def oracle(
    x,
    weight_ih,
    weight_hh,
    bias_ih,
    bias_hh,
    initial,
    reverse,
    gain_ih=None,
    gain_hh=None,
    hidden_mask=1,
    f_c=torch.tanh,
):
    """Gers et al. 2000, with Ba et al. 2016, supplement, for the gains."""
    (h, c), states = initial, {}
    for t in times(x.shape[-2], reverse):
        from_x = normalised(x[..., t, :] @ weight_ih.T, gain_ih) + bias_ih
        from_h = normalised((h * hidden_mask) @ weight_hh.T, gain_hh) + bias_hh
        net_i, net_f, net_g, net_o = (from_x + from_h).chunk(4, -1)
        i, f, o = (1 / (1 + torch.exp(-net)) for net in (net_i, net_f, net_o))
        c = f * c + i * f_c(net_g)
        h = o * f_c(c)
        states[t] = h
    return by_time(states), (h, c)


def make(batch, steps, normalise=False, mask=False):
    arguments = {
        "x": random(*batch, steps, C),
        "weight_ih": random(4 * H, C) / 2,
        "weight_hh": random(4 * H, H) / 2,
        "bias_ih": random(4 * H) / 2,
        "bias_hh": random(4 * H) / 2,
        "initial": (random(*batch, H), random(*batch, H)),
    }
    if normalise:
        arguments |= {"gain_ih": 1 + random(4 * H) / 4, "gain_hh": 0.5 + random(4 * H) / 8}
    if mask:
        arguments |= {"hidden_mask": one_in_three_dropped(*batch, H)}
    return arguments


PLAIN = contract.Case("lstm", lstm_scan, oracle, make)
MASKED = replace(PLAIN, name="masked", make=partial(make, mask=True))
EXTRA = replace(PLAIN, name="normalised and masked", make=partial(make, normalise=True, mask=True))
REFERENCE = {"reference": BACKENDS["reference"]}  # the one that normalises


@pytest.mark.parametrize(
    "promise", contract.promises([PLAIN, MASKED], BACKENDS) + contract.promises([EXTRA], REFERENCE)
)
def test_contract(promise):
    promise()


@pytest.mark.parametrize("reverse", [False, True])
def test_relu_stands_where_tanh_stands(reverse):
    arguments = make((2,), 9)
    expected = oracle(**arguments, reverse=reverse, f_c=torch.relu)
    torch.testing.assert_close(
        lstm_scan(**arguments, nonlinearity="relu", reverse=reverse), expected, rtol=0, atol=1e-12
    )


def test_refuses_relu_where_it_is_not_compiled_and_what_it_does_not_know():
    arguments = make((2,), 3)
    with pytest.raises(ValueError, match="backend 'cpu' does not handle nonlinearity 'relu'"):
        lstm_scan(**arguments, nonlinearity="relu", backend="cpu")
    with pytest.raises(ValueError, match="nonlinearity is 'elu'; give 'tanh' or 'relu'"):
        lstm_scan(**arguments, nonlinearity="elu")


@pytest.mark.parametrize("biased", [True, False])
def test_torch(biased):
    theirs = torch.nn.LSTM(C, H, batch_first=True, bias=biased, dtype=torch.float64)
    x = random(2, 37, C)
    expected, ((expected_h,), (expected_c,)) = theirs(x)
    output, (h, c) = lstm_scan(x, *(parameter for _, parameter in theirs.named_parameters()))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(h, expected_h, rtol=0, atol=1e-12)
    torch.testing.assert_close(c, expected_c, rtol=0, atol=1e-12)


def swaps_gates(x, weight_ih, weight_hh, **options):
    i, f, g, o = weight_hh.chunk(4)
    return lstm_scan(x, weight_ih, torch.cat((f, i, g, o)), **options)


def drops_bias(x, weight_ih, weight_hh, bias_ih, **options):
    return lstm_scan(x, weight_ih, weight_hh, 0 * bias_ih, **options)


def off_by_one(x, weight_ih, weight_hh, **options):
    return lstm_scan(x.roll(1, -2), weight_ih, weight_hh, **options)


def loses_c(x, weight_ih, weight_hh, initial, **options):
    h, c = initial
    return lstm_scan(x, weight_ih, weight_hh, initial=(h, 0 * c), **options)


def swaps_final(x, weight_ih, weight_hh, **options):
    output, (h, c) = lstm_scan(x, weight_ih, weight_hh, **options)
    return output, (c, h)


def ignores_gain(x, weight_ih, weight_hh, gain_hh, **options):
    return lstm_scan(x, weight_ih, weight_hh, gain_hh=gain_hh / gain_hh, **options)


@pytest.mark.parametrize(
    ("fault", "case", "promise"),
    [
        (swaps_gates, PLAIN, "float64"),
        (swaps_gates, PLAIN, "bfloat16"),
        (drops_bias, PLAIN, "float32"),
        (off_by_one, PLAIN, "float32"),
        (off_by_one, PLAIN, "split_is_whole"),
        (loses_c, PLAIN, "split_is_whole"),
        (loses_c, PLAIN, "float32"),
        (swaps_final, PLAIN, "float64"),
        (ignores_gain, EXTRA, "float32"),
    ],
)
def test_contract_catches(fault, case, promise):
    with pytest.raises(AssertionError):
        contract.PROMISES[promise](contract.Subject(replace(case, op=fault), "reference", "cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight_ih": torch.ones(3 * H, C)}, r"weight_ih has shape \(15, 3\); give \(20, 3\)"),
        ({"initial": (torch.ones(2, H), torch.ones(H))}, r"initial c has shape \(5,\); give \(2, 5\)"),
        ({"gain_hh": torch.ones(H)}, r"gain_hh has shape \(5,\); give \(20,\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {"x": torch.ones(2, 4, C), "weight_ih": torch.ones(4 * H, C), "weight_hh": torch.ones(4 * H, H)}
    with pytest.raises(ValueError, match=message):
        lstm_scan(**arguments | changed)
