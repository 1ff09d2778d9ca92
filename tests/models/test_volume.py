"""Where SweepNet for volumes sweeps; what it shares with the others is tested over the table of models."""

import pytest
import torch
from stirring import as_if_trained

from sweepseg.layers.blocks import count_parameters
from sweepseg.layers.stages import Swept
from sweepseg.models.volume import sweepnet_volume_small, sweepnet_volume_small_control


def test_size_and_sweeps():
    model = sweepnet_volume_small(3)
    assert 0.45e6 < count_parameters(model) < 0.48e6
    swept = [name for name, stage in model.stages.items() if isinstance(stage, Swept)]
    assert swept == ["context2_0", "context4_0", "context4_1"]


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_sees_the_far_end_of_every_axis_and_the_control_does_not(axis):
    size = [4, 4, 4]
    size[axis - 2] = 260
    first, last = [0, 0, 0], [3, 3, 3]
    last[axis - 2] = 259
    for build, sees in ((sweepnet_volume_small, True), (sweepnet_volume_small_control, False)):
        model, x = as_if_trained(build(2)).double(), torch.randn(1, 1, *size).double().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x)[(0, slice(None), *last)].sum(), x)
        assert bool(gradient[(0, 0, *first)]) == sees


def test_is_not_run_in_strips():
    assert not sweepnet_volume_small(2).streamable and not sweepnet_volume_small_control(2).streamable
