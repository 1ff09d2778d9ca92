"""elman_scan: its contract, torch.nn, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import by_time, normalised, one_in_three_dropped, random, times

from sweepseg.ops import elman_scan
from sweepseg.ops.elman_scan import BACKENDS

C, H = 3, 5


def oracle(
    x, weight_ih, weight_hh, bias_ih, bias_hh, initial, nonlinearity, reverse, gain_ih=None, gain_hh=None, hidden_mask=1
):
    """Elman 1990."""
    h, states = initial, {}
    for t in times(x.shape[-2], reverse):
        from_x = normalised(x[..., t, :] @ weight_ih.T, gain_ih) + bias_ih
        from_h = normalised((h * hidden_mask) @ weight_hh.T, gain_hh) + bias_hh
        net = from_x + from_h
        h = 1 - 2 / (torch.exp(2 * net) + 1) if nonlinearity == "tanh" else net * (net > 0)
        states[t] = h
    return by_time(states), h


def make(batch, steps, normalise=False, mask=False):
    arguments = {
        "x": random(*batch, steps, C),
        "weight_ih": random(H, C) / 2,
        "weight_hh": random(H, H) / 4,
        "bias_ih": random(H) / 2,
        "bias_hh": random(H) / 2,
        "initial": random(*batch, H),
    }
    if normalise:
        arguments |= {"gain_ih": 1 + random(H) / 4, "gain_hh": 0.5 + random(H) / 8}
    if mask:
        arguments |= {"hidden_mask": one_in_three_dropped(*batch, H)}
    return arguments


TANH = contract.Case("tanh", elman_scan, oracle, make, {"nonlinearity": "tanh"})
RELU = contract.Case("relu", elman_scan, oracle, make, {"nonlinearity": "relu"})
MASKED = replace(TANH, name="masked", make=partial(make, mask=True))
EXTRA = replace(TANH, name="normalised and masked", make=partial(make, normalise=True, mask=True))
REFERENCE = {"reference": BACKENDS["reference"]}  # the one that normalises


@pytest.mark.parametrize(
    "promise", contract.promises([TANH, RELU, MASKED], BACKENDS) + contract.promises([EXTRA], REFERENCE)
)
def test_contract(promise):
    promise()


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("biased", [True, False])
def test_torch(nonlinearity, biased):
    theirs = torch.nn.RNN(C, H, batch_first=True, bias=biased, nonlinearity=nonlinearity, dtype=torch.float64)
    x = random(2, 37, C)
    expected, (expected_final,) = theirs(x)
    parameters = (parameter for _, parameter in theirs.named_parameters())
    output, final = elman_scan(x, *parameters, nonlinearity=nonlinearity)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(final, expected_final, rtol=0, atol=1e-12)


def transposes_weight(x, weight_ih, weight_hh, **options):
    return elman_scan(x, weight_ih, weight_hh.T, **options)


def drops_bias(x, weight_ih, weight_hh, bias_hh, **options):
    return elman_scan(x, weight_ih, weight_hh, bias_hh=0 * bias_hh, **options)


def wrong_nonlinearity(x, weight_ih, weight_hh, nonlinearity, **options):
    return elman_scan(x, weight_ih, weight_hh, nonlinearity="relu" if nonlinearity == "tanh" else "tanh", **options)


def ignores_mask(x, weight_ih, weight_hh, hidden_mask, **options):
    return elman_scan(x, weight_ih, weight_hh, hidden_mask=hidden_mask * 0 + 1, **options)


def loses_state(x, weight_ih, weight_hh, initial, **options):
    return elman_scan(x, weight_ih, weight_hh, initial=0 * initial, **options)


def weight_gradient_of_fresh_memory(x, weight_ih, weight_hh, **options):
    output, final = elman_scan(x, weight_ih, weight_hh, **options)
    output.register_hook(lambda gradient: torch.empty_like(gradient))
    return output, final


@pytest.mark.parametrize(
    ("fault", "case", "promise"),
    [
        (transposes_weight, TANH, "float64"),
        (transposes_weight, TANH, "bfloat16"),
        (drops_bias, RELU, "float32"),
        (wrong_nonlinearity, TANH, "float32"),
        (wrong_nonlinearity, RELU, "float32"),
        (ignores_mask, EXTRA, "float32"),
        (loses_state, TANH, "split_is_whole"),
        (weight_gradient_of_fresh_memory, TANH, "float64"),
    ],
)
def test_contract_catches(fault, case, promise):
    with pytest.raises(AssertionError):
        contract.PROMISES[promise](contract.Subject(replace(case, op=fault), "reference", "cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"nonlinearity": "sin"}, "nonlinearity is 'sin'; give 'tanh' or 'relu'"),
        ({"weight_hh": torch.ones(H, H + 1)}, r"weight_hh has shape \(5, 6\); give \(6, 6\)"),
        ({"bias_ih": torch.ones(1)}, r"bias_ih has shape \(1,\); give \(5,\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {"x": torch.ones(2, 4, C), "weight_ih": torch.ones(H, C), "weight_hh": torch.ones(H, H)}
    with pytest.raises(ValueError, match=message):
        elman_scan(**arguments | changed)
