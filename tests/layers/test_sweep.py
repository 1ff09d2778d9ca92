"""Sweeps over maps: which pixel sees which, symmetry, state."""

import pytest
import torch
from tolerances import assert_close
from torch import nn

from sweepseg.cells import CELLS, GRU, LSTM, MinGRU
from sweepseg.cells.line_propagation import DIRECTIONS, LinePropagation
from sweepseg.cells.md_lstm import MDLSTM
from sweepseg.layers.merge import Concat, Sum
from sweepseg.layers.sweep import Sweep, Sweeps
from sweepseg.orders import ORDERS, backward, columns, patches, raster, rows, unroll

C, H = 3, 4
FOUR_WAYS = (rows, backward(rows), columns, backward(columns))
OVER_MAPS = {
    "line propagation in four directions": [LinePropagation(C, H, direction) for direction in DIRECTIONS],
    "two-dimensional LSTM from four corners": [
        MDLSTM(C, H, reverse=reverse, leftwards=leftwards) for reverse in (False, True) for leftwards in (False, True)
    ],
}
BARS = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 5e-2}
SYMMETRIES = {
    "flip left-right": lambda x: x.flip(3),
    "flip top-bottom": lambda x: x.flip(2),
    "transpose": lambda x: x.mT,
    "rotate": lambda x: x.rot90(1, (2, 3)),
}


def four_ways(cell, *, tied):
    """Sweeps in four directions, of one cell or of four."""
    cells = [cell(C, H)] * 4 if tied else [cell(C, H) for _ in FOUR_WAYS]
    return Sweeps([Sweep(cell, order) for cell, order in zip(cells, FOUR_WAYS, strict=True)], Sum())


def asymmetry(layer, symmetry, dtype):
    """Greatest difference between transforming a map before and after the layer, over the greatest output."""
    layer, x = layer.to(dtype), torch.randn(2, C, 6, 9, dtype=dtype)
    with torch.no_grad():
        before, after = layer(symmetry(x))[0], symmetry(layer(x)[0])
    return ((before - after).abs().max() / after.abs().max()).item()


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("symmetry", SYMMETRIES.values(), ids=SYMMETRIES)
def test_tied_sweeps_commute_with_symmetries_and_untied_do_not(cell, symmetry):
    for dtype, bar in BARS.items():
        assert asymmetry(four_ways(cell, tied=True), symmetry, dtype) <= bar
        assert asymmetry(four_ways(cell, tied=False), symmetry, dtype) > 2 * bar


@pytest.mark.parametrize("cells", OVER_MAPS.values(), ids=OVER_MAPS)
def test_cells_over_maps_merge_as_each_on_its_own_and_see_the_full_field(cells):
    x = torch.randn(1, C, 6, 9, requires_grad=True)
    output, _ = Sweeps(cells, Sum())(x)
    assert_close(output, sum(cell(x)[0] for cell in cells), "sum")
    for row, column in ((0, 0), (0, -1), (2, 4), (-1, -1)):
        (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), x, retain_graph=True)
        assert gradient[0].any(0).all()


def test_a_cell_over_maps_stands_beside_sweeps_and_carries_its_own_state():
    layer = Sweeps([MDLSTM(C, H), Sweep(LSTM(C, H), columns), LinePropagation(C, H, "down")], Concat())
    x = torch.randn(2, C, 7, 5)
    whole, _ = layer(x)
    assert_close(whole[:, :H], layer.sweeps[0](x)[0], "the first cell alone")
    assert_close(whole[:, 2 * H :], layer.sweeps[2](x)[0], "the last cell alone")
    state, outputs = None, []
    for strip in x.split(3, dim=2):
        output, state = layer(strip, state)
        outputs.append(output)
    assert_close(torch.cat(outputs, dim=2), whole, "strips")


@pytest.mark.parametrize("order", [*ORDERS.values(), patches(2, 2)], ids=lambda order: order.name)
@pytest.mark.parametrize("direction", [lambda order: order, backward], ids=["forward", "backward"])
def test_a_pixel_changes_what_comes_after_it_and_nothing_before(order, direction):
    order, sweep = direction(order), Sweep(MinGRU(C, H), direction(order))
    x = torch.randn(1, C, 4, 5)
    changed = x.clone()
    changed[:, :, 2, 1] += 1
    with torch.no_grad():
        differs = (sweep(x)[0] != sweep(changed)[0]).any(1, keepdim=True)  # (1, 1, 4, 5)
    is_pixel = torch.zeros(1, 1, 4, 5, dtype=torch.bool)
    is_pixel[..., 2, 1] = True
    visits = unroll(is_pixel, order).flip(-2) if order.reverse else unroll(is_pixel, order)
    later = visits.long().cumsum(-2).bool()
    actual = unroll(differs, order).flip(-2) if order.reverse else unroll(differs, order)
    assert torch.equal(actual, later)


@pytest.mark.parametrize(("layers", "reached"), [(1, False), (2, True)])
def test_two_layers_of_four_ways_see_the_full_field(layers, reached):
    """One layer sees its own row and column; the second everything."""
    x = torch.randn(1, C, 6, 9, requires_grad=True)
    y = x
    for _ in range(layers):
        sweeps = Sweeps([Sweep(GRU(C, C), order) for order in FOUR_WAYS], Sum())
        y, _ = sweeps(y)
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        (gradient,) = torch.autograd.grad(y[0, :, *corner].sum(), x, retain_graph=True)
        opposite = gradient[0, :, -1 - corner[0], -1 - corner[1]]
        assert bool(opposite.any()) is reached


@pytest.mark.parametrize("cell", [MinGRU, LSTM])
def test_equals_a_loop_over_columns(cell):
    """Up a column, pixel after pixel, one sample and one column at a time."""
    cell, x = cell(C, H).double(), torch.randn(2, C, 4, 5).double()
    output, _ = Sweep(cell, backward(columns))(x)
    for sample in range(2):
        for column in range(5):
            state = None
            for row in (3, 2, 1, 0):
                step, state = cell(x[sample, :, row, column].view(1, 1, C), state)
                assert_close(output[sample, :, row, column], step.flatten(), "pixel")


@pytest.mark.parametrize("cell", [MinGRU, GRU, LSTM])
def test_strips_carry_the_state_of_each_sweep(cell):
    layer = Sweeps([Sweep(cell(C, H), order) for order in (rows, backward(rows), columns, raster)], Concat())
    x = torch.randn(2, C, 7, 5)
    whole, final = layer(x)
    state, outputs = None, []
    for strip in x.split(3, dim=2):
        output, state = layer(strip, state)
        outputs.append(output)
    assert_close(torch.cat(outputs, dim=2), whole, "strips")
    assert [entry is None for entry in state] == [True, True, False, False]
    for entry, expected in zip(state[2:], final[2:], strict=True):
        for actual, exact in zip(entry, expected, strict=True):
            assert_close(actual, exact, "state")


@pytest.mark.parametrize("order", [*ORDERS.values()], ids=lambda order: order.name)
def test_channels_last_stays_channels_last(order):
    x = torch.randn(2, C, 4, 5).contiguous(memory_format=torch.channels_last)
    layer = Sweeps([Sweep(MinGRU(C, H), order)] * 2, Concat())
    output, _ = layer(x)
    assert output.shape == (2, 2 * H, 4, 5) and output.is_contiguous(memory_format=torch.channels_last)


def test_says_its_order():
    assert "order=backward rows" in repr(Sweep(nn.Identity(), backward(rows)))
