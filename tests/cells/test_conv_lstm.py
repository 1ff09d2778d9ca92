"""ConvLSTM against Keras, and against LSTM where every pixel is alone."""

import keras
import numpy as np
import pytest
import torch
from cells import conv_contract
from tolerances import assert_close

from sweepseg.cells import LSTM
from sweepseg.cells.conv_lstm import ConvLSTM

C, H = 3, 4


@pytest.mark.parametrize("promise", conv_contract.PROMISES)
def test_contract(promise):
    promise(ConvLSTM)


def error(cell, kernel_size=3, steps=7):
    """Greatest difference from Keras over a video; Keras kernels are (rows, columns, in, out), gates in our order."""
    theirs = keras.layers.ConvLSTM2D(
        H,
        kernel_size,
        padding="same",
        recurrent_activation="sigmoid",
        return_sequences=True,
        data_format="channels_last",
    )
    x = torch.randn(2, steps, C, 6, 5)
    video = x.movedim(2, -1)
    theirs(video)
    kernel, recurrent, bias = theirs.get_weights()
    bias = np.random.default_rng(0).normal(size=bias.shape) / 4
    theirs.set_weights([kernel, recurrent, bias])
    cell.load_state_dict(
        {
            "input_conv.weight": torch.tensor(kernel).permute(3, 2, 0, 1),
            "input_conv.bias": torch.tensor(bias),
            "state_conv.weight": torch.tensor(recurrent).permute(3, 2, 0, 1),
        }
    )
    state, outputs = None, []
    with torch.no_grad():
        for picture in x.unbind(1):
            output, state = cell(picture, state)
            outputs.append(output)
        return (torch.stack(outputs, 1).movedim(2, -1) - theirs(video).cpu()).abs().max().item()


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_equals_keras(kernel_size):
    assert error(ConvLSTM(C, H, kernel_size), kernel_size) <= 1e-6


class SwappedGates(ConvLSTM):
    def forward(self, x, state=None):
        i, f, g, o = self.input_conv.weight.data.chunk(4)
        self.input_conv.weight.data = torch.cat((f, i, g, o))
        return super().forward(x, state)


class DroppedBias(ConvLSTM):
    def forward(self, x, state=None):
        self.input_conv.bias.data.zero_()
        return super().forward(x, state)


class ForgetsTheCell(ConvLSTM):
    def forward(self, x, state=None):
        output, (h, c) = super().forward(x, state)
        return output, (h, 0 * c)


@pytest.mark.parametrize("fault", [SwappedGates, DroppedBias, ForgetsTheCell])
def test_keras_catches(fault):
    assert error(fault(C, H, 3)) > 1e-3


def test_with_1x1_kernels_every_pixel_is_an_lstm():
    cell, lstm = ConvLSTM(C, H, 1).double(), LSTM(C, H).double()
    lstm.load_state_dict(
        {
            "weight_ih": cell.input_conv.weight.flatten(1),
            "weight_hh": cell.state_conv.weight.flatten(1),
            "bias_ih": cell.input_conv.bias,
            "bias_hh": torch.zeros(4 * H),
        }
    )
    x, state = torch.randn(2, 5, C, 1, 1).double(), None
    outputs, (h, c) = lstm(x.flatten(2))
    for t in range(5):
        output, state = cell(x[:, t], state)
        assert_close(output.flatten(1), outputs[:, t], f"output {t}")
    assert_close(state[0].flatten(1), h, "h")
    assert_close(state[1].flatten(1), c, "c")


def test_half_precision_keeps_long_memory():
    """In bfloat16 a gate that forgets 1 / 1000 a step would round to one that forgets nothing."""
    cell = ConvLSTM(1, 1, 1).bfloat16()
    for parameter in cell.parameters():
        parameter.data.zero_()
    cell.input_conv.bias.data[1] = 6.90625
    x, ones = torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16), torch.ones(1, 1, 1, 1)
    state = ones, ones
    with torch.no_grad():
        for _ in range(1000):
            _, state = cell(x, state)
    kept = 1 / (1 + torch.tensor(-6.90625).double().exp())
    torch.testing.assert_close(state[1].double().squeeze(), kept**1000, rtol=1e-4, atol=0)
