"""Keras: a layer that sweeps over maps, MinGRU, and weights from Keras layers to our modules and back."""

from importlib import import_module

try:
    import_module("keras")
except ModuleNotFoundError as error:
    raise ImportError(
        f'sweepseg.keras needs Keras and its backend, but there is no {error.name}; pip install "sweepseg[keras]", and '
        "where Keras is to run on torch instead of TensorFlow, set KERAS_BACKEND=torch before the first import of keras"
    ) from error

from .convert import from_torch, to_torch
from .min_gru import MinGRU, MinGRUCell
from .sweep import Sweep

__all__ = ["MinGRU", "MinGRUCell", "Sweep", "from_torch", "to_torch"]
