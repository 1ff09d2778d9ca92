"""min_lstm_scan: its contract, numbers worked by hand, extreme gates, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import by_time, random, times

from sweepseg.ops import min_lstm_scan
from sweepseg.ops.min_lstm_scan import BACKENDS


def oracle(gates, initial, reverse):
    """Feng et al. 2024, section 3.2.1."""
    h, states = initial, {}
    for t in times(gates.shape[-2], reverse):
        input_gate, forget_gate, candidate = gates[..., t, :].chunk(3, dim=-1)
        i, f = 1 / (1 + torch.exp(-input_gate)), 1 / (1 + torch.exp(-forget_gate))
        h = f / (f + i) * h + i / (f + i) * candidate
        states[t] = h
    return by_time(states), h


def make(batch, steps, channels=3):
    return {"gates": random(*batch, steps, 3 * channels), "initial": random(*batch, channels)}


CASE = contract.Case("min_lstm", min_lstm_scan, oracle, make, sequences=("gates",))
WIDE = replace(CASE, name="37 channels", make=partial(make, channels=37))  # two vectors and a rest


@pytest.mark.parametrize("promise", contract.promises([CASE, WIDE], BACKENDS))
def test_contract(promise):
    promise()


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
@pytest.mark.parametrize("gate", [-300.0, 0.0, 300.0])
def test_worked_by_hand(backend, gate):
    """Equal gates, candidate 4: 2, 3, 3.5; without 0 / 0 where both are shut."""
    gates = torch.tensor([gate, gate, 4.0]).repeat(1, 3, 1).requires_grad_()
    output, _ = min_lstm_scan(gates, backend=backend)
    assert output.flatten().tolist() == [2, 3, 3.5]
    output.sum().backward()
    assert gates.grad.isfinite().all()


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
@pytest.mark.parametrize(("input_gate", "forget_gate"), [(-1e4, 0.0), (0.0, -1e4), (-1e4, -1e3), (-1e3, -1e4)])
def test_extreme_gates(backend, input_gate, forget_gate):
    """The larger gate takes all: the state is kept or the candidate is taken."""
    gates = torch.tensor([input_gate, forget_gate, 4.0]).repeat(1, 3, 1).requires_grad_()
    output, _ = min_lstm_scan(gates, torch.full((1, 1), 7.0), backend=backend)
    assert output.flatten().tolist() == [4 if input_gate > forget_gate else 7] * 3
    output.sum().backward()
    assert gates.grad.isfinite().all()


def test_large_maps():
    contract.large_maps(replace(CASE, make=partial(make, channels=64)))


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
def test_long_sequences_stay_exact(backend):
    gates = torch.randn(2, 16_384, 9)
    output, _ = min_lstm_scan(gates, backend=backend)
    exact, _ = oracle(gates.double(), 0, reverse=False)
    assert (output - exact).abs().max() <= 1e-6 * exact.abs().max()


def swaps_gates(gates, initial=None, **options):
    i, f, candidate = gates.chunk(3, dim=-1)
    return min_lstm_scan(torch.cat((f, i, candidate), dim=-1), initial, **options)


def gates_that_do_not_add_up(gates, initial=None, **options):
    i, f, candidate = gates.chunk(3, dim=-1)
    return min_lstm_scan(torch.cat((i, f + 1, candidate), dim=-1), initial, **options)


def forgets_initial(gates, initial=None, **options):
    return min_lstm_scan(gates, None, **options)


@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        (swaps_gates, "float64"),
        (gates_that_do_not_add_up, "float32"),
        (gates_that_do_not_add_up, "bfloat16"),
        (forgets_initial, "split_is_whole"),
    ],
)
def test_contract_catches(fault, promise):
    with pytest.raises((AssertionError, RuntimeError)):
        contract.PROMISES[promise](contract.Subject(replace(CASE, op=fault), "reference", "cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gates": torch.ones(2, 5, 4)}, r"gates have shape \(2, 5, 4\); give 3 \* hidden_size channels"),
        ({"initial": torch.ones(2, 4)}, r"initial has shape \(2, 4\); give \(2, 1\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    with pytest.raises(ValueError, match=message):
        min_lstm_scan(**{"gates": torch.ones(2, 5, 3)} | changed)
