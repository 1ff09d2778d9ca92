"""conv_gru_scan: its contract, torch.nn.GRU, a loop over single pixels, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from ops import contract
from ops.oracle import random, times
from tolerances import assert_close
from torch.utils._pytree import tree_map

from sweepseg.ops import conv_gru_scan
from sweepseg.ops.conv_gru_scan import BACKENDS

C, H, W = 3, 4, 3


def convolved(row, weight):
    """A sum of shifted rows (*batch, W, H), each times the weights of its tap; zeros come in at the ends."""
    width, reach = row.shape[-2], weight.shape[-1] // 2
    shifts = torch.ones(width, width, dtype=row.dtype)
    return sum(shifts.tril(d).triu(d) @ (row @ weight[..., d + reach].T) for d in range(-reach, reach + 1))


def oracle(x, weight_ih, weight_hh, bias_ih, bias_hh, initial, reverse, reset_after=True):
    """Ballas et al. 2016, GRU-RCN, with z and 1 - z changed over, or cuDNN's variant; along rows (*batch, W, C)."""
    U_n, b_n = weight_hh.chunk(3)[2], bias_hh.chunk(3)[2]
    h, states = initial.mT, {}
    for t in times(x.shape[-2], reverse):
        x_r, x_z, x_n = (x[..., t, :].mT @ weight_ih.T + bias_ih).chunk(3, -1)
        h_r, h_z, h_n = (convolved(h, weight_hh) + bias_hh).chunk(3, -1)
        r, z = 1 / (1 + torch.exp(-x_r - h_r)), 1 / (1 + torch.exp(-x_z - h_z))
        n = torch.tanh(x_n + (r * h_n if reset_after else convolved(r * h, U_n) + b_n))
        h = (1 - z) * n + z * h
        states[t] = h.mT
    return torch.stack([states[t] for t in sorted(states)], dim=-2), h.mT


def as_map(x, width, along="rows"):
    """Rows (*batch, T, W * C) as a map (*batch, C, T, W), channels last in memory, before them the columns or rows."""
    rows = x.unflatten(-1, (width, -1))
    if along == "columns":
        rows = rows.transpose(-3, -2).contiguous().transpose(-3, -2)
    return rows.movedim(-1, -3)


def over_rows(function):
    """The operation as one over sequences of rows: views of the map in, a view of the map out."""

    def run(x, **others):
        output, final = function(as_map(x, W), **others)
        return output.movedim(-3, -1).flatten(-2), final

    return run


def make(batch, steps, width=W, channels=C, hidden=H, taps=3, gates=3):
    bound = (hidden * taps) ** -0.5
    return {
        "x": random(*batch, steps, width * channels),
        "weight_ih": random(gates * hidden, channels) * bound,
        "weight_hh": random(gates * hidden, hidden, taps) * bound,
        "bias_ih": random(gates * hidden) / 2,
        "bias_hh": random(gates * hidden) / 2,
        "initial": random(*batch, hidden, width),
    }


AFTER = contract.Case("reset after", over_rows(conv_gru_scan), over_rows(oracle), make, {"reset_after": True})
BEFORE = replace(AFTER, name="reset before", options={"reset_after": False})


@pytest.mark.parametrize("promise", contract.promises([AFTER, BEFORE], BACKENDS))
def test_contract(promise):
    promise()


every_backend = pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
both_variants = pytest.mark.parametrize("reset_after", [True, False])
sizes = pytest.mark.parametrize(
    "size",  # batch, steps, width, channels, hidden, taps
    [
        ((1,), 1, 1, 1, 1, 1),
        ((1,), 9, 70, 3, 17, 3),
        ((2,), 7, 100, 4, 33, 5),
        ((1,), 13, 131, 2, 4, 3),
        ((5,), 6, 9, 17, 16, 3),
        ((4,), 3, 2, 5, 6, 7),
        ((2, 3), 4, 19, 3, 5, 1),
    ],
    ids=str,
)


def check_size(op, oracle, inputs, width, along, reverse):
    """Values and all gradients of maps whose rows or columns are neighbours in memory."""
    inputs |= {"x": as_map(inputs["x"], width, along)}
    actual = contract.evaluate(partial(op, reverse=reverse), inputs)
    contract.assert_all_close(actual, contract.evaluate(partial(oracle, reverse=reverse), inputs))


@sizes
@both_variants
@every_backend
def test_sizes(size, reset_after, backend):
    op = partial(conv_gru_scan, reset_after=reset_after, backend=backend)
    exact = partial(oracle, reset_after=reset_after)
    for along, reverse in (("rows", False), ("columns", True)):
        check_size(op, exact, make(*size), size[2], along, reverse)


def check_threads(op, inputs, width):
    """A single map, whose rows the threads share, on 1 and 2 of them."""
    inputs |= {"x": as_map(inputs["x"], width)}
    inputs = tree_map(torch.Tensor.float, inputs)
    one = contract.on_threads(1, op, inputs)
    exact = contract.evaluate(partial(op, backend="reference"), tree_map(torch.Tensor.double, inputs))
    contract.assert_all_close(one, exact)
    contract.assert_same_bits(one, contract.on_threads(2, op, inputs))


@both_variants
def test_threads_share_a_map(reset_after):
    check_threads(partial(conv_gru_scan, reset_after=reset_after), make((1,), 40, 200, 16, 32), 200)


@every_backend
@pytest.mark.parametrize("biased", [True, False])
def test_with_one_tap_every_column_is_torchs_gru(biased, backend):
    theirs = torch.nn.GRU(C, H, batch_first=True, bias=biased, dtype=torch.float64)
    x = random(2, C, 37, 3)
    expected, (expected_final,) = theirs(x.permute(0, 3, 2, 1).flatten(0, 1))
    w_ih, w_hh, *biases = (parameter for _, parameter in theirs.named_parameters())
    output, final = conv_gru_scan(x, w_ih, w_hh.unsqueeze(-1), *biases, backend=backend)
    torch.testing.assert_close(output.permute(0, 3, 2, 1).flatten(0, 1), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(final.mT.flatten(0, 1), expected_final, rtol=0, atol=1e-12)


@every_backend
@both_variants
def test_pixel_after_pixel(reset_after, backend):
    """The paper's sums with one loop for each index."""
    given = make((2,), 6, taps=5)
    given["x"] = as_map(given["x"], W)
    x, w_ih, w_hh, b_ih, b_hh, h = (value.numpy() for value in given.values())

    def products(row, sample, j, gates):
        total = b_hh[gates].copy()
        for k in range(5):
            if 0 <= j + k - 2 < W:
                total += w_hh[gates, :, k] @ row[sample, :, j + k - 2]
        return total

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    r, z, n = (slice(gate * H, (gate + 1) * H) for gate in range(3))
    places = [(sample, j) for sample in range(2) for j in range(W)]
    states = []
    for t in range(6):
        reset, after = np.zeros_like(h), np.zeros_like(h)
        from_x = {(sample, j): w_ih @ x[sample, :, t, j] + b_ih for sample, j in places}
        for sample, j in places:
            reset[sample, :, j] = sigmoid(from_x[sample, j][r] + products(h, sample, j, r))
        for sample, j in places:
            if reset_after:
                candidate = from_x[sample, j][n] + reset[sample, :, j] * products(h, sample, j, n)
            else:
                candidate = from_x[sample, j][n] + products(reset * h, sample, j, n)
            update = sigmoid(from_x[sample, j][z] + products(h, sample, j, z))
            after[sample, :, j] = (1 - update) * np.tanh(candidate) + update * h[sample, :, j]
        h = after
        states.append(h)
    output, final = conv_gru_scan(**given, reset_after=reset_after, backend=backend)
    assert_close(output, torch.from_numpy(np.stack(states, -2)), "output")
    assert_close(final, torch.from_numpy(h), "final")


def faulty(op, **changes):
    """The operation over rows with some of its arguments changed."""

    def run(**arguments):
        changed = {name: change(arguments) for name, change in changes.items()}
        return op(**arguments | changed)

    return over_rows(lambda x, **others: run(x=x, **others))


def swapped_gates(name):
    def swap(given):
        first, second, *others = given[name].split(H)
        return torch.cat((second, first, *others))

    return swap


SHARED_FAULTS = [  # of both row-wise convolutional recurrences
    ({"weight_ih": swapped_gates("weight_ih")}, "float64"),
    ({"weight_hh": swapped_gates("weight_hh")}, "bfloat16"),
    ({"weight_hh": lambda given: given["weight_hh"].flip(-1)}, "float32"),
    ({"weight_hh": lambda given: given["weight_hh"].roll(1, -1)}, "float32"),
    ({"bias_hh": lambda given: 0 * given["bias_hh"]}, "float32"),
    ({"x": lambda given: given["x"].roll(1, -1)}, "float64"),
    ({"x": lambda given: given["x"].roll(1, -2)}, "split_is_whole"),
    ({"initial": lambda given: tree_map(lambda state: 0 * state, given["initial"])}, "split_is_whole"),
    ({"initial": lambda given: tree_map(lambda state: state.flip(-1), given["initial"])}, "float64"),
    ({"weight_hh": lambda given: given["weight_hh"].detach() + 0 * given["weight_hh"]}, "gradcheck"),
    ({"reverse": lambda given: False}, "reverse_is_flip"),
]


def assert_caught(case, fault, promise):
    with pytest.raises((AssertionError, RuntimeError)):
        contract.PROMISES[promise](contract.Subject(replace(case, op=fault), "reference", "cpu"))


@pytest.mark.parametrize(("changes", "promise"), SHARED_FAULTS)
def test_contract_catches(changes, promise):
    assert_caught(AFTER, faulty(conv_gru_scan, **changes), promise)


@pytest.mark.parametrize("case", [AFTER, BEFORE])
def test_contract_catches_the_other_reset(case):
    assert_caught(case, faulty(conv_gru_scan, reset_after=lambda given: not given["reset_after"]), "float32")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": torch.ones(3, 4, 5)}, r"map of shape \(3, 4, 5\); give \(B, C, H, W\)"),
        ({"x": torch.ones(2, 3, 4, 0)}, r"map of 0 steps, shape \(2, 3, 4, 0\)"),
        ({"weight_ih": torch.ones(12, 3)}, r"weight_ih has shape \(12, 3\); give \(15, 3\)"),
        ({"weight_hh": torch.ones(10, 5, 3)}, r"weight_hh has shape \(10, 5, 3\); give \(15, 5, 3\)"),
        ({"weight_hh": torch.ones(15, 5, 4)}, r"weight_hh has shape \(15, 5, 4\); give \(3 \* hidden, .* an odd K"),
        ({"weight_hh": torch.ones(15, 5)}, r"weight_hh has shape \(15, 5\); give \(3 \* hidden, hidden, K\)"),
        ({"bias_hh": torch.ones(5)}, r"bias_hh has shape \(5,\); give \(15,\)"),
        ({"initial": torch.ones(2, 5, 4)}, r"initial has shape \(2, 5, 4\); give \(2, 5, 6\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {"x": torch.ones(2, 3, 4, 6), "weight_ih": torch.ones(15, 3), "weight_hh": torch.ones(15, 5, 3)}
    with pytest.raises(ValueError, match=message):
        conv_gru_scan(**arguments | changed)
