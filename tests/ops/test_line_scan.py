"""line_scan: its contract, maps worked by hand, directions, and faults that the contract must catch."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from ops import contract
from ops.oracle import by_time, random, times
from tolerances import assert_close

from sweepseg.ops import line_scan, linear_scan
from sweepseg.ops.line_scan import BACKENDS

W = 5


def oracle(update, left, center, right, initial, reverse):
    """Liu et al. 2017, section 3: each row is a tri-diagonal matrix times the row before, plus the update."""
    h, rows = initial, {}
    for t in times(update.shape[-2], reverse):
        matrix = torch.diag_embed(center[..., t, :])
        if update.shape[-1] > 1:
            matrix = matrix + torch.diag_embed(left[..., t, 1:], -1) + torch.diag_embed(right[..., t, :-1], 1)
        h = (matrix @ h.unsqueeze(-1)).squeeze(-1) + update[..., t, :]
        rows[t] = h
    return by_time(rows), h


def make(batch, steps, width=W):
    weights = torch.softmax(random(3, *batch, steps, width), 0)
    return {
        "update": random(*batch, steps, width),
        **dict(zip(("left", "center", "right"), weights, strict=True)),
        "initial": random(*batch, width),
    }


CASE = contract.Case("line", line_scan, oracle, make, sequences=("update", "left", "center", "right"))


@pytest.mark.parametrize("promise", contract.promises([CASE], BACKENDS))
def test_contract(promise):
    promise()


every_backend = pytest.mark.parametrize("backend", [subject.backend for subject in contract.subjects([CASE], BACKENDS)])


@every_backend
@pytest.mark.parametrize("size", [(1, 150, 19, 7), (5, 21, 11, 6), (2, 64, 9, 2)], ids=str)
@pytest.mark.parametrize("along", ["columns", "rows"])
@pytest.mark.parametrize("reverse", [False, True])
def test_channels_last_maps(size, along, reverse, backend):
    """Many channels and few, in the memory that kernels are made for, with all gradients."""
    inputs = make(size[:2], *size[2:])
    maps = {name: inputs[name].contiguous(memory_format=torch.channels_last) for name in CASE.sequences}
    if along == "rows":
        maps = {name: value.mT for name, value in maps.items()}
        inputs["initial"] = random(*size[:2], size[2])
    actual = contract.evaluate(partial(line_scan, reverse=reverse, backend=backend), inputs | maps)
    contract.assert_all_close(actual, contract.evaluate(partial(oracle, reverse=reverse), inputs | maps))


@pytest.mark.parametrize("along", ["columns", "rows"])
def test_maps_larger_than_the_caches(along):
    inputs = {name: value.float() for name, value in make((2, 64), 96, 100).items() if name != "initial"}
    maps = {name: value.contiguous(memory_format=torch.channels_last) for name, value in inputs.items()}
    if along == "rows":
        maps = {name: value.mT for name, value in maps.items()}
    one = contract.on_threads(1, line_scan, maps)
    exact = contract.evaluate(partial(line_scan, backend="reference"), {k: v.double() for k, v in maps.items()})
    contract.assert_all_close(one, exact)
    contract.assert_same_bits(one, contract.on_threads(2, line_scan, maps))


@every_backend
@pytest.mark.parametrize("width", [1, 2, 3, 17])
def test_widths(width, backend):
    arguments = make((2,), 4, width)
    output, final = line_scan(**arguments, backend=backend)
    expected, expected_final = oracle(**arguments, reverse=False)
    assert_close(output, expected, "output")
    assert_close(final, expected_final, "final")


@pytest.mark.parametrize("steps", contract.LONG)
@every_backend
def test_long_maps_stay_exact(backend, steps):
    arguments = {name: value.float() for name, value in make((2,), steps, 9).items()}
    output, _ = line_scan(**arguments, backend=backend)
    exact, _ = oracle(**{name: value.double() for name, value in arguments.items()}, reverse=False)
    assert (output - exact).abs().max() <= 1e-6 * exact.abs().max()


def test_pascals_triangle():
    """With weights 1, 0, 1 one pixel spreads into binomial coefficients."""
    update = torch.zeros(1, 4, 9)
    update[0, 0, 4] = 1
    one = torch.ones_like(update)
    output, final = line_scan(update, one, 0 * one, one)
    assert output[0, 3].tolist() == [0, 1, 0, 3, 0, 3, 0, 1, 0]
    assert final.tolist() == output[:, 3].tolist()


def test_weights_belong_to_the_pixel_that_receives():
    """A weight left at column 2 brings in column 1, a weight right at column 0 brings in column 1."""
    row, zero = torch.tensor([[5.0, 7.0, 9.0]]), torch.zeros(1, 1, 3)
    left, right = zero.clone(), zero.clone()
    left[..., 2] = 1
    right[..., 0] = 10
    assert line_scan(zero, left, zero, right, row)[0].flatten().tolist() == [70, 0, 7]


def test_center_alone_is_a_linear_scan():
    given = make((2, 3), 6)
    zero = torch.zeros_like(given["update"])
    output, final = line_scan(given["update"], zero, given["center"], zero, given["initial"])
    expected, expected_final = linear_scan(given["center"], given["update"], given["initial"])
    assert_close(output, expected, "output")
    assert_close(final, expected_final, "final")


@every_backend
@pytest.mark.parametrize("reverse", [False, True])
def test_columns_are_a_transposed_view(reverse, backend):
    """Along the rows of a channels-last map: what a transposed copy gives, and channels-last again."""
    given = {name: value for name, value in make((2, 3), 6).items() if name != "initial"}
    maps = {name: value.contiguous(memory_format=torch.channels_last) for name, value in given.items()}
    output, _ = line_scan(**{name: value.mT for name, value in maps.items()}, reverse=reverse, backend=backend)
    assert output.mT.is_contiguous(memory_format=torch.channels_last)
    copies = {name: value.mT.contiguous() for name, value in given.items()}
    expected, _ = oracle(**copies, initial=torch.zeros(2, 3, 6).double(), reverse=reverse)
    assert_close(output, expected, "output")


@every_backend
def test_shared_weights_are_a_view(backend):
    """One weight a pixel for all channels, gradients included."""
    given = make((2, 3), 4)
    shared = {name: given[name][:, :1] for name in ("left", "center", "right")}

    def run(left, center, right, **others):
        weights = (weight.expand(2, 3, 4, W) for weight in (left, center, right))
        return line_scan(others["update"], *weights, others["initial"], backend=backend)

    def expected(left, center, right, **others):
        weights = (torch.cat([weight] * 3, 1) for weight in (left, center, right))
        return oracle(others["update"], *weights, others["initial"], reverse=False)

    contract.assert_all_close(contract.evaluate(run, given | shared), contract.evaluate(expected, given | shared))


def faulty(**changes):
    def fault(**arguments):
        changed = {name: change(arguments) for name, change in changes.items()}
        return line_scan(**arguments | changed)

    return fault


@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        (faulty(left=lambda given: given["right"], right=lambda given: given["left"]), "float64"),
        (faulty(left=lambda given: given["left"].roll(1, -1)), "float32"),
        (faulty(center=lambda given: given["center"].roll(1, -2)), "split_is_whole"),
        (faulty(center=lambda given: 0.99 * given["center"]), "bfloat16"),
        (faulty(right=lambda given: given["right"].detach() + 0 * given["right"]), "gradcheck"),
        (faulty(initial=lambda given: 0 * given["initial"]), "split_is_whole"),
        (faulty(reverse=lambda given: False), "reverse_is_flip"),
    ],
)
def test_contract_catches(fault, promise):
    with pytest.raises((AssertionError, RuntimeError)):
        contract.PROMISES[promise](contract.Subject(replace(CASE, op=fault), "reference", "cpu"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"update": torch.ones(4, 3)}, r"sequence of shape \(4, 3\)"),
        ({"left": torch.ones(2, 4, 1)}, r"left has shape \(2, 4, 1\); give \(2, 4, 3\)"),
        ({"right": torch.ones(2, 3, 4)}, r"right has shape \(2, 3, 4\); give \(2, 4, 3\)"),
        ({"initial": torch.ones(2, 4)}, r"initial has shape \(2, 4\); give \(2, 3\)"),
        ({"backend": "magic"}, "'magic' does not exist"),
    ],
)
def test_wrong_arguments(changed, message):
    arguments = {name: torch.ones(2, 4, 3) for name in ("update", "left", "center", "right")}
    with pytest.raises(ValueError, match=message):
        line_scan(**arguments | changed)
