"""linear_scan: its contract, a sum worked by hand, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import by_time, random, times

from sweepseg.ops import linear_scan
from sweepseg.ops.linear_scan import BACKENDS


def oracle(decay, update, initial, reverse):
    h, states = initial, {}
    for t in times(update.shape[-2], reverse):
        h = decay[..., t, :] * h + update[..., t, :]
        states[t] = h
    return by_time(states), h


def make(batch, steps, channels=3):
    return {
        "decay": torch.sigmoid(random(*batch, steps, channels) + 2),
        "update": random(*batch, steps, channels),
        "initial": random(*batch, channels),
    }


CASE = contract.Case("linear", linear_scan, oracle, make, sequences=("decay", "update"))
WIDE = replace(CASE, name="37 channels", make=partial(make, channels=37))  # two vectors and a rest


@pytest.mark.parametrize("promise", contract.promises([CASE, WIDE], BACKENDS))
def test_contract(promise):
    promise()


def test_large_maps():
    contract.large_maps(replace(CASE, make=partial(make, channels=64)))


@pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
def test_long_sequences_stay_exact(backend):
    """Where the cumulative-product form is not finite from 256 steps on, and the logarithmic form off by 1e-3."""
    decay, update = torch.rand(2, 16_384, 3), torch.randn(2, 16_384, 3)
    output, _ = linear_scan(decay, update, backend=backend)
    exact, _ = oracle(decay.double(), update.double(), 0, reverse=False)
    assert (output - exact).abs().max() <= 1e-6 * exact.abs().max()


def test_geometric_series():
    """With decay 1/2 and update 1 the state is 2 - 2^-t, exactly."""
    half = torch.full((1, 20, 1), 0.5)
    output, final = linear_scan(half, torch.ones_like(half))
    assert output.flatten().tolist() == [2 - 2.0**-t for t in range(20)]
    assert final.item() == 2 - 2.0**-19


@pytest.mark.parametrize("decay", [0.0, 1.0], ids=["forgets all", "forgets nothing"])
def test_extreme_gates(decay):
    update = torch.arange(1.0, 5).view(1, 4, 1)
    output, _ = linear_scan(torch.full_like(update, decay), update)
    assert torch.equal(output, update.cumsum(1) if decay else update)


def off_by_one(decay, update, initial=None, **options):
    return linear_scan(decay.roll(1, -2), update, initial, **options)


def forgets_initial(decay, update, initial=None, **options):
    return linear_scan(decay, update, None, **options)


def ignores_reverse(decay, update, initial=None, reverse=False, **options):
    return linear_scan(decay, update, initial, **options)


def narrow_state(decay, update, initial=None, **options):
    outputs, h = [], initial
    for a, b in zip(decay.unbind(-2), update.unbind(-2), strict=True):
        h = (a * h + b).to(update.dtype)
        outputs.append(h)
    return torch.stack(outputs, -2), h.float()


def contiguous_output(decay, update, initial=None, **options):
    output, final = linear_scan(decay, update, initial, **options)
    return output.contiguous(), final


def reads_fresh_memory(decay, update, initial=None, **options):
    output, final = linear_scan(decay, update, initial, **options)
    return output + torch.empty_like(output) * 0, final


def blind_to_decay(decay, update, initial=None, **options):
    return linear_scan(decay.detach() + 0 * decay, update, initial, **options)


def in_place(decay, update, initial=None, **options):
    with torch.no_grad():
        update *= 1.5
    return linear_scan(decay, update, initial, **options)


def breaks_the_graph(decay, update, initial=None, **options):
    torch._dynamo.graph_break()
    return linear_scan(decay, update, initial, **options)


def sees_the_threads(decay, update, initial=None, **options):
    return linear_scan(decay, update + 1e-6 * torch.get_num_threads(), initial, **options)


def sees_its_companions(decay, update, initial=None, **options):
    return linear_scan(decay, update + 1e-6 * update.mean(), initial, **options)


@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        (off_by_one, "float64"),
        (off_by_one, "float32"),
        (off_by_one, "split_is_whole"),
        (forgets_initial, "split_is_whole"),
        (ignores_reverse, "float64"),
        (ignores_reverse, "reverse_is_flip"),
        (narrow_state, "bfloat16"),
        (narrow_state, "float16"),
        (contiguous_output, "any_strides"),
        (reads_fresh_memory, "float64"),
        (blind_to_decay, "float64"),
        (blind_to_decay, "gradcheck"),
        (in_place, "inputs_are_kept"),
        (sees_the_threads, "threads_change_no_bit"),
        (sees_its_companions, "companions_change_no_bit"),
        (breaks_the_graph, "one_graph"),
    ],
)
def test_contract_catches(fault, promise):
    subject = contract.Subject(replace(CASE, op=fault), "reference", "cpu")
    with pytest.raises((AssertionError, RuntimeError)):
        contract.PROMISES[promise](subject)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"decay": torch.ones(2, 4, 3)}, r"decay has shape \(2, 4, 3\); give \(2, 5, 3\)"),
        ({"initial": torch.ones(3)}, r"initial has shape \(3,\); give \(2, 3\)"),
        ({"update": torch.ones(5, 3)}, r"sequence of shape \(5, 3\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {"decay": torch.ones(2, 5, 3), "update": torch.ones(2, 5, 3)} | changed
    with pytest.raises(ValueError, match=message):
        linear_scan(**arguments)
