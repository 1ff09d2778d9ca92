"""Sweep for Keras: the same numbers as our Sweep, mixed sizes, files, and training."""

import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from tolerances import assert_close

from sweepseg.keras import MinGRU, Sweep, to_torch

L = keras.layers
EXAMPLE = Path(__file__).parents[2] / "examples" / "keras_sweep.py"
LAYERS = {"SimpleRNN": L.SimpleRNN, "LSTM": L.LSTM, "GRU": L.GRU, "MinGRU": MinGRU}


def layer(kind, way):
    """A layer over sequences that runs "forward", "backward" or "both" ways, these side by side or "summed"."""
    made = LAYERS[kind](4, return_sequences=True, go_backwards=way == "backward")
    merge = {"both": "concat", "summed": "sum"}.get(way)
    return L.Bidirectional(made, merge_mode=merge) if merge else made


def drawn(sweep):
    """The sweep with weights of its own, biases included: Keras starts these at 0."""
    sweep.build((None, None, None, 3))
    draw = np.random.default_rng(0)
    sweep.set_weights([draw.uniform(-0.5, 0.5, array.shape) for array in sweep.get_weights()])
    return sweep


def maps(*size):
    return np.random.default_rng(1).normal(size=(2, *size, 3)).astype("float32")


def swept(sweep, x):
    with torch.no_grad():
        return torch.tensor(keras.ops.convert_to_numpy(sweep(x)))


def swept_in_torch(sweep, x):
    with torch.no_grad():
        return to_torch(sweep)(torch.tensor(x).movedim(-1, 1))[0].movedim(1, -1)


@pytest.mark.parametrize(
    ("kind", "way", "lines"),
    [
        *((kind, way, "rows") for kind in LAYERS for way in ("forward", "backward", "both")),
        *(("GRU", way, "columns") for way in ("forward", "backward", "both", "summed")),
    ],
)
def test_equals_our_sweep(kind, way, lines):
    sweep = drawn(Sweep(layer(kind, way), lines))
    for size in ((5, 6), (3, 1)):
        x = maps(*size)
        assert sweep.compute_output_shape(x.shape) == swept(sweep, x).shape
        assert_close(swept(sweep, x), swept_in_torch(sweep, x).double(), f"{size}")


@pytest.mark.parametrize("other", [("rows", "backward"), ("columns", "forward")])
def test_parity_catches_another_way(other):
    lines, way = other
    sweep, wrong = drawn(Sweep(layer("GRU", "forward"), "rows")), drawn(Sweep(layer("GRU", way), lines))
    x = maps(5, 5)
    assert (swept(sweep, x) - swept_in_torch(wrong, x)).abs().max() > 1e-3


def test_the_example_learns_to_see_digits_and_its_file_says_the_same(tmp_path):
    example = runpy.run_path(str(EXAMPLE))
    images, masks = example["pictures"]("test", 8)
    model = example["train"]()
    logits = model.predict(images, verbose=0)
    assert (logits.argmax(-1) == masks).mean() > (masks == 0).mean() + 0.05  # the majority: background everywhere
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras").predict(images, verbose=0), logits)


def test_maps_of_mixed_sizes():
    sweep = Sweep(layer("MinGRU", "both"), "rows")
    model = keras.Sequential([keras.Input((None, None, 3)), sweep])
    assert model.output_shape == (None, None, None, 8)
    for size in ((5, 6), (3, 9)):
        x = maps(*size)
        assert_close(torch.tensor(model.predict(x, verbose=0)), swept(sweep, x).double(), f"{size}")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Sweep(L.GRU(4, return_sequences=True), "diagonal"), "lines is 'diagonal'; give 'rows' or 'columns'"),
        (lambda: Sweep(L.GRU(4, name="a"), "rows"), "a has return_sequences=False; make it with return_sequences=True"),
        (
            lambda: Sweep(L.GRU(4, return_sequences=True, return_state=True, name="a"), "rows"),
            "a has return_state=True; make it with return_state=False",
        ),
        (lambda: Sweep(layer("GRU", "both"), "rows")(np.ones((2, 5, 3))), "expected ndim=4, found ndim=3"),
    ],
)
def test_refuses(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
