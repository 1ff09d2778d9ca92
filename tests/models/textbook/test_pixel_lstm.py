"""pixel_lstm against torch.nn."""

import torch
import torch.nn.functional as F
from models.oracle import there_and_back
from tolerances import assert_close
from torch import nn

from sweepseg.layers.blocks import count_parameters
from sweepseg.models.textbook.pixel_lstm import PixelLSTM, pixel_lstm


def test_equals_torch():
    model = PixelLSTM(3, 2, patch=4, embedding=5, hidden_size=6, control=False).double().eval()
    x, stages = torch.randn(2, 2, 8, 12).double(), model.stages
    into, out = stages["patches"].module, stages["head"].module
    patches = F.unfold(x, 4, stride=4).transpose(1, 2)  # (B, T, C * 16)
    steps = F.linear(patches, into.weight.flatten(1), into.bias).transpose(1, 2).unflatten(2, (2, 3))
    found = there_and_back(*(stages[name].module.sweeps[0].cell for name in ("forth", "back")), steps)
    assert_close(model(x), F.conv_transpose2d(found, out.weight, out.bias, stride=4), "logits")


def test_the_sizes_are_the_textbooks():
    stages = pixel_lstm(11).stages
    assert count_parameters(stages["forth"]) == count_parameters(nn.LSTM(64, 256))
    assert count_parameters(stages["back"]) == count_parameters(nn.LSTM(256, 256))
