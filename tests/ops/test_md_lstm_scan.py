"""md_lstm_scan: its contract, torch.nn.LSTM along one line, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import random
from ops.test_conv_gru_scan import C, H, W, assert_caught, check_size, check_threads, faulty, over_rows
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sweepseg.ops import md_lstm_scan
from sweepseg.ops.md_lstm_scan import BACKENDS


def oracle(x, weight_ih, weight_above, weight_left, bias, initial, reverse=False, leftwards=False):
    """Graves et al. 2007, section 3, pixel after pixel in raster order."""
    height, width = x.shape[-2:]
    rows = range(height)[::-1] if reverse else range(height)
    columns = range(width)[::-1] if leftwards else range(width)
    above = [(initial[0][..., column], initial[1][..., column]) for column in range(width)]
    outputs = {}
    for row in rows:
        left = (torch.zeros_like(above[0][0]),) * 2
        for column in columns:
            net = x[..., row, column] @ weight_ih.T + bias
            net = net + above[column][0] @ weight_above.T + left[0] @ weight_left.T
            i, f_above, f_left, g, o = net.chunk(5, -1)
            c = above[column][1] / (1 + torch.exp(-f_above)) + left[1] / (1 + torch.exp(-f_left))
            c = c + torch.tanh(g) / (1 + torch.exp(-i))
            outputs[row, column] = torch.tanh(c) / (1 + torch.exp(-o))
            above[column] = left = outputs[row, column], c
    output = torch.stack(
        [torch.stack([outputs[row, column] for column in range(width)], -1) for row in range(height)], -2
    )
    return output, tuple(torch.stack([state[k] for state in above], -1) for k in range(2))


def make(batch, steps, width=W, channels=C, hidden=H):
    """Forget gates so far closed that c does not grow along the 200 rows of one promise."""
    forget, bound = torch.arange(5 * hidden) // hidden, hidden**-0.5 / 2
    return {
        "x": random(*batch, steps, width * channels),
        "weight_ih": random(5 * hidden, channels) / 2,
        "weight_above": random(5 * hidden, hidden) * bound,
        "weight_left": random(5 * hidden, hidden) * bound,
        "bias": random(5 * hidden) / 4 - 2 * ((forget == 1) | (forget == 2)),
        "initial": (random(*batch, hidden, width), random(*batch, hidden, width)),
    }


RIGHT = contract.Case("rightwards", over_rows(md_lstm_scan), over_rows(oracle), make)
LEFT = replace(RIGHT, name="leftwards", options={"leftwards": True})


@pytest.mark.parametrize("promise", contract.promises([RIGHT, LEFT], BACKENDS))
def test_contract(promise):
    promise()


every_backend = pytest.mark.parametrize("backend", contract.on_cpu(BACKENDS))
both_directions = pytest.mark.parametrize("leftwards", [False, True])


@pytest.mark.parametrize(
    "size",  # batch, height, width, channels, hidden
    [
        ((2,), 1, 1, 1, 1),
        ((2,), 1, 5, 3, 4),
        ((2,), 5, 1, 3, 4),
        ((1,), 2, 9, 17, 16),
        ((2,), 13, 2, 3, 8),
        ((2, 3), 4, 4, 3, 5),
        ((1,), 6, 11, 4, 33),
        ((40,), 5, 3, 3, 4),
    ],
    ids=str,
)
@every_backend
def test_sizes_and_corners(size, backend):
    for along, reverse, leftwards in (("rows", False, True), ("columns", True, False)):
        op, exact = (partial(each, leftwards=leftwards) for each in (md_lstm_scan, oracle))
        check_size(partial(op, backend=backend), exact, make(*size), size[2], along, reverse)


@pytest.mark.skipif("cpu" not in contract.on_cpu(BACKENDS), reason="the compiled kernel was not built")
@both_directions
def test_threads_share_a_map(leftwards):
    check_threads(partial(md_lstm_scan, leftwards=leftwards), make((1,), 40, 200, 16, 32), 200)


@pytest.mark.parametrize("line", ["row", "column"])
@every_backend
def test_one_line_is_torchs_lstm(line, backend):
    theirs = nn.LSTM(C, H, batch_first=True, dtype=torch.float64)
    x = random(2, 9, C)
    expected, _ = theirs(x)

    def five(parameter):
        """Torch's gates with a forget gate for the other direction, whose state is 0."""
        i, f, g, o = parameter.chunk(4)
        return torch.cat((i, f, f, g, o))

    w_ih, w_hh, bias = map(five, (theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0 + theirs.bias_hh_l0))
    image = x.mT.unsqueeze(-2 if line == "row" else -1)  # (B, C, 1, T) or (B, C, T, 1)
    weights = (0 * w_hh, w_hh) if line == "row" else (w_hh, 0 * w_hh)
    output, _ = md_lstm_scan(image, w_ih, *weights, bias, backend=backend)
    torch.testing.assert_close(output.flatten(2).mT, expected, rtol=0, atol=1e-12)


class ElementCounter(TorchDispatchMode):
    """Counts the elements of all results."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and not func.is_view:
                self.elements += tensor.numel()
        return result


def test_work_is_linear_in_the_pixels():
    """Neither forward nor backward of the reference touches a diagonal more often than a fixed number of times."""

    def elements(side):
        arguments = make((1,), 1) | {"x": random(1, C, side, side).requires_grad_()}
        del arguments["initial"]
        with ElementCounter() as counter:
            md_lstm_scan(**arguments, backend="reference")[0].sum().backward()
        return counter.elements

    assert elements(32) / elements(16) < 4.3


def swapped_gates(given):
    i, f, e, g, o = given["weight_ih"].chunk(5)
    return torch.cat((i, e, f, g, o))


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"weight_ih": swapped_gates}, "float64"),
        ({"weight_above": lambda given: given["weight_left"]}, "float32"),
        ({"bias": lambda given: 0 * given["bias"]}, "bfloat16"),
        ({"initial": lambda given: (given["initial"][0], 0 * given["initial"][1])}, "split_is_whole"),
        ({"initial": lambda given: [state.flip(-1) for state in given["initial"]]}, "float64"),
        ({"leftwards": lambda given: True}, "float64"),
        ({"reverse": lambda given: False}, "reverse_is_flip"),
    ],
)
def test_contract_catches(changes, promise):
    assert_caught(RIGHT, faulty(md_lstm_scan, **changes), promise)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": torch.ones(3, 4, 5)}, r"map of shape \(3, 4, 5\); give \(B, C, H, W\)"),
        ({"x": torch.ones(2, 3, 4, 0)}, r"map of 0 steps, shape \(2, 3, 4, 0\)"),
        ({"weight_ih": torch.ones(20, 4)}, r"weight_ih has shape \(20, 4\); give \(20, 3\)"),
        ({"weight_above": torch.ones(16, 4)}, r"weight_above has shape \(16, 4\); give \(20, 4\)"),
        ({"weight_left": torch.ones(20, 3)}, r"weight_left has shape \(20, 3\); give \(20, 4\)"),
        ({"bias": torch.ones(4)}, r"bias has shape \(4,\); give \(20,\)"),
        ({"initial": (torch.ones(2, 4, 6), torch.ones(2, 4, 5))}, r"initial c has shape \(2, 4, 5\); give \(2, 4, 6\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    weights = {"weight_ih": torch.ones(20, 3), "weight_above": torch.ones(20, 4), "weight_left": torch.ones(20, 4)}
    with pytest.raises(ValueError, match=message):
        md_lstm_scan(**{"x": torch.ones(2, 3, 5, 6)} | weights | changed)
