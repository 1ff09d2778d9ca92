"""A model as a list of stages: order, padding, and what may stream."""

import pytest
import torch
from torch import nn

from sweepseg.cells import MinGRU
from sweepseg.layers.stages import Local, StagedModel, Swept
from sweepseg.layers.sweep import Sweep
from sweepseg.orders import backward, columns, rows


class Records(nn.Module):
    """Keeps what it was called with."""

    def forward(self, *maps):
        self.seen = maps
        return sum(maps)


def test_each_stage_gets_the_maps_it_names():
    first, second, last = Records(), Records(), Records()
    model = StagedModel(
        {
            "a": Local(first, ["image"], halo=0),
            "b": Local(second, ["a"], halo=0),
            "c": Local(last, ["b", "image", "a"], halo=0),
        },
        total_stride=1,
        in_channels=2,
    )
    x = torch.randn(1, 2, 3, 4)
    torch.testing.assert_close(model(x), 3 * x)
    assert len(first.seen) == len(second.seen) == 1 and len(last.seen) == 3


@pytest.mark.parametrize("size", [(1, 1), (4, 8), (5, 3), (7, 9)])
def test_pads_once_below_and_right_by_replication_and_crops(size):
    record = Records()
    model = StagedModel({"a": Local(record, ["image"], halo=0)}, total_stride=4, in_channels=1)
    x = torch.randn(2, 1, *size)
    assert torch.equal(model(x), x)
    (padded,) = record.seen
    height, width = (-(-n // 4) * 4 for n in size)
    rows = torch.arange(height).clamp(max=size[0] - 1)
    columns = torch.arange(width).clamp(max=size[1] - 1)
    assert torch.equal(padded, x[:, :, rows][..., columns])


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (3, 4, 4), (1, 3, 0, 4), (1, 3, 4, 0)])
def test_refuses_what_is_no_image(shape):
    model = StagedModel({"a": Local(Records(), ["image"], halo=0)}, total_stride=1, in_channels=3)
    with pytest.raises(ValueError, match=r"shape \(.*\); give \(B, 3, H, W\)"):
        model(torch.zeros(shape))


@pytest.mark.parametrize("orders", [(columns, rows), (columns, backward(columns)), (backward(columns), columns)])
def test_streams_if_every_sweep_does(orders):
    first, second = (Sweep(MinGRU(2, 2), order) for order in orders)
    stages = {
        "a": Swept(first, ["image"], strips=orders[0].strips),
        "b": Swept(second, ["a"], strips=orders[1].strips),
        "c": Local(Records(), ["b"], halo=0),
    }
    assert StagedModel(stages, total_stride=1, in_channels=2).streamable is (orders == (columns, rows))
