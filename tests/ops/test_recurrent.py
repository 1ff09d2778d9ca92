"""What the contract's small sizes do not reach in the compiled recurrences with weights, and faults it must see."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from ops import contract
from ops.oracle import one_in_three_dropped, random
from tolerances import assert_close
from torch.utils._pytree import tree_leaves, tree_map

from sweepseg.ops import _native, elman_scan, gru_scan, lstm_scan
from sweepseg.ops.gru_scan._cpu import SCANS

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


@pytest.mark.parametrize("steps", contract.LONG)
@pytest.mark.parametrize("name", RECURRENCES)
def test_long_sequences_in_float32(name, steps):
    op, gates, options = RECURRENCES[name]
    inputs = make(gates, (2,), steps, 3, 5)
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


# bfloat16 in inference: products of bfloat16, sums and states in float32.

NARROW = ("gru", "gru, reset before", "lstm")  # elman's state lives on in products alone, which would round it
NARROW_SIZES = {
    "one step": ((3,), 1, 5, 7),
    "two steps of 70 rows": ((70,), 2, 1, 33),
    "37 steps, two batch dimensions": ((3, 5), 37, 7, 33),
    "500 steps, whole tiles": ((4,), 500, 32, 32),
}


def in_bfloat16(inputs):
    return tree_map(torch.Tensor.bfloat16, inputs)


@torch.no_grad()
def infer(name, inputs, backend="cpu", **options):
    """The output and the final states, one after the other."""
    op, _, fixed = RECURRENCES[name]
    return tree_leaves(op(**inputs, **fixed, **options, backend=backend))


def assert_rounding_only(actual, exact):
    """N11: root of the mean square of the error at most 1 % of the result's."""
    assert [result.dtype for result in actual] == [torch.bfloat16] + [torch.float32] * (len(actual) - 1)
    for result, expected in zip(actual, exact, strict=True):
        error = (result.double() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
        assert error <= 0.01, f"{error:.4f}"


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("size", NARROW_SIZES)
@pytest.mark.parametrize("mask", [False, True])
def test_bfloat16_inference(name, size, mask):
    inputs = in_bfloat16(make(RECURRENCES[name][1], *NARROW_SIZES[size], mask=mask))
    for reverse in (False, True):
        actual = infer(name, inputs, reverse=reverse)
        exact = infer(name, tree_map(torch.Tensor.double, inputs), "reference", reverse=reverse)
        assert_rounding_only(actual, exact)
        last = 0 if reverse else -1
        assert torch.equal(actual[0][..., last, :], actual[1].bfloat16()), "y is h, rounded as torch rounds"


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_gates_of_bfloat16(name):
    """One step from a state that bfloat16 holds rounds nothing else: 2e-5 of each gate, of states up to 4."""
    inputs = in_bfloat16(make(RECURRENCES[name][1], (70,), 1, 5, 33))
    _, *actual = infer(name, inputs)
    _, *exact = infer(name, tree_map(torch.Tensor.double, inputs), "reference")
    for state, expected in zip(actual, exact, strict=True):
        assert (state - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", NARROW)
def test_planted_fault_in_bfloat16_shows(name):
    """One weight of 7 seen as its neighbour."""
    inputs = in_bfloat16(make(RECURRENCES[name][1], (3, 5), 37, 7, 33))
    exact = infer(name, tree_map(torch.Tensor.double, inputs), "reference")
    inputs["weight_ih"][:, 6] = inputs["weight_ih"][:, 5]
    with pytest.raises(AssertionError):
        assert_rounding_only(infer(name, inputs), exact)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_bfloat16_inference_equals_torch_nn(name):
    layer = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[name](5, 7, batch_first=True).bfloat16()
    weight_ih, weight_hh, bias_ih, bias_hh = layer.parameters()
    inputs = {"x": random(3, 500, 5).bfloat16(), "weight_ih": weight_ih, "weight_hh": weight_hh}
    actual = infer(name, inputs | {"bias_ih": bias_ih, "bias_hh": bias_hh})
    with torch.no_grad():
        output, final = layer.double()(inputs["x"].double())
    assert_rounding_only(actual, [output, *(state[0] for state in tree_leaves(final))])


def slow_leak(gates):
    """4096 steps in which a state moves a thousandth of the way; gate 1 of gru and lstm keeps it, 0 of lstm adds."""
    inputs = make(gates, (2,), 4096, 3, 5)
    inputs["bias_ih"][:10] = torch.tensor([-7.0, 7.0]).repeat_interleave(5)
    inputs["bias_hh"][:10] = 0
    return in_bfloat16(inputs)


@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_keeps_the_state_in_float32(name):
    inputs = slow_leak(RECURRENCES[name][1])
    exact = infer(name, tree_map(torch.Tensor.double, inputs), "reference")
    assert_rounding_only(infer(name, inputs), exact)


@pytest.mark.parametrize("name", NARROW)
def test_planted_fault_of_a_bfloat16_state_shows(name):
    inputs = slow_leak(RECURRENCES[name][1])
    exact = infer(name, tree_map(torch.Tensor.double, inputs), "reference")
    outputs = []
    for x in inputs["x"].split(1, dim=1):
        output, *final = infer(name, inputs | {"x": x})
        inputs["initial"] = tuple(in_bfloat16(final)) if name == "lstm" else final[0].bfloat16()
        outputs.append(output)
    with pytest.raises(AssertionError):
        assert_rounding_only([torch.cat(outputs, dim=1), *final], exact)


@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_of_views(name):
    inputs = in_bfloat16(make(RECURRENCES[name][1], (4, 5), 6, 7, 9))
    steps_first = torch.full((6, 4, 5, 9), torch.nan, dtype=torch.bfloat16).permute(1, 2, 0, 3)[..., 1:8]
    channels_first = torch.empty(4, 7, 6, 5, dtype=torch.bfloat16).permute(0, 3, 2, 1)
    expected = infer(name, inputs)
    for view in (steps_first, channels_first):
        actual = infer(name, inputs | {"x": view.copy_(inputs["x"])})
        assert all(map(torch.equal, actual, expected))


@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_bits_depend_on_the_sequence_alone(name):
    """Not on the number of threads nor on other sequences, be they NaN."""
    inputs = in_bfloat16(make(RECURRENCES[name][1], (64, 8), 8, 5, 23))
    threads = torch.get_num_threads()
    try:
        one, two = (torch.set_num_threads(count) or infer(name, inputs) for count in (1, 2))
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, one, two))
    inputs["x"][1::2] = torch.nan
    for result, expected in zip(infer(name, inputs), one, strict=True):
        assert torch.equal(result[::2], expected[::2]) and result[1::2].isnan().all()


def operation_called(name, inputs):
    with contract._Recorder() as recorder:
        infer(name, inputs)
    (called,) = recorder.calls.values()
    return called


def dtype_of_the_products(name, inputs):
    """That of x as it comes to the operation."""
    return operation_called(name, inputs)[1][0].dtype


@pytest.mark.parametrize("name", RECURRENCES)
def test_bfloat16_kernel_runs_where_there_is_one(name):
    inputs = in_bfloat16(make(RECURRENCES[name][1], (2, 5), 7, 3, 20))
    narrow = name in NARROW and _native.multiplies_bfloat16()
    assert dtype_of_the_products(name, inputs) == (torch.bfloat16 if narrow else torch.float32)
    assert dtype_of_the_products(name, inputs | {"weight_hh": inputs["weight_hh"].float()}) == torch.float32
    wide = tree_map(torch.Tensor.float, {key: inputs[key] for key in ("bias_ih", "initial")})
    assert all(map(torch.equal, infer(name, inputs | wide), infer(name, inputs)))


@pytest.mark.parametrize("name", NARROW)
def test_bfloat16_operation_is_well_defined(name):
    inputs = in_bfloat16(make(RECURRENCES[name][1], (2, 5), 7, 3, 20))
    torch.library.opcheck(*operation_called(name, inputs))
    run = torch.compile(partial(infer, name, inputs), fullgraph=True, backend="aot_eager")
    assert all(map(torch.equal, run(), infer(name, inputs)))


def test_bfloat16_is_widened_where_there_is_no_kernel(monkeypatch):
    inputs = in_bfloat16(make(3, (2, 5), 7, 3, 20))
    monkeypatch.delitem(SCANS[True].kernels, torch.bfloat16, raising=False)
    assert dtype_of_the_products("gru", inputs) == torch.float32
    exact = infer("gru", tree_map(torch.Tensor.double, inputs), "reference")
    for actual, expected in zip(infer("gru", inputs), exact, strict=True):
        assert_close(actual, expected, "result")


@pytest.mark.parametrize("library", [None, object(), SimpleNamespace(sweepseg_multiplies_bfloat16=lambda: 0)])
def test_machines_without_bfloat16(monkeypatch, library):
    monkeypatch.setattr(_native, "library", library)
    assert torch.bfloat16 not in _native.functions("gru_scan")
