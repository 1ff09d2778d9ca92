"""What every cell over maps keeps. Its test runs a `Subject` for each of its directions through `PROMISES`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tolerances import assert_close
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

C, H = 3, 4


@dataclass(frozen=True)
class Subject:
    """A cell and one of its directions.

    Args:
        make: (input_size, hidden_size, **options) -> cell.
        options: The direction.
        first: The options of the direction that runs from the first row to the last.
        turn: Turns a map such that the cell with ``first`` runs over it as this one does over the map itself.
        back: The inverse of ``turn``.
        axis: The dimension of the map along which its lines follow each other.
        backwards: Whether they follow from the last to the first.
    """

    make: Callable[..., nn.Module]
    options: dict[str, Any]
    first: dict[str, Any]
    turn: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]
    axis: int
    backwards: bool

    def cell(self) -> nn.Module:
        return self.make(C, H, **self.options)


def shapes_and_dtypes(subject):
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        output, state = subject.cell().to(dtype)(torch.randn(2, C, 6, 7).to(dtype))
        assert output.shape == (2, H, 6, 7) and output.dtype == dtype
        for leaf in tree_leaves(state):
            assert leaf.shape == (2, H, 6 if subject.axis == 3 else 7)
            assert leaf.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def autocast(subject):
    cell, x = subject.cell(), torch.randn(2, C, 6, 7)
    expected, _ = cell(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, state = cell(x)
    assert {leaf.dtype for leaf in (output, *tree_leaves(state))} == {torch.float32}
    torch.testing.assert_close(output, expected, rtol=0.05, atol=0.05)


def strips_carry_the_state(subject):
    """Cut into lines anywhere, with the state carried over the cut, values and gradients are those of the whole map."""
    cell, x = subject.cell().double(), torch.randn(2, C, 5, 6).double().requires_grad_()
    whole, final = cell(x)
    cotangent = torch.randn_like(whole)
    gradients = torch.autograd.grad(whole, (x, *cell.parameters()), cotangent)
    for cut in range(1, 5):
        parts = x.tensor_split([cut], subject.axis)
        first, state = cell(parts[subject.backwards])
        second, state = cell(parts[not subject.backwards], state)
        joined = torch.cat((second, first) if subject.backwards else (first, second), subject.axis)
        assert_close(joined, whole, "output")
        for actual, expected in zip(tree_leaves(state), tree_leaves(final), strict=True):
            assert_close(actual, expected, "state")
        cut_gradients = torch.autograd.grad(joined, (x, *cell.parameters()), cotangent)
        for actual, expected in zip(cut_gradients, gradients, strict=True):
            assert_close(actual, expected, "gradient")


def turned_map_turns_the_result(subject):
    cell, first, x = subject.cell().double(), subject.make(C, H, **subject.first).double(), torch.randn(2, C, 5, 6)
    first.load_state_dict(cell.state_dict())
    assert_close(cell(x.double())[0], subject.back(first(subject.turn(x.double()))[0]), "output")


def samples_are_independent(subject):
    cell, x = subject.cell(), torch.randn(4, C, 6, 7)
    others = torch.cat((x[:1], torch.randn(3, C, 6, 7)))
    output, _ = cell(x)
    assert torch.equal(cell(others)[0][0], output[0])
    assert_close(cell(x[:1])[0], output[:1], "alone")


def channels_last_stays_channels_last(subject):
    x = torch.randn(2, C, 6, 7).contiguous(memory_format=torch.channels_last)
    assert subject.cell()(x)[0].is_contiguous(memory_format=torch.channels_last)


def a_step_of_training_changes_every_parameter(subject):
    cell = subject.cell()
    before = {name: parameter.clone() for name, parameter in cell.named_parameters()}
    output, _ = cell(torch.randn(4, C, 6, 7))
    (output * torch.randn_like(output)).sum().backward()
    torch.optim.SGD(cell.parameters(), lr=10).step()
    for name, parameter in cell.named_parameters():
        assert (parameter != before[name]).all(), name


def one_row_one_column_and_no_map(subject):
    for size in ((1, 1), (1, 5), (5, 1)):
        assert subject.cell()(torch.randn(2, C, *size))[0].isfinite().all()
    assert subject.cell()(torch.randn(0, C, 6, 7))[0].shape == (0, H, 6, 7)


def inputs_100_times_too_large_stay_finite(subject):
    for dtype in (torch.float32, torch.bfloat16):
        cell, x = subject.cell().to(dtype), (100 * torch.randn(1, C, 40, 40)).to(dtype).requires_grad_()
        output, _ = cell(x)
        output.float().sum().backward()
        assert all(tensor.isfinite().all() for tensor in (output, x.grad, *(p.grad for p in cell.parameters())))


def one_graph(subject):
    cell, x = subject.cell(), torch.randn(2, C, 3, 4)
    torch.compiler.reset()
    compiled = torch.compile(cell, fullgraph=True, backend="eager")
    assert_close(compiled(x)[0], cell(x)[0], "output")


PROMISES = [
    shapes_and_dtypes,
    autocast,
    strips_carry_the_state,
    turned_map_turns_the_result,
    samples_are_independent,
    channels_last_stays_channels_last,
    a_step_of_training_changes_every_parameter,
    one_row_one_column_and_no_map,
    inputs_100_times_too_large_stay_finite,
    one_graph,
]


def promises(subjects: dict[str, Subject]) -> list[Any]:
    """Parameters for pytest: every promise about every subject, as a function without arguments."""
    return [
        pytest.param(lambda promise=promise, subject=subject: promise(subject), id=f"{name}-{promise.__name__}")
        for name, subject in subjects.items()
        for promise in PROMISES
    ]
