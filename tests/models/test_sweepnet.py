"""SweepNet: its size, where it sweeps, and what causal means."""

import pytest
import torch
from stirring import stirred

from sweepseg.layers.blocks import count_parameters
from sweepseg.layers.stages import Swept
from sweepseg.models.sweepnet import sweepnet_base, sweepnet_nano, sweepnet_small


@pytest.mark.parametrize(("build", "size"), [(sweepnet_nano, 0.3e6), (sweepnet_small, 1e6), (sweepnet_base, 4e6)])
def test_parameters(build, size):
    assert count_parameters(build(11)) == pytest.approx(size, rel=0.05)


def test_sweeps_stand_at_8_and_16():
    stages = sweepnet_small(11).stages
    swept = [name for name, stage in stages.items() if isinstance(stage, Swept)]
    assert swept == ["context8_0", "context8_1", "context16_0", "context16_1", "context16_2"]


@pytest.mark.parametrize("causal", [True, False])
def test_causal_looks_down_no_further_than_its_convolutions(causal):
    model, x = stirred(sweepnet_small(2, causal=causal)).double().eval(), torch.randn(1, 3, 320, 16).double()
    changed = x.clone()
    changed[:, :, -1] += 1
    with torch.no_grad():
        same = (model(x) == model(changed)).all(dim=(0, 1, 3))  # (H,)
    assert bool(same[:200].all()) is causal
    assert not same[-1]
