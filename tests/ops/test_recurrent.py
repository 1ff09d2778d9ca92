"""What the contract's small sizes do not reach in the compiled recurrences with weights, and faults it must see."""

from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import one_in_three_dropped, random
from tolerances import assert_close
from torch.utils._pytree import tree_map

from sweepseg.ops import elman_scan, gru_scan, lstm_scan

RECURRENCES = {
    "gru": (gru_scan, 3, {}),
    "gru, reset before": (gru_scan, 3, {"reset_after": False}),
    "lstm": (lstm_scan, 4, {}),
    "elman, tanh": (elman_scan, 1, {"nonlinearity": "tanh"}),
    "elman, relu": (elman_scan, 1, {"nonlinearity": "relu"}),
}
SIZES = {  # (*batch), steps, input, hidden
    "whole tiles": ((32,), 3, 32, 32),
    "every tail": ((3, 5), 9, 35, 23),
    "many blocks and panels": ((70,), 5, 17, 50),
    "more steps than the weights' gradients wait for": ((1,), 150, 1, 1),
    "several groups of blocks": ((40, 3), 30, 4, 9),
}


def make(gates, batch, steps, channels, hidden, mask=False):
    state = (random(*batch, hidden), random(*batch, hidden)) if gates == 4 else random(*batch, hidden)
    arguments = {
        "x": random(*batch, steps, channels),
        "weight_ih": random(gates * hidden, channels) / channels**0.5,
        "weight_hh": random(gates * hidden, hidden) / 2 / hidden**0.5,
        "bias_ih": random(gates * hidden) / 2,
        "bias_hh": random(gates * hidden) / 2,
        "initial": state,
    }
    return arguments | ({"hidden_mask": one_in_three_dropped(*batch, hidden)} if mask else {})


@pytest.mark.parametrize("name", RECURRENCES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask", [False, True])
def test_sizes(name, size, mask):
    op, gates, options = RECURRENCES[name]
    inputs = make(gates, *SIZES[size], mask=mask)
    for reverse in (False, True):
        run = partial(op, **options, reverse=reverse)
        exact = contract.evaluate(partial(run, backend="reference"), inputs)
        contract.assert_all_close(contract.evaluate(partial(run, backend="cpu"), inputs), exact)


@pytest.mark.parametrize("name", RECURRENCES)
def test_rows_and_columns_of_a_map(name):
    """Rows far apart in memory, with steps side by side and the other way round, in float32."""
    op, gates, options = RECURRENCES[name]
    inputs = {key: value for key, value in make(gates, (2, 20), 40, 16, 24).items() if key != "initial"}
    for order in ((0, 1, 2, 3), (0, 2, 1, 3)):
        inputs["x"] = inputs["x"].permute(order).contiguous().permute(order)
        exact = contract.evaluate(partial(op, **options, backend="reference"), inputs)
        narrow = {key: value.float() for key, value in inputs.items()}
        actual = contract.evaluate(partial(op, **options, backend="cpu"), narrow)
        assert actual["output"].stride() == exact["output"].stride()
        contract.assert_all_close(actual, exact)


@pytest.mark.parametrize("name", RECURRENCES)
def test_long_sequences_in_float32(name):
    op, gates, options = RECURRENCES[name]
    inputs = make(gates, (2,), 4096, 3, 5)
    with torch.no_grad():
        exact, _ = op(**inputs, **options, backend="reference")
        inputs = tree_map(torch.Tensor.float, inputs)
        actual, _ = op(**inputs, **options, backend="cpu")
    if name != "elman, relu":  # its states grow without bounds
        assert (actual - exact).abs().max() < 1e-6
    assert_close(actual, exact, "output")


@pytest.mark.parametrize("name", RECURRENCES)
def test_inference_is_the_differentiable_forward(name):
    op, gates, options = RECURRENCES[name]
    inputs = make(gates, (2, 5), 7, 3, 20)
    with contract._Recorder() as recorder, torch.no_grad():
        output, _ = op(**inputs, **options, backend="cpu")
    (called,) = recorder.calls.values()
    assert "_inference" in str(called[0])
    assert torch.equal(output, contract.evaluate(partial(op, **options, backend="cpu"), inputs)["output"])
    torch.library.opcheck(*called)


@pytest.mark.parametrize("result", [0, 1])
@pytest.mark.parametrize("name", RECURRENCES)
def test_gradient_of_one_result(name, result):
    op, gates, options = RECURRENCES[name]
    inputs = make(gates, (3,), 4, 2, 6)
    x = inputs["x"].requires_grad_()

    def gradient(backend):
        results = op(**inputs, **options, backend=backend)
        one = results[result][-1] if isinstance(results[result], tuple) else results[result]
        return torch.autograd.grad(one.square().sum(), x)[0]

    assert_close(gradient("cpu"), gradient("reference"), "gradient of x")


def test_gains_are_left_to_the_reference():
    inputs = (torch.ones(1, 2, 1), torch.ones(3, 1), torch.ones(3, 1))
    gain = torch.ones(3)
    assert torch.equal(gru_scan(*inputs, gain_ih=gain)[0], gru_scan(*inputs, gain_ih=gain, backend="reference")[0])
    with pytest.raises(ValueError, match="'cpu' does not handle gain_ih"):
        gru_scan(*inputs, gain_ih=gain, backend="cpu")
