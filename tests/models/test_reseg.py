"""ReSeg against the same layers of torch.nn."""

import pytest
import torch
import torch.nn.functional as F
from models.oracle import renet
from tolerances import assert_close

from sweepseg.layers.blocks import count_parameters
from sweepseg.models.reseg import ReSeg, reseg


def small():
    return ReSeg(4, 3, widths=(4, 6, 8), hidden_size=5, upsampling_channels=7, control=False).double().eval()


def paper(model, x):
    """VGG's conv1_1 to conv3_3, two ReNet layers (columns first), two transposed convolutions, classifier."""
    stages = model.stages
    for name in ("conv1", "conv2", "conv3"):
        for convolution in stages[name].module[::2]:
            x = F.relu(F.conv2d(x, convolution.weight, convolution.bias, padding=1))
        if name != "conv3":
            x = F.max_pool2d(x, 2)
    for name in ("renet1", "renet2"):
        x = renet(stages[name].module, x)
    for name in ("up1", "up2"):
        transposed = stages[name].module[0]
        x = F.relu(F.conv_transpose2d(x, transposed.weight, transposed.bias, stride=2))
    return F.conv2d(x, stages["head"].module.weight, stages["head"].module.bias)


def test_equals_the_paper():
    model, x = small(), torch.randn(2, 3, 12, 20).double()
    assert_close(model(x), paper(model, x), "logits")


def skips_a_renet_layer(model):
    model.stages["renet2"].module.forward = lambda x, state: (x, state)


def shares_a_direction(model):
    sweeps = model.stages["renet1"].module.rows.sweeps
    sweeps[1] = sweeps[0]


@pytest.mark.parametrize("fault", [skips_a_renet_layer, shares_a_direction])
def test_the_paper_catches(fault):
    model, x = small(), torch.randn(2, 3, 12, 20).double()
    expected = paper(model, x)
    fault(model)
    with pytest.raises(AssertionError):
        assert_close(model(x), expected, "logits")


def test_the_sizes_are_vggs_and_the_papers():
    """1,735,488 parameters from conv1_1 to conv3_3; 100 units in each direction of both layers."""
    stages = reseg(11).stages
    assert sum(count_parameters(stages[name]) for name in ("conv1", "conv2", "conv3")) == 1_735_488
    for name in ("renet1", "renet2"):
        layer = stages[name].module
        assert layer.patch == (1, 1)
        assert [sweep.cell.hidden_size for pair in (layer.columns, layer.rows) for sweep in pair.sweeps] == [100] * 4
