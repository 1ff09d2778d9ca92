"""gru_scan: its contract, torch.nn, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import by_time, normalised, one_in_three_dropped, random, times

from sweepseg.ops import gru_scan
from sweepseg.ops.gru_scan import BACKENDS

C, H = 3, 5


def oracle(
    x, weight_ih, weight_hh, bias_ih, bias_hh, initial, reset_after, reverse, gain_ih=None, gain_hh=None, hidden_mask=1
):
    """Cho et al. 2014, equations 5-8, gate by gate; z keeps the old state."""
    U_r, U_z, U_n = weight_hh.chunk(3)
    c_r, c_z, c_n = bias_hh.chunk(3)
    k_r, k_z, k_n = (None,) * 3 if gain_hh is None else gain_hh.chunk(3)

    def both(a, b, gain_a, gain_b):
        """Reset and update gate are normalised together."""
        joint = normalised(torch.cat((a, b), -1), None if gain_a is None else torch.cat((gain_a, gain_b)))
        return joint.chunk(2, -1)

    W_r, W_z, W_n = weight_ih.chunk(3)
    g_r, g_z, g_n = (None,) * 3 if gain_ih is None else gain_ih.chunk(3)
    b_r, b_z, b_n = bias_ih.chunk(3)
    h, states = initial, {}
    for t in times(x.shape[-2], reverse):
        x_t, seen = x[..., t, :], h * hidden_mask
        x_r, x_z = both(x_t @ W_r.T, x_t @ W_z.T, g_r, g_z)
        h_r, h_z = both(seen @ U_r.T, seen @ U_z.T, k_r, k_z)
        r = 1 / (1 + torch.exp(-(x_r + b_r + h_r + c_r)))
        z = 1 / (1 + torch.exp(-(x_z + b_z + h_z + c_z)))
        after = r * (normalised(seen @ U_n.T, k_n) + c_n)
        before = normalised((r * seen) @ U_n.T, k_n) + c_n
        n = torch.tanh(normalised(x_t @ W_n.T, g_n) + b_n + (after if reset_after else before))
        h = (1 - z) * n + z * h
        states[t] = h
    return by_time(states), h


def make(batch, steps, normalise=False, mask=False):
    arguments = {
        "x": random(*batch, steps, C),
        "weight_ih": random(3 * H, C) / 2,
        "weight_hh": random(3 * H, H) / 2,
        "bias_ih": random(3 * H) / 2,
        "bias_hh": random(3 * H) / 2,
        "initial": random(*batch, H),
    }
    if normalise:
        arguments |= {"gain_ih": 1 + random(3 * H) / 4, "gain_hh": 0.5 + random(3 * H) / 8}
    if mask:
        arguments |= {"hidden_mask": one_in_three_dropped(*batch, H)}
    return arguments


AFTER = contract.Case("reset after", gru_scan, oracle, make, {"reset_after": True})
BEFORE = contract.Case("reset before", gru_scan, oracle, make, {"reset_after": False})
MASKED = [replace(case, name=f"{case.name}, masked", make=partial(make, mask=True)) for case in (AFTER, BEFORE)]
EXTRAS = [
    replace(case, name=f"{case.name}, normalised and masked", make=partial(make, normalise=True, mask=True))
    for case in (AFTER, BEFORE)
]
REFERENCE = {"reference": BACKENDS["reference"]}  # the one that normalises


@pytest.mark.parametrize(
    "promise",
    contract.promises([AFTER, BEFORE, *MASKED], BACKENDS) + contract.promises(EXTRAS, REFERENCE),
)
def test_contract(promise):
    promise()


@pytest.mark.parametrize("biased", [True, False])
def test_torch(biased):
    theirs = torch.nn.GRU(C, H, batch_first=True, bias=biased, dtype=torch.float64)
    x = random(2, 37, C)
    expected, (expected_final,) = theirs(x)
    output, final = gru_scan(x, *(parameter for _, parameter in theirs.named_parameters()))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(final, expected_final, rtol=0, atol=1e-12)


def swaps_gates(x, weight_ih, weight_hh, *others, **options):
    r, z, n = weight_ih.chunk(3)
    return gru_scan(x, torch.cat((z, r, n)), weight_hh, *others, **options)


def drops_bias(*arguments, bias_hh, **options):
    return gru_scan(*arguments, bias_hh=None if bias_hh is None else 0 * bias_hh, **options)


def confuses_reset(*arguments, reset_after, **options):
    return gru_scan(*arguments, reset_after=not reset_after, **options)


def off_by_one(x, *arguments, **options):
    output, final = gru_scan(x, *arguments, **options)
    return output.roll(1, -2), final


def forgets_initial(*arguments, initial, **options):
    return gru_scan(*arguments, initial=0 * initial, **options)


def masks_everywhere(*arguments, hidden_mask, initial, **options):
    return gru_scan(*arguments, hidden_mask=hidden_mask, initial=initial * hidden_mask, **options)


def narrow_final(*arguments, **options):
    output, final = gru_scan(*arguments, **options)
    return output, final.to(output.dtype)


def obeys_autocast(x, weight_ih, *arguments, **options):
    if torch.is_autocast_enabled("cpu"):
        weight_ih = weight_ih.bfloat16().float()
    return gru_scan(x, weight_ih, *arguments, **options)


@pytest.mark.parametrize(
    ("fault", "case", "promise"),
    [
        (swaps_gates, AFTER, "float64"),
        (swaps_gates, AFTER, "float32"),
        (swaps_gates, AFTER, "bfloat16"),
        (drops_bias, AFTER, "float64"),
        (drops_bias, AFTER, "bfloat16"),
        (confuses_reset, AFTER, "float32"),
        (confuses_reset, BEFORE, "float32"),
        (confuses_reset, EXTRAS[0], "float32"),
        (off_by_one, BEFORE, "float64"),
        (off_by_one, AFTER, "split_is_whole"),
        (forgets_initial, AFTER, "split_is_whole"),
        (masks_everywhere, EXTRAS[0], "float64"),
        (narrow_final, AFTER, "bfloat16"),
        (obeys_autocast, AFTER, "autocast_does_not_narrow"),
    ],
)
def test_contract_catches(fault, case, promise):
    def keyword_only(x, weight_ih, weight_hh, **others):
        return fault(x, weight_ih, weight_hh, **others)

    with pytest.raises(AssertionError):
        contract.PROMISES[promise](contract.Subject(replace(case, op=keyword_only), "reference", "cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight_ih": torch.ones(3 * H, C + 1)}, r"weight_ih has shape \(15, 4\); give \(15, 3\)"),
        ({"weight_hh": torch.ones(2 * H, H)}, r"weight_hh has shape \(10, 5\); give \(15, 5\)"),
        ({"bias_hh": torch.ones(H)}, r"bias_hh has shape \(5,\); give \(15,\)"),
        ({"gain_ih": torch.ones(2 * H)}, r"gain_ih has shape \(10,\); give \(15,\)"),
        ({"initial": torch.ones(1, H)}, r"initial has shape \(1, 5\); give \(2, 5\)"),
        ({"hidden_mask": torch.ones(H)}, r"hidden_mask has shape \(5,\); give \(2, 5\)"),
        ({"x": torch.ones(2, C)}, r"sequence of shape \(2, 3\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {"x": torch.ones(2, 4, C), "weight_ih": torch.ones(3 * H, C), "weight_hh": torch.ones(3 * H, H)}
    with pytest.raises(ValueError, match=message):
        gru_scan(**arguments | changed)
