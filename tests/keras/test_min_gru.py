"""MinGRU for Keras: the layer against Keras's own loop over its cell."""

import keras
import numpy as np
import pytest
import torch

from sweepseg.keras import MinGRU, MinGRUCell

x = np.random.default_rng(0).normal(size=(2, 37, 3)).astype("float32")
initial = np.random.default_rng(1).normal(size=(2, 8)).astype("float32")
mask = np.arange(37) < np.array([[37], [20]])


def worked(kernel, bias, initial):
    """The paper's equations in float64."""
    h, outputs = initial.astype("float64"), []
    for t in range(x.shape[1]):
        gate, candidate = np.split(x[:, t].astype("float64") @ kernel + bias, 2, axis=-1)
        z = 1 / (1 + np.exp(-gate))
        h = (1 - z) * h + z * candidate
        outputs.append(h)
    return np.stack(outputs, 1)


def numpy(outputs):
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def layer_and_loop(**options):
    """MinGRU, and Keras's loop over the same cell."""
    layer = MinGRU(8, return_sequences=True, return_state=True, **options)
    loop = keras.layers.RNN(MinGRUCell(8), return_sequences=True, return_state=True, **options)
    for each in (layer, loop):
        each.build((2, 37, 3))
    draw = np.random.default_rng(2)
    weights = [draw.normal(size=array.shape) for array in layer.get_weights()]
    for each in (layer, loop):
        each.set_weights(weights)
    return layer, loop


@pytest.mark.parametrize("backend", [keras.backend.backend(), "any other"])
def test_equals_the_paper(monkeypatch, backend):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    layer, _ = layer_and_loop()
    with torch.no_grad():
        output, state = numpy(layer(x, initial_state=initial))
    exact = worked(*layer.get_weights(), initial)
    np.testing.assert_allclose(output, exact, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(state, exact[:, -1], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}])
@pytest.mark.parametrize("call", [{}, {"initial_state": initial}, {"mask": mask}], ids=["", "initial", "mask"])
def test_equals_the_loop(options, call):
    layer, loop = layer_and_loop(**options)
    with torch.no_grad():
        for actual, expected in zip(numpy(layer(x, **call)), numpy(loop(x, **call)), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6)


def test_last_output_and_configuration():
    layer = MinGRU(8, use_bias=False, go_backwards=True, name="a")
    same = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(same) is MinGRU and same.get_config() == layer.get_config()
    for each in (layer, same):
        each.build((2, 37, 3))
    same.set_weights(layer.get_weights())
    assert len(layer.get_weights()) == 1
    with torch.no_grad():
        outputs = numpy([layer(x), same(x)])
    assert outputs[0].shape == (2, 8)
    np.testing.assert_array_equal(*outputs)
