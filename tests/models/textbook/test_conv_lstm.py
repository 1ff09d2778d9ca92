"""conv_lstm against the same layers of torch.nn."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from models.oracle import there_and_back
from stirring import as_if_trained
from tolerances import assert_close
from torch import nn

from sweepseg.cells import LSTM, OutputElman
from sweepseg.layers.blocks import count_parameters
from sweepseg.models.textbook.conv_lstm import ConvThenRecurrent, conv_lstm
from sweepseg.orders import raster


def small(units=(6, 3), **options):
    return as_if_trained(ConvThenRecurrent(3, 2, widths=(4, 5, 6), dense=7, units=units, **options)).double()


def normed(norm, x):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def torch_nn(model, x):
    """Convolution, ReLU and pooling three times, a dense layer, LSTMs, transposed convolutions, classifier."""
    stages = model.stages
    for name in ("conv1", "conv2", "conv3"):
        (convolution, norm, _), _ = stages[name].module
        x = F.max_pool2d(F.relu(normed(norm, F.conv2d(x, convolution.weight, padding=1))), 2)
    dense, norm, _ = stages["dense"].module
    x = F.relu(normed(norm, F.linear(x.movedim(1, -1), dense.weight[..., 0, 0]).movedim(-1, 1)))
    x = there_and_back(*(stages[name].module.sweeps[0].cell for name in ("recurrent1", "recurrent2")), x)
    for name in ("up1", "up2", "up3"):
        transposed, norm, _ = stages[name].module
        x = F.relu(normed(norm, F.conv_transpose2d(x, transposed.weight, stride=2)))
    return F.conv2d(x, stages["head"].module.weight, stages["head"].module.bias)


def test_equals_torch():
    model, x = small(), torch.randn(2, 2, 24, 40).double()
    assert_close(model(x), torch_nn(model, x), "logits")


def test_a_second_layer_that_reads_forward_is_told_from_one_that_reads_back():
    model, x = small(), torch.randn(2, 2, 24, 40).double()
    expected = torch_nn(model, x)
    model.stages["recurrent2"].module.sweeps[0].order = raster
    with pytest.raises(AssertionError):
        assert_close(model(x), expected, "logits")


def test_the_sizes_are_the_textbooks():
    stages = conv_lstm(11).stages
    assert [stages[f"conv{i}"].module[0][0].out_channels for i in (1, 2, 3)] == [32, 64, 128]
    theirs = nn.LSTM(128, 64), nn.LSTM(64, 32)
    for name, layer in zip(("recurrent1", "recurrent2"), theirs, strict=True):
        assert count_parameters(stages[name]) == count_parameters(layer)


@pytest.mark.parametrize("cell", [OutputElman, partial(LSTM, nonlinearity="relu")])
def test_takes_the_general_recurrent_layer_and_relu(cell):
    """The last pixel still sees the first, and the first the last."""
    asked = []
    model = small((16, 12), cell=lambda *sizes: asked.append(sizes) or cell(*sizes))
    assert asked == [(7, 16), (16, 12)]
    x = torch.randn(1, 2, 16, 24).double().requires_grad_()
    logits = model(x)
    for seen, place in ((0, -1), (-1, 0)):
        (gradient,) = torch.autograd.grad(logits[0, :, place, place].sum(), x, retain_graph=True)
        assert gradient[0, :, seen, seen].any()
