"""Sweeps over volumes against the plain loop, line by line, and where memory is not copied."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.cells import CELLS, MinGRU
from sweepseg.cells.md_lstm import MDLSTM
from sweepseg.layers.merge import Concat
from sweepseg.layers.sweep import Sweep, Sweeps
from sweepseg.layers.volume import VolumeSweeps, six_ways
from sweepseg.orders import FOUR_WAYS, backward, columns

C, H = 3, 4
WAYS = [(4, False), (4, True), (3, False), (3, True), (2, False), (2, True)]  # axis and direction of each sweep


def volume(*, channels_last=True):
    x = torch.randn(2, C, 3, 4, 5)
    return x.contiguous(memory_format=torch.channels_last_3d) if channels_last else x


def cells_of(layer):
    return [sweep.cell for sweep in (*layer.within.sweeps, *layer.along.sweeps)]


def by_the_loop(layer, x):
    """Each cell over each line of voxels, alone, with time as a loop over calls of one step."""
    outputs = []
    for cell, (axis, reverse) in zip(cells_of(layer), WAYS, strict=True):
        lines = x.movedim((axis, 1), (-2, -1)).flatten(0, 2)  # (lines, T, C)
        steps, state = [], None
        for step in reversed(range(lines.shape[1])) if reverse else range(lines.shape[1]):
            y, state = cell(lines[:, step : step + 1], state)
            steps.append(y)
        y = torch.cat(steps[::-1] if reverse else steps, dim=1)
        others = [length for place, length in enumerate(x.shape) if place not in (1, axis)]
        outputs.append(y.unflatten(0, others).movedim((-2, -1), (axis, 1)))
    return torch.cat(outputs, dim=1)


def equals_the_loop(layer, x):
    with torch.no_grad():
        assert_close(layer(x)[0], by_the_loop(layer, x), "six ways")


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_six_ways_equal_the_loop(cell):
    equals_the_loop(six_ways(lambda: cell(C, H)), volume())


@pytest.mark.parametrize("channels_last", [True, False])
def test_any_layout_and_gradients(channels_last):
    layer, x = six_ways(lambda: MinGRU(C, H)), volume(channels_last=channels_last).requires_grad_()
    equals_the_loop(layer, x)
    weights = torch.randn(2, 6 * H, 3, 4, 5)
    ours, theirs = (
        torch.autograd.grad((run(x) * weights).sum(), x)[0]
        for run in (lambda x: layer(x)[0], lambda x: by_the_loop(layer, x))
    )
    assert_close(ours, theirs, "gradient")


def test_a_voxel_sees_the_lines_through_it_and_after_three_layers_all():
    layers = [six_ways(lambda size=size: MinGRU(size, H)) for size in (C, 6 * H, 6 * H)]
    x = volume().requires_grad_()
    once = layers[0](x)[0]
    (seen,) = torch.autograd.grad(once[0, :, 1, 2, 3].sum(), x, retain_graph=True)
    wanted = torch.zeros(3, 4, 5, dtype=torch.bool)
    wanted[1, 2, :] = wanted[1, :, 3] = wanted[:, 2, 3] = True
    assert torch.equal(seen[0].any(0), wanted) and not seen[1].any()
    thrice = layers[2](layers[1](once)[0])[0]
    (seen,) = torch.autograd.grad(thrice[0, :, 0, 0, 0].sum(), x)
    assert seen[0].any(0).all()


class Looks(torch.nn.Module):
    """Notes the memory that comes in."""

    def forward(self, x, state=None):
        self.pointer, self.shape = x.data_ptr(), x.shape
        return x, None


def test_what_the_layers_for_maps_get_are_views():
    layer, x = VolumeSweeps(Looks(), Looks()), volume()
    layer(x)
    assert layer.within.pointer == layer.along.pointer == x.data_ptr()
    assert (layer.within.shape, layer.along.shape) == ((6, C, 4, 5), (2, C, 3, 20))


def test_a_cell_over_maps_runs_within_slices():
    within = MDLSTM(C, H)
    layer, x = VolumeSweeps(within, Sweeps([Sweep(MinGRU(C, H), columns)], Concat())), volume()
    with torch.no_grad():
        for place in range(x.shape[2]):
            assert_close(layer(x)[0][:, :H, place], within(x[:, :, place])[0], f"slice {place}")


def swapped():
    """Depth in the places of height: what a wrong view would do."""
    layer = six_ways(lambda: MinGRU(C, H))
    layer.along = Sweeps([Sweep(MinGRU(C, H), order) for order in (columns, columns)], Concat())
    return layer


def rows_along_the_depth():
    orders = (FOUR_WAYS[0], backward(FOUR_WAYS[0]))
    layer = six_ways(lambda: MinGRU(C, H))
    layer.along = Sweeps([Sweep(MinGRU(C, H), order) for order in orders], Concat())
    return layer


@pytest.mark.parametrize("fault", [swapped, rows_along_the_depth])
def test_faults_are_caught(fault):
    with pytest.raises(AssertionError):
        equals_the_loop(fault(), volume())
