"""region_gru against torch.nn.GRU, region by region."""

import torch
from tolerances import assert_close
from torch import nn

from sweepseg.cells import GRU
from sweepseg.models.textbook.region_gru import RegionReader, region_gru


def test_a_region_is_what_the_gru_ends_with():
    cell, x = GRU(3, 4).double(), torch.randn(2, 3, 6, 9).double()
    theirs = nn.GRU(3, 4, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    regions = RegionReader(cell, 3)(x)
    assert regions.shape == (2, 4, 2, 3)
    for row in range(2):
        for column in range(3):
            region = x[:, :, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
            _, (last,) = theirs(region.flatten(2).transpose(1, 2))
            assert_close(regions[:, :, row, column], last, f"region {row}, {column}")


def test_regions_of_16_pixels_each_know_of_all_others():
    model, x = region_gru(2).double().eval(), torch.randn(1, 3, 48, 64).double()
    maps = {}
    for name in ("regions", "context"):
        model.stages[name].register_forward_hook(lambda stage, _, out, name=name: maps.update({name: out}))
    model(x.requires_grad_())
    own, informed = maps["regions"], maps["context"][0]
    assert own.shape == informed.shape == (1, 64, 3, 4)
    (of_own,) = torch.autograd.grad(own[..., 0, 0].sum(), x, retain_graph=True)
    (of_all,) = torch.autograd.grad(informed[..., 0, 0].sum(), x)
    assert not of_own[..., 20:, :].any() and not of_own[..., 20:].any() and of_all[..., -1, -1].any()
