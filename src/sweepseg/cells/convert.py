"""Weights of Keras layers as state dicts of our cells."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def elman_from_keras(weights: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """State dict of `Elman` from ``keras.layers.SimpleRNN(...).get_weights()``: kernel, recurrent kernel, bias if any.

    Keras has one bias, which becomes ``bias_ih``; ``bias_hh`` is 0.

    Raises:
        ValueError: The arrays are not those of such a layer.

    >>> state = elman_from_keras([np.ones((3, 2)), np.ones((2, 2)), np.ones(2)])
    >>> {name: tuple(tensor.shape) for name, tensor in state.items()}
    {'weight_ih': (2, 3), 'weight_hh': (2, 2), 'bias_ih': (2,), 'bias_hh': (2,)}
    """
    return _from_keras("SimpleRNN", weights, (0,))


def lstm_from_keras(weights: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """State dict of `LSTM` from ``keras.layers.LSTM(...).get_weights()``: kernel, recurrent kernel, bias if any.

    Both order the gates input, forget, candidate, output. Keras has one bias, which becomes ``bias_ih``; ``bias_hh``
    is 0.

    Raises:
        ValueError: The arrays are not those of such a layer.
    """
    return _from_keras("LSTM", weights, (0, 1, 2, 3))


def gru_from_keras(weights: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """State dict of `GRU` from ``keras.layers.GRU(...).get_weights()``: kernel, recurrent kernel, bias if any.

    Keras orders the gates update, reset, candidate. With ``reset_after=True`` (its default) its bias is (2, 3 H), for
    the input and for the state; without it (3 H,), which becomes ``bias_ih`` while ``bias_hh`` is 0, and the cell must
    be ``GRU(reset_after=False)``.

    Raises:
        ValueError: The arrays are not those of such a layer.
    """
    return _from_keras("GRU", weights, (1, 0, 2))


def _from_keras(layer: str, weights: Sequence[np.ndarray], gates: Sequence[int]) -> dict[str, Tensor]:
    """Transpose Keras's (C, gates * H) kernels, and put gate ``gates[k]`` of Keras in our place k."""
    shapes = [np.shape(array) for array in weights]
    if len(shapes) not in (2, 3) or shapes[1] != (shapes[0][-1] // len(gates), shapes[0][-1]):
        raise ValueError(f"weights of shapes {shapes} are not those of a Keras {layer}; give layer.get_weights()")
    size = shapes[1][0]

    def ours(array: np.ndarray) -> Tensor:
        """(..., gates * H) -> (gates * H, ...) in our order."""
        blocks = torch.tensor(array).movedim(-1, 0).split(size)
        return torch.cat([blocks[gate] for gate in gates])

    state = {"weight_ih": ours(weights[0]), "weight_hh": ours(weights[1])}
    if len(weights) == 3:
        bias = ours(weights[2])  # (gates * H,) or (gates * H, 2)
        state["bias_ih"], state["bias_hh"] = bias.unbind(1) if bias.ndim == 2 else (bias, torch.zeros_like(bias))
    return state
