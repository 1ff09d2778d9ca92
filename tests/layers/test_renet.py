"""ReNet against a loop over pixels, and its full field."""

import pytest
import torch
import torch.nn.functional as F
from tolerances import assert_close

from sweepseg.cells import GRU, LSTM, MinGRU
from sweepseg.layers.renet import ReNet, split_patches

C, H = 2, 3


def renet(cell=GRU, patch=(1, 1)):
    size = C * patch[0] * patch[1]
    return ReNet(cell(size, H), cell(size, H), cell(2 * H, H), cell(2 * H, H), patch=patch)


@pytest.mark.parametrize("patch", [(1, 1), (2, 2), (2, 3), (3, 1)])
def test_patches_are_torchs_unfold(patch):
    x = torch.randn(2, C, 6, 12)
    size = (6 // patch[0], 12 // patch[1])
    expected = F.unfold(x, patch, stride=patch).unflatten(2, size)
    assert torch.equal(split_patches(x, patch), expected)


def by_pixels(layer, x):
    """Visin et al. 2015, section 2: z = f(z of the neighbour before, patch), one step at a time."""

    def line(cell, steps):
        state, outputs = None, []
        for step in steps:
            output, state = cell(step[None, None], state)
            outputs.append(output[0, 0])
        return outputs

    def both(forth, back, steps):
        return [torch.cat(pair) for pair in zip(line(forth, steps), line(back, steps[::-1])[::-1], strict=True)]

    (down, up), (right, left) = ([sweep.cell for sweep in part.sweeps] for part in (layer.columns, layer.rows))
    samples = []
    for grid in F.unfold(x, layer.patch, stride=layer.patch).unflatten(2, (x.shape[2] // layer.patch[0], -1)):
        vertical = [both(down, up, list(grid[:, :, column].T)) for column in range(grid.shape[2])]  # [column][row]
        horizontal = [both(right, left, list(row)) for row in zip(*vertical, strict=True)]  # [row][column]
        samples.append(torch.stack([torch.stack(row) for row in horizontal]).permute(2, 0, 1))
    return torch.stack(samples)


@pytest.mark.parametrize("cell", [GRU, LSTM, MinGRU])
@pytest.mark.parametrize("patch", [(1, 1), (2, 3)])
def test_equals_the_paper(cell, patch):
    layer, x = renet(cell, patch).double(), torch.randn(2, C, 4, 6).double()
    assert_close(layer(x)[0], by_pixels(layer, x), "output")


def swap_directions(layer):
    layer.rows.sweeps[0], layer.rows.sweeps[1] = layer.rows.sweeps[1], layer.rows.sweeps[0]


def rows_twice(layer):
    layer.columns.sweeps[1].order = layer.columns.sweeps[0].order


@pytest.mark.parametrize("fault", [swap_directions, rows_twice])
def test_the_paper_catches(fault):
    layer, x = renet().double(), torch.randn(2, C, 4, 6).double()
    expected = by_pixels(layer, x)
    fault(layer)
    with pytest.raises(AssertionError):
        assert_close(layer(x)[0], expected, "output")


def test_one_layer_sees_the_full_field():
    x = torch.randn(1, C, 5, 7, requires_grad=True)
    output, _ = renet()(x)
    for row in (0, 4):
        for column in (0, 6):
            (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), x, retain_graph=True)
            assert gradient.any(dim=1).all()


def test_strips_carry_the_state_of_the_downward_sweep():
    layer, x = renet(MinGRU, (2, 1)), torch.randn(1, C, 6, 5)
    layer.columns.sweeps[1].cell.weight_ih.data.zero_()  # no news from below
    layer.columns.sweeps[1].cell.bias_ih.data.zero_()
    whole, _ = layer(x)
    top, state = layer(x[:, :, :4])
    bottom, _ = layer(x[:, :, 4:], state)
    assert_close(torch.cat((top, bottom), dim=2), whole, "strips")


def test_refuses_maps_that_do_not_divide():
    with pytest.raises(ValueError, match="a map of 5x6 does not divide into patches of 2x3; pad it"):
        renet(patch=(2, 3))(torch.zeros(1, C, 5, 6))
