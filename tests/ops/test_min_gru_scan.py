"""min_gru_scan: its contract, numbers worked by hand, extreme gates, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import by_time, random, times

from sweepseg.ops import min_gru_scan
from sweepseg.ops.min_gru_scan import BACKENDS


def oracle(gates, initial, reverse):
    """Feng et al. 2024, section 3.1.1."""
    update_gate, candidate = gates.chunk(2, dim=-1)
    h, states = initial, {}
    for t in times(gates.shape[-2], reverse):
        z = 1 / (1 + torch.exp(-update_gate[..., t, :]))
        h = (1 - z) * h + z * candidate[..., t, :]
        states[t] = h
    return by_time(states), h


def make(batch, steps, channels=3):
    return {"gates": random(*batch, steps, 2 * channels), "initial": random(*batch, channels)}


CASE = contract.Case("min_gru", min_gru_scan, oracle, make, sequences=("gates",))
WIDE = replace(CASE, name="37 channels", make=partial(make, channels=37))  # two vectors and a rest


@pytest.mark.parametrize("promise", contract.promises([CASE, WIDE], BACKENDS))
def test_contract(promise):
    promise()


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
def test_worked_by_hand(backend):
    """Half open gate, candidate 4: 2, 3, 3.5."""
    gates = torch.tensor([0.0, 4.0]).expand(1, 3, 2)
    assert min_gru_scan(gates, backend=backend)[0].flatten().tolist() == [2, 3, 3.5]


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
@pytest.mark.parametrize("update_gate", [-torch.inf, -1e4, 1e4, torch.inf])
def test_extreme_gates(backend, update_gate):
    """A gate that is shut keeps the state, one that is open takes the candidate; gradients stay finite."""
    gates = torch.tensor([update_gate, 4.0]).repeat(1, 3, 1).requires_grad_()
    output, _ = min_gru_scan(gates, torch.full((1, 1), 7.0), backend=backend)
    assert output.flatten().tolist() == [4 if update_gate > 0 else 7] * 3
    output.sum().backward()
    assert gates.grad.isfinite().all()


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
@pytest.mark.parametrize(("dtype", "unit"), [(torch.float32, 2**-24), (torch.float64, 2**-53)])
def test_both_sides_of_the_gate_are_accurate(backend, dtype, unit):
    """One step from 0 to 1 reads the gate, one from 1 to 0 its complement: a few roundings off, however small."""
    z = torch.linspace(-80, 80, 10_001, dtype=dtype)
    for candidate, initial, exact in ((1.0, 0.0, torch.sigmoid(z.double())), (0.0, 1.0, torch.sigmoid(-z.double()))):
        gates = torch.cat((z, torch.full_like(z, candidate))).view(1, 1, -1)
        h, _ = min_gru_scan(gates, torch.full_like(z, initial).view(1, -1), backend=backend)
        assert ((h.flatten() - exact) / exact).abs().max() <= 6 * unit


def test_large_maps():
    contract.large_maps(replace(CASE, make=partial(make, channels=64)))


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
def test_long_sequences_stay_exact(backend):
    gates = torch.randn(2, 16_384, 6)
    output, _ = min_gru_scan(gates, backend=backend)
    exact, _ = oracle(gates.double(), 0, reverse=False)
    assert (output - exact).abs().max() <= 1e-6 * exact.abs().max()


def swaps_gates(gates, initial=None, **options):
    return min_gru_scan(gates.roll(3, -1), initial, **options)


def opens_instead_of_shutting(gates, initial=None, **options):
    z, candidate = gates.chunk(2, dim=-1)
    return min_gru_scan(torch.cat((-z, candidate), dim=-1), initial, **options)


def forgets_initial(gates, initial=None, **options):
    return min_gru_scan(gates, None, **options)


@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        (swaps_gates, "float64"),
        (opens_instead_of_shutting, "float32"),
        (opens_instead_of_shutting, "bfloat16"),
        (forgets_initial, "split_is_whole"),
    ],
)
def test_contract_catches(fault, promise):
    with pytest.raises((AssertionError, RuntimeError)):
        contract.PROMISES[promise](contract.Subject(replace(CASE, op=fault), "reference", "cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gates": torch.ones(2, 5, 3)}, r"gates have shape \(2, 5, 3\); give 2 \* hidden_size channels"),
        ({"initial": torch.ones(2, 4)}, r"initial has shape \(2, 4\); give \(2, 2\)"),
        ({"gates": torch.ones(5, 4)}, r"sequence of shape \(5, 4\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    with pytest.raises(ValueError, match=message):
        min_gru_scan(**{"gates": torch.ones(2, 5, 4)} | changed)
