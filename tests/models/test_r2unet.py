"""R2U-Net against the paper's equations, and how often each weight of its control is used."""

import pytest
import torch
import torch.nn.functional as F
from stirring import as_if_trained
from tolerances import assert_close
from torch import nn

from sweepseg.layers.blocks import count_parameters
from sweepseg.models.r2unet import R2UNet, RecurrentConv, r2unet


def paper(model, x, steps):
    """Equations 1 to 3 at each level, the steps written out."""
    parts = {name: stage.module for name, stage in model.stages.items()}

    def convolution(x, layer):
        return F.conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[-1] // 2)

    def norm(x, layer):
        scale = layer.weight / (layer.running_var + layer.eps).sqrt()
        return (x - layer.running_mean.view(-1, 1, 1)) * scale.view(-1, 1, 1) + layer.bias.view(-1, 1, 1)

    def block(x, part):
        x = y = convolution(x, part.enter)
        for layer in part.branch:
            output = torch.zeros_like(y)
            for t in range(steps + 1):
                z = convolution(y, layer.forward_conv) + convolution(output, layer.recurrent_conv)
                output = norm(z, layer.norms[t]).clamp(min=0)
            y = output
        return x + y

    top = block(x, parts["down0"])
    bottom = block(F.max_pool2d(top, 2), parts["down1"])
    grown = F.conv_transpose2d(bottom, parts["grow0"].weight, parts["grow0"].bias, stride=2)
    return convolution(block(torch.cat((top, grown), dim=1), parts["up0"]), parts["head"])


def small(steps=2):
    return as_if_trained(R2UNet(3, 2, widths=(4, 6), steps=steps, control=False).double())


@pytest.mark.parametrize("steps", [0, 2, 3])
def test_equals_the_paper(steps):
    model, x = small(steps), torch.randn(2, 2, 8, 10).double()
    assert_close(model(x), paper(model, x, steps), "logits")


def shares_its_norms(model):
    for layer in model.modules():
        if isinstance(layer, RecurrentConv):
            layer.norms[2] = layer.norms[1]


def drives_only_the_first_step(model):
    for layer in model.modules():
        if isinstance(layer, RecurrentConv):
            layer.recurrent_conv.register_forward_pre_hook(lambda conv, inputs: (torch.zeros_like(inputs[0]),))


@pytest.mark.parametrize("fault", [shares_its_norms, drives_only_the_first_step])
def test_the_paper_catches(fault):
    model, x = small(), torch.randn(2, 2, 8, 10).double()
    expected = paper(model, x, 2)
    fault(model)
    with pytest.raises(AssertionError):
        assert_close(model(x), expected, "logits")


@pytest.mark.parametrize(("control", "most"), [(False, 2), (True, 1)])
def test_the_control_uses_each_weight_once(control, most):
    model, uses = R2UNet(2, widths=(4, 6), steps=2, control=control), {}
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, *_: uses.update({layer: uses.get(layer, 0) + 1}))
    model(torch.randn(1, 3, 4, 4))
    assert max(uses.values()) == most


def test_size():
    assert 1.0e6 < count_parameters(r2unet(11)) < 1.1e6
