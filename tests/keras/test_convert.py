"""Weights from Keras and back: our modules then compute what the Keras layers compute."""

import keras
import numpy as np
import pytest
import torch

from sweepseg.keras import MinGRU, Sweep, from_torch, to_torch

C, H, STEPS = 3, 8, 500
BAR = 1e-6  # float32, at STEPS steps, of the larger of 1 and the output
L = keras.layers

LAYERS = {
    "SimpleRNN": lambda: L.SimpleRNN(H, return_sequences=True),
    "SimpleRNN, relu, no bias": lambda: L.SimpleRNN(H, activation="relu", use_bias=False, return_sequences=True),
    "LSTM": lambda: L.LSTM(H, return_sequences=True),
    "GRU": lambda: L.GRU(H, return_sequences=True),
    "GRU, no bias": lambda: L.GRU(H, use_bias=False, return_sequences=True),
    "GRU, reset before": lambda: L.GRU(H, reset_after=False, return_sequences=True),
    "MinGRU": lambda: MinGRU(H, return_sequences=True),
    "Bidirectional LSTM": lambda: L.Bidirectional(L.LSTM(H, return_sequences=True)),
    "ConvLSTM2D": lambda: L.ConvLSTM2D(2, 3, padding="same", return_sequences=True),
}


def drawn(layer):
    """The layer with weights of its own, biases included: Keras starts these at 0."""
    layer.build((None, None, 3, 2, C) if isinstance(layer, L.ConvLSTM2D) else (None, None, C))
    draw = np.random.default_rng(0)
    layer.set_weights([draw.uniform(-0.5, 0.5, array.shape) for array in layer.get_weights()])
    return layer


def error(layer, module, steps):
    """Greatest difference of the outputs, as a share of the larger of 1 and the output."""
    maps = isinstance(layer, L.ConvLSTM2D)
    x = np.random.default_rng(1).normal(size=(2, steps, 3, 2, C) if maps else (2, steps, C)).astype("float32")
    with torch.no_grad():
        theirs = torch.tensor(keras.ops.convert_to_numpy(layer(x)))
        x = torch.tensor(x)
        if maps:
            ours = module(x.movedim(-1, 2))[0].movedim(2, -1)
        elif isinstance(module, torch.nn.ModuleList):
            ours = torch.cat(
                [cell(x, reverse=reverse)[0] for cell, reverse in zip(module, (False, True), strict=True)], -1
            )
        else:
            ours = module(x)[0]
    return ((ours - theirs).abs() / theirs.abs().clamp(min=1)).max().item()


@pytest.mark.parametrize("kind", LAYERS)
def test_computes_the_same_and_comes_back_exactly(kind):
    layer, other = drawn(LAYERS[kind]()), drawn(LAYERS[kind]())
    module = to_torch(layer)
    assert error(layer, module, STEPS) <= BAR
    other.set_weights([0 * array for array in other.get_weights()])
    from_torch(module, other)
    for array, back in zip(layer.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(array, back, strict=True)


def swap_gates(cell):
    first, second, rest = cell.weight_hh.data.split((H, H, cell.weight_hh.shape[0] - 2 * H))
    cell.weight_hh.data = torch.cat((second, first, rest))


def swap_biases(cell):
    cell.bias_ih.data, cell.bias_hh.data = cell.bias_hh.data, cell.bias_ih.data


def drop_bias(cell):
    cell.bias_ih.data.zero_()


@pytest.mark.parametrize(
    ("kind", "fault"), [("GRU", swap_gates), ("LSTM", swap_gates), ("GRU", swap_biases), ("SimpleRNN", drop_bias)]
)
def test_parity_catches(kind, fault):
    layer = drawn(LAYERS[kind]())
    module = to_torch(layer)
    fault(module)
    assert error(layer, module, 20) > 1e-3


@pytest.mark.parametrize("kind", ["LSTM", "Bidirectional LSTM", "GRU"])
def test_what_torch_has_trained_reaches_keras(kind):
    """Then our two biases differ from 0, and Keras's one is their sum."""
    layer = drawn(LAYERS[kind]())
    module = to_torch(layer)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    from_torch(module, layer)
    assert error(layer, module, 20) <= BAR


def test_sweeps_come_back_exactly():
    sweeps = [Sweep(L.Bidirectional(L.GRU(H, return_sequences=True)), "rows") for _ in range(2)]
    for sweep in sweeps:
        sweep.build((None, None, None, C))
    from_torch(to_torch(sweeps[0]), sweeps[1])
    for pair in zip(*(sweep.get_weights() for sweep in sweeps), strict=True):
        np.testing.assert_array_equal(*pair, strict=True)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (L.LSTM(H, activation="relu", name="a"), "a has activation=relu; its counterpart knows only tanh"),
        (L.GRU(H, recurrent_activation="tanh", name="a"), "a has recurrent_activation=tanh; .* only sigmoid"),
        (L.SimpleRNN(H, activation="selu", name="a"), "a has activation=selu; .* only tanh and relu"),
        (L.Bidirectional(L.GRU(H), merge_mode="mul", name="a"), "a has merge_mode=mul; .* only concat and sum"),
        (L.Dense(H, name="a"), "a is a Dense, which has no counterpart; give a SimpleRNN"),
    ],
)
def test_layers_without_counterpart(layer, reason):
    layer.build((None, None, C))
    with pytest.raises(ValueError, match=reason):
        to_torch(layer)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"padding": "valid"}, "a has padding=valid; .* only same"),
        ({"padding": "same", "strides": 2}, r"a has strides=\(2, 2\); .* only \(1, 1\)"),
        ({"padding": "same", "kernel_size": (3, 5)}, r"a has kernel_size=\(3, 5\); .* only \(3, 3\)"),
        ({"padding": "same", "use_bias": False}, "a has use_bias=False; .* only True"),
    ],
)
def test_conv_lstm_without_counterpart(options, reason):
    layer = L.ConvLSTM2D(2, **{"kernel_size": 3, "name": "a"} | options)
    layer.build((None, None, 6, 7, C))
    with pytest.raises(ValueError, match=reason):
        to_torch(layer)


def test_a_layer_without_weights():
    with pytest.raises(ValueError, match="a has no weights yet; build it, or call it once"):
        to_torch(L.GRU(H, name="a"))


@pytest.mark.parametrize("other", ["LSTM", "GRU, reset before", "GRU, no bias", "Bidirectional LSTM"])
def test_weights_of_another_kind_change_nothing(other):
    layer = drawn(LAYERS["GRU"]())
    before = layer.get_weights()
    with pytest.raises(ValueError, match=r"the module has .*, but .* takes GRU\(reset_after=True, weight_ih 24x3"):
        from_torch(to_torch(drawn(LAYERS[other]())), layer)
    for array, after in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(array, after)
