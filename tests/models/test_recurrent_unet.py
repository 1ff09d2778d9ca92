"""The recurrent U-Net is a U-Net: its levels, its skips, its sweeps."""

import pytest
import torch

from sweepseg.layers.stages import Swept
from sweepseg.models.recurrent_unet import RecurrentUNet, recurrent_unet_small, recurrent_unet_small_control


def sizes(model):
    """Stage -> shape of its output for a picture of 64 x 96."""
    shapes = {}
    for name, stage in model.stages.items():
        stage.register_forward_hook(
            lambda stage, inputs, output, name=name: shapes.update(
                {name: tuple((output[0] if isinstance(stage, Swept) else output).shape)}
            )
        )
    with torch.no_grad():
        model.eval()(torch.randn(1, 3, 64, 96))
    return shapes


@pytest.mark.parametrize("build", [recurrent_unet_small, recurrent_unet_small_control])
def test_widths_double_as_resolutions_halve_and_back(build):
    shapes = sizes(build(5))
    levels = [(1, 16 * 2**level, 64 >> level, 96 >> level) for level in range(5)]
    assert [shapes[f"down{level}"] for level in range(5)] == levels
    assert [shapes[f"up{level}"] for level in (3, 2, 1, 0)] == levels[3::-1]
    assert shapes["head"] == (1, 5, 64, 96)


def test_sweeps_stand_at_the_bottom_and_the_level_above():
    model = recurrent_unet_small(5)
    swept = [name for name, stage in model.stages.items() if isinstance(stage, Swept)]
    assert swept == ["context3", "context4"]
    for name in swept:
        orders = [sweep.order.name for sweep in model.stages[name].module.mixer.sweeps.sweeps]
        assert orders == ["rows", "backward rows", "columns", "backward columns"]


def test_each_decoder_level_joins_the_encoders():
    inputs = {name: stage.inputs for name, stage in recurrent_unet_small(5).stages.items()}
    assert [inputs[f"up{level}"][0] for level in (3, 2, 1, 0)] == ["context3", "down2", "down1", "down0"]
    assert [inputs[f"grow{level}"][0] for level in (3, 2, 1, 0)] == ["context4", "up3", "up2", "up1"]


def test_any_depth():
    model = RecurrentUNet(2, 1, widths=(4, 8), control=False)
    assert model(torch.randn(2, 1, 7, 9)).shape == (2, 2, 7, 9)
