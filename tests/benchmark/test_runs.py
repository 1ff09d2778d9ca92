import pytest
import torch
from tolerances import assert_close
from torch import nn

from sweepseg.benchmark.runs import forward, layer_run, network_run, random_map, size, step


def test_maps_are_channels_last():
    x = random_map(3, 5)
    assert x.shape == (1, 5, 3, 3) and x.is_contiguous(memory_format=torch.channels_last)
    assert size(3, 5) == "3x3, 5 channels"


def test_forward_needs_no_gradients():
    x = torch.ones(2, requires_grad=True)
    (output,) = forward(lambda: (2 * x, "state"))()
    assert output.tolist() == [2, 2] and not output.requires_grad


def test_step_returns_gradients_for_the_same_cotangent_each_time():
    x, y = torch.ones(3, requires_grad=True), torch.full((3,), 2.0, requires_grad=True)
    run = step(lambda: (x * y**2, "state"), [x, y])
    (output, of_x, of_y), again = run(), run()
    assert output.tolist() == [4, 4, 4] and not output.requires_grad
    assert_close(of_y, of_x, "d(x y^2) is y^2 dx + 2 x y dy, both 4 times the cotangent")
    assert all(map(torch.equal, again, (output, of_x, of_y)))


@pytest.mark.parametrize("training", [True, False])
def test_layers_are_differentiated_by_input_and_parameters(training):
    layer, x = nn.Linear(3, 2), torch.randn(4, 3)
    shapes = [(4, 2), (4, 3), (2, 3), (2,)]
    assert [tensor.shape for tensor in layer_run(layer, x, training=training)()] == (shapes if training else shapes[:1])
    assert not x.requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_training_steps_learn_and_inference_does_not(training):
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    (logits,) = network_run(network, random_map(4, 3), training=training)()
    assert network.training is training and not logits.requires_grad
    assert all((parameter.grad is not None) is training for parameter in network.parameters())
