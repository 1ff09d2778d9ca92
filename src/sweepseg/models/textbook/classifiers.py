"""The systems of the textbooks as classifiers: their layers up to the decoder, the mean of the map, a linear layer."""

from collections.abc import Callable

from torch import Tensor, nn

from ...layers.stages import Local, StagedModel, Swept, map_of
from ..classifier import Classifier
from .cnn_baseline import cnn_baseline
from .conv_gru import conv_gru, conv_gru_control
from .conv_lstm import conv_lstm, conv_lstm_control
from .pixel_lstm import pixel_lstm, pixel_lstm_control
from .region_gru import region_gru, region_gru_control
from .simple_rnn import simple_rnn, simple_rnn_control


class Trunk(nn.Module):
    """The stages of a network up to one of them.

    Args:
        network: Whose stages to run.
        last: The name of the stage whose map is given.
    """

    def __init__(self, network: StagedModel, last: str):
        super().__init__()
        names = list(network.stages)
        self.stages = nn.ModuleDict({name: network.stages[name] for name in names[: names.index(last) + 1]})
        self.last = last

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W), height and width multiples of the network's stride -> the map of the last stage."""
        maps = {"image": image}
        for name, stage in self.stages.items():
            assert isinstance(stage, Local | Swept)
            maps[name] = map_of(name, stage, [maps[source] for source in stage.inputs])
        return maps[self.last]


def _classifier(
    build: Callable[[int, int], StagedModel], last: str, channels: int, num_classes: int, in_channels: int
) -> Classifier:
    network = build(1, in_channels)
    trunk = Trunk(network, last)
    return Classifier([trunk], channels, num_classes, in_channels=in_channels, stride=network.total_stride)


def cnn_baseline_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """`cnn_baseline` for whole pictures; nothing recurrent.

    >>> import torch
    >>> cnn_baseline_classifier(10)(torch.zeros(2, 3, 28, 28)).shape
    torch.Size([2, 10])
    """
    return _classifier(cnn_baseline, "connected", 128, num_classes, in_channels)


def conv_lstm_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """`conv_lstm` for whole pictures."""
    return _classifier(conv_lstm, "recurrent2", 32, num_classes, in_channels)


def conv_lstm_classifier_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`conv_lstm_classifier` with each LSTM replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _classifier(conv_lstm_control, "recurrent2", 32, num_classes, in_channels)


def pixel_lstm_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """`pixel_lstm` for whole pictures."""
    return _classifier(pixel_lstm, "back", 256, num_classes, in_channels)


def pixel_lstm_classifier_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`pixel_lstm_classifier` with each LSTM replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _classifier(pixel_lstm_control, "back", 256, num_classes, in_channels)


def conv_gru_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """`conv_gru` for whole pictures."""
    return _classifier(conv_gru, "after", 64, num_classes, in_channels)


def conv_gru_classifier_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`conv_gru_classifier` with the GRU replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _classifier(conv_gru_control, "after", 64, num_classes, in_channels)


def region_gru_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """`region_gru` for whole pictures, from its map of regions."""
    return _classifier(region_gru, "context", 64, num_classes, in_channels)


def region_gru_classifier_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`region_gru_classifier` with each GRU replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _classifier(region_gru_control, "context", 64, num_classes, in_channels)


def simple_rnn_classifier(num_classes: int, in_channels: int = 3) -> Classifier:
    """`simple_rnn` for whole pictures, from its second recurrent layer."""
    return _classifier(simple_rnn, "recurrent2", 32, num_classes, in_channels)


def simple_rnn_classifier_control(num_classes: int, in_channels: int = 3) -> Classifier:
    """`simple_rnn_classifier` with each layer replaced by a 7 x 7 depthwise convolution of as many parameters."""
    return _classifier(simple_rnn_control, "recurrent2", 32, num_classes, in_channels)
