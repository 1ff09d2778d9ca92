"""cnn_baseline is the classifier with fully connected layers, at every place."""

import torch
import torch.nn.functional as F
from tolerances import assert_close

from sweepseg.layers.stages import Swept
from sweepseg.models.textbook.cnn_baseline import cnn_baseline


def test_the_connected_layer_in_the_middle_of_28_pixels_is_that_of_the_classifier():
    model, x = cnn_baseline(10, 1).double().eval(), torch.randn(2, 1, 28, 28).double()
    stages = model.stages
    flat = stages["conv2"](stages["conv1"](x)).flatten(1)  # (B, 32 * 7 * 7), what the classifier flattens
    convolution = stages["connected"].module[0]
    expected = F.relu(F.linear(flat, convolution.weight.flatten(1), convolution.bias))
    assert_close(stages["connected"](stages["conv2"](stages["conv1"](x)))[:, :, 3, 3], expected, "features")


def test_sizes_and_no_recurrence():
    stages = cnn_baseline(10).stages
    assert [stages[name].module[0][0].out_channels for name in ("conv1", "conv2")] == [16, 32]
    assert stages["connected"].module[0].out_channels == 128
    assert not any(isinstance(stage, Swept) for stage in stages.values())
