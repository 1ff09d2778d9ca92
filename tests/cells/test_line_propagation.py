"""LinePropagation: the contract in its four directions, the paper's equations, what each pixel sees."""

from dataclasses import replace

import pytest
import torch
from cells import map_contract
from cells.map_contract import C, H, Subject
from tolerances import assert_close

from sweepseg.cells.line_propagation import LinePropagation, line_scan

TURNS = {  # the way there and back
    "down": (lambda x: x, lambda x: x),
    "up": (lambda x: x.flip(2), lambda x: x.flip(2)),
    "right": (lambda x: x.mT, lambda x: x.mT),
    "left": (lambda x: x.mT.flip(2), lambda x: x.flip(2).mT),
}
SUBJECTS = {
    name: Subject(
        LinePropagation,
        {"direction": name},
        {"direction": "down"},
        *turns,
        axis=2 if name in ("down", "up") else 3,
        backwards=name in ("up", "left"),
    )
    for name, turns in TURNS.items()
}


@pytest.mark.parametrize("promise", map_contract.promises(SUBJECTS))
def test_contract(promise):
    promise()


def paper(cell, x):
    """Wang et al. 2025: sigmoids over their sum, tri-diagonal matrices, downwards, one channel at a time."""
    outputs = torch.empty(x.shape[0], H, *x.shape[2:], dtype=x.dtype)
    factors = torch.einsum("rc,bchw->brhw", cell.weight_ih, x) + cell.bias_ih[:, None, None]
    width = x.shape[3]
    for b in range(x.shape[0]):
        for channel in range(H):
            value, scale, u, *raw = factors[b, channel::H]
            h = torch.zeros(width, dtype=x.dtype)
            for t in range(x.shape[2]):
                matrix = torch.zeros(width, width, dtype=x.dtype)
                for j in range(width):
                    for k, step in enumerate((-1, 0, 1)):
                        if 0 <= j + step < width:
                            matrix[j, j + step] = 1 / (1 + torch.exp(-raw[k][t, j]))
                h = (matrix / matrix.sum(1, keepdim=True)) @ h + scale[t] * value[t]
                outputs[b, channel, t] = u[t] * h
    return outputs


def compare(cell):
    cell, x = cell.double(), torch.randn(2, C, 5, 6).double()
    with torch.no_grad():
        assert_close(cell(x)[0], paper(cell, x), "output")


def test_equals_the_paper():
    compare(LinePropagation(C, H, "down"))


def test_catches_swapped_neighbours(monkeypatch):
    def swapped(update, left, center, right, *others, **options):
        return line_scan(update, right, center, left, *others, **options)

    monkeypatch.setattr("sweepseg.cells.line_propagation.line_scan", swapped)
    with pytest.raises(AssertionError, match="output"):
        compare(LinePropagation(C, H, "down"))


def test_catches_borders_that_leak(monkeypatch):
    """Weights that count neighbours outside of the map."""
    where = "sweepseg.cells.line_propagation._normalised"
    monkeypatch.setattr(where, lambda *weights: torch.softmax(torch.stack(weights).sigmoid().log(), 0).unbind())
    with pytest.raises(AssertionError, match="output"):
        compare(LinePropagation(C, H, "down"))


def test_weights_add_up_to_one_also_at_the_borders():
    """A state of ones stays ones where nothing is added, however wide the map, and with all weights closed."""
    for width in (1, 2, 7):
        cell = LinePropagation(C, H, "down").double()
        with torch.no_grad():
            cell.weight_ih[:H], cell.bias_ih[:H] = 0, 0  # value
            cell.bias_ih[3 * H :] = -1e4
        x = torch.randn(2, C, 9, width).double()
        _, state = cell(x, torch.ones(2, H, width).double())
        assert_close(state, torch.ones_like(state), "state")


@pytest.mark.parametrize("direction", SUBJECTS)
def test_sees_a_triangle_of_the_lines_before(direction):
    """From a pixel of the last line: its own place there, one pixel more to both sides in each line before."""
    x = torch.randn(1, C, 4, 9, requires_grad=True)
    turn, back = TURNS[direction]
    output, _ = LinePropagation(C, H, direction)(back(x))
    (gradient,) = torch.autograd.grad(turn(output)[0, :, 3, 4].sum(), x)
    seen = [int(row.any(0).sum()) for row in gradient[0].unbind(1)]
    assert seen == [7, 5, 3, 1]


def test_contract_catches():
    class LosesState(LinePropagation):
        def forward(self, x, state=None):
            return super().forward(x)

    class IgnoresDirection(LinePropagation):
        def __init__(self, input_size, hidden_size, direction):
            super().__init__(input_size, hidden_size, "down")

    with pytest.raises(AssertionError):
        map_contract.strips_carry_the_state(replace(SUBJECTS["down"], make=LosesState))
    with pytest.raises(AssertionError):
        map_contract.turned_map_turns_the_result(replace(SUBJECTS["left"], make=IgnoresDirection))


def test_refuses_other_directions():
    with pytest.raises(ValueError, match="direction is 'north'; give one of down, up, right, left"):
        LinePropagation(C, H, "north")


def test_says_its_direction():
    assert repr(LinePropagation(C, H, "up")) == "LinePropagation(3, 4, direction=up)"
