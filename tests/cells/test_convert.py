"""Weights from Keras: the cells then compute what the Keras layers compute."""

import os

os.environ["KERAS_BACKEND"] = "torch"  # before the first import of keras

import keras
import numpy as np
import pytest
import torch

from sweepseg.cells import GRU, LSTM, Elman
from sweepseg.cells.convert import elman_from_keras, gru_from_keras, lstm_from_keras

# Keras 3.15 itself, when it hands its variables to numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PAIRS = {
    "SimpleRNN": (keras.layers.SimpleRNN, {}, Elman, {}, elman_from_keras),
    "LSTM": (keras.layers.LSTM, {}, LSTM, {}, lstm_from_keras),
    "GRU": (keras.layers.GRU, {}, GRU, {}, gru_from_keras),
    "GRU, reset before": (keras.layers.GRU, {"reset_after": False}, GRU, {"reset_after": False}, gru_from_keras),
}


def errors(pair, steps=500, biased=True, convert=None):
    make_theirs, their_options, make_ours, our_options, convert_weights = PAIRS[pair]
    theirs = make_theirs(8, return_sequences=True, use_bias=biased, **their_options)
    x = torch.randn(2, steps, 3)
    theirs(x)
    generator = np.random.default_rng(0)  # Keras starts its biases at 0
    kernels, biases = theirs.get_weights()[:2], theirs.get_weights()[2:]
    theirs.set_weights([*kernels, *(generator.normal(size=bias.shape) / 4 for bias in biases)])
    ours = make_ours(3, 8, bias=biased, **our_options)
    ours.load_state_dict((convert or convert_weights)(theirs.get_weights()))
    with torch.no_grad():
        return (ours(x)[0] - theirs(x).cpu()).abs().max().item()


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("biased", [True, False])
def test_equals_keras(pair, biased):
    assert errors(pair, biased=biased) <= 1e-6


def swapped_gates(weights):
    state = gru_from_keras(weights)
    reset, update, candidate = state["weight_hh"].chunk(3)
    return state | {"weight_hh": torch.cat((update, reset, candidate))}


def swapped_biases(weights):
    state = gru_from_keras(weights)
    return state | {"bias_ih": state["bias_hh"], "bias_hh": state["bias_ih"]}


def dropped_bias(weights):
    state = gru_from_keras(weights)
    return state | {"bias_ih": 0 * state["bias_ih"]}


@pytest.mark.parametrize("fault", [swapped_gates, swapped_biases, dropped_bias])
def test_parity_catches(fault):
    assert errors("GRU", steps=20, convert=fault) > 1e-3


@pytest.mark.parametrize("convert", [elman_from_keras, lstm_from_keras, gru_from_keras])
def test_weights_of_another_layer(convert):
    with pytest.raises(ValueError, match=r"weights of shapes \[\(3, 10\), \(4, 10\)\] are not those of a Keras"):
        convert([np.ones((3, 10)), np.ones((4, 10))])
