"""The row-wise convolutional cells: the contract in their four directions, what each pixel sees, initial values."""

from dataclasses import replace

import pytest
import torch
from cells import map_contract
from cells.map_contract import C, H, Subject
from cells.test_line_propagation import TURNS

from sweepseg.cells import RowConvGRU, RowConvLSTM

CELLS = {"gru": RowConvGRU, "lstm": RowConvLSTM}
SUBJECTS = {
    f"{name} {direction}": Subject(
        cell,
        {"direction": direction},
        {"direction": "down"},
        *turns,
        axis=2 if direction in ("down", "up") else 3,
        backwards=direction in ("up", "left"),
    )
    for name, cell in CELLS.items()
    for direction, turns in TURNS.items()
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


@pytest.mark.parametrize("promise", map_contract.promises(SUBJECTS))
def test_contract(promise):
    promise()


@every_cell
@pytest.mark.parametrize("direction", TURNS)
@pytest.mark.parametrize(("kernel_size", "widths"), [(1, [1, 1, 1, 1]), (3, [7, 5, 3, 1]), (5, [11, 9, 5, 1])])
def test_sees_a_triangle_of_the_lines_before(cell, direction, kernel_size, widths):
    """From a pixel of the last line: its own place there, K // 2 pixels more to both sides in each line before."""
    x = torch.randn(1, C, 4, 11, requires_grad=True)
    turn, back = TURNS[direction]
    output, _ = cell(C, H, direction, kernel_size)(back(x))
    (gradient,) = torch.autograd.grad(turn(output)[0, :, 3, 5].sum(), x)
    assert [int(row.any(0).sum()) for row in gradient[0].unbind(1)] == widths


def test_contract_catches():
    class LosesState(RowConvLSTM):
        def forward(self, x, state=None):
            return super().forward(x, None if state is None else (state[0], 0 * state[1]))

    class IgnoresDirection(RowConvGRU):
        def __init__(self, input_size, hidden_size, direction):
            super().__init__(input_size, hidden_size, "down")

    with pytest.raises(AssertionError):
        map_contract.strips_carry_the_state(replace(SUBJECTS["lstm down"], make=LosesState))
    with pytest.raises(AssertionError):
        map_contract.turned_map_turns_the_result(replace(SUBJECTS["gru left"], make=IgnoresDirection))


@every_cell
def test_initial_values(cell):
    """Uniform in +-1 / sqrt(hidden_size) as in torch.nn, with K taps in +-1 / sqrt(hidden_size * K)."""
    for name, parameter in cell(C, 32, "down", 5).named_parameters():
        bound = (32 * 5 if name == "weight_hh" else 32) ** -0.5
        assert 0.9 * bound < parameter.abs().max() <= bound, name


@every_cell
def test_without_biases_and_with_dropout(cell):
    made = cell(C, H, "down", bias=False, dropout=0.5)
    assert [name for name, _ in made.named_parameters()] == ["weight_ih", "weight_hh"]
    dropped = (made(torch.randn(2, C, 20, 20))[0] == 0).float().mean()
    assert 0.4 < dropped < 0.6


@every_cell
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"direction": "north"}, "direction is 'north'; give one of down, up, right, left"),
        ({"kernel_size": 4}, "kernel_size is 4; give an odd number"),
        ({"kernel_size": -1}, "kernel_size is -1; give an odd number"),
        ({"dropout": 1}, "dropout is 1"),
    ],
)
def test_refuses(cell, changed, message):
    with pytest.raises(ValueError, match=message):
        cell(C, H, **{"direction": "down"} | changed)


@every_cell
def test_says_its_direction(cell):
    assert repr(cell(C, H, "up")) == f"{cell.__name__}(3, 4, direction=up, kernel_size=3)"
