"""Weights of Keras layers in our modules, and back."""

from typing import Any

import keras
import numpy as np
import torch
from keras.activations import relu, sigmoid, tanh
from torch import Tensor, nn

from .. import cells, orders
from ..cells._base import Cell
from ..cells.conv_lstm import ConvLSTM
from ..layers import sweep as sweeps
from ..layers.conv_rnn import ConvRNN
from ..layers.merge import Concat, Sum
from .min_gru import MinGRU
from .sweep import Sweep

MERGES = {"concat": Concat, "sum": Sum}  # of Bidirectional


def to_torch(layer: keras.layers.Layer) -> nn.Module:
    """The module that computes what a Keras layer computes, with a copy of its weights.

    ``SimpleRNN``, ``LSTM``, ``GRU`` and `sweepseg.keras.MinGRU` become the cells `Elman`, `LSTM`, `GRU` and `MinGRU`;
    ``ConvLSTM2D`` becomes `ConvRNN` of `ConvLSTM`, over (B, T, C, H, W); ``Bidirectional`` a list of two of these, the
    second to be called with ``reverse=True``; `sweepseg.keras.Sweep` becomes `Sweep`, or for both ways `Sweeps` of two,
    over (B, C, H, W).

    Where Keras has one bias and the cell has two, the one for the state is 0. Dropout is left out. ``go_backwards``
    counts in sweeps only; a cell is told with each call (``reverse=True``), and leaves every output at its step.

    Args:
        layer: A layer that has its weights: built, or called once.

    Raises:
        ValueError: There is no module that computes what this layer computes, or it has no weights yet.

    >>> layer = keras.layers.GRU(8)
    >>> layer.build((None, None, 3))
    >>> to_torch(layer)
    GRU(3, 8)
    """
    parts = _parts(layer)
    modules: list[nn.Module] = [_filled(part) for part in parts]
    if isinstance(layer, Sweep):
        order = getattr(orders, layer.lines)
        ways = [orders.backward(order) if part.go_backwards else order for part in parts]
        modules = [sweeps.Sweep(cell, way) for cell, way in zip(modules, ways, strict=True)]
        if len(modules) == 2:
            return sweeps.Sweeps(modules, MERGES[layer.layer.merge_mode]())
    return modules[0] if len(modules) == 1 else nn.ModuleList(modules)


def from_torch(module: nn.Module, layer: keras.layers.Layer) -> None:
    """Write the weights of a module into a Keras layer of the same kind and sizes: the way back from `to_torch`.

    Where Keras has one bias and the cell has two, it becomes their sum.

    Args:
        module: What `to_torch` returns for such a layer.
        layer: A layer that has its weights: built, or called once. It stays as it was where anything does not fit.

    Raises:
        ValueError: Kinds, options or sizes differ.
    """
    ours, parts = [each for each in module.modules() if isinstance(each, Cell | ConvLSTM)], _parts(layer)
    found, wanted = (" and ".join(map(_description, each)) for each in (ours, map(_empty, parts)))
    if found != wanted:
        raise ValueError(f"the module has {found or 'no cell'}, but {layer.name} takes {wanted}")
    for cell, part in zip(ours, parts, strict=True):
        state = cell.state_dict()
        kernels, biases = _names(cell)
        arrays = [_theirs(state[name], part) for name in kernels]
        if biases:
            bias = torch.stack([state[name] for name in biases], 1)  # (gates * H, 1 or 2)
            one_bias = part.get_weights()[-1].ndim == 1
            arrays.append(_theirs(bias.sum(1, keepdim=True), part)[0] if one_bias else _theirs(bias, part))
        part.set_weights(arrays)


def _parts(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The recurrent layers in a layer: one, or two where it runs both ways."""
    if isinstance(layer, Sweep):
        return _parts(layer.layer)
    if isinstance(layer, keras.layers.Bidirectional):
        _demand(layer, merge_mode=[*MERGES])
        return [layer.forward_layer, layer.backward_layer]
    return [layer]


def _filled(layer: keras.layers.Layer) -> nn.Module:
    """The cell of a recurrent layer, with its weights; `ConvRNN` of it where it is a step over maps."""
    cell = _empty(layer)
    kernels, biases = _names(cell)
    arrays = [_ours(array, layer) for array in layer.get_weights()]
    state = dict(zip(kernels, arrays, strict=False))
    if biases:
        bias = arrays[-1]  # (gates * H, 1 or 2)
        state |= {name: bias[:, k] if k < bias.shape[1] else 0 * bias[:, 0] for k, name in enumerate(biases)}
    cell.load_state_dict({name: tensor.contiguous() for name, tensor in state.items()}, assign=True)
    return ConvRNN(cell) if isinstance(cell, ConvLSTM) else cell


def _empty(layer: keras.layers.Layer) -> nn.Module:
    """The cell for a recurrent layer, without values."""
    if not layer.built:
        raise ValueError(f"{layer.name} has no weights yet; build it, or call it once")
    channels = layer.get_weights()[0].shape[-2]
    with torch.device("meta"):
        match layer:
            case keras.layers.SimpleRNN():
                _demand(layer, activation=[tanh, relu])
                name = layer.activation.__name__
                return cells.Elman(channels, layer.units, nonlinearity=name, bias=layer.use_bias)
            case keras.layers.LSTM():
                _demand(layer, activation=[tanh], recurrent_activation=[sigmoid])
                return cells.LSTM(channels, layer.units, bias=layer.use_bias)
            case keras.layers.GRU():
                _demand(layer, activation=[tanh], recurrent_activation=[sigmoid])
                return cells.GRU(channels, layer.units, reset_after=layer.reset_after, bias=layer.use_bias)
            case MinGRU():
                return cells.MinGRU(channels, layer.cell.units, bias=layer.cell.use_bias)
            case keras.layers.ConvLSTM2D():
                _demand(layer, activation=[tanh], recurrent_activation=[sigmoid], use_bias=[True], padding=["same"])
                size = layer.kernel_size[0]
                _demand(layer, kernel_size=[(size, size)], strides=[(1, 1)], dilation_rate=[(1, 1)])
                return ConvLSTM(channels, layer.filters, size)
    kinds = "SimpleRNN, LSTM, GRU, MinGRU, ConvLSTM2D, Bidirectional or Sweep"
    raise ValueError(f"{layer.name} is a {type(layer).__name__}, which has no counterpart; give a {kinds}")


def _demand(layer: keras.layers.Layer, **allowed: list[Any]) -> None:
    """Raise a ValueError unless each option of a layer has one of the values that its counterpart computes with."""
    for name, values in allowed.items():
        value = getattr(layer, name)
        if value not in values:
            said, *choice = (str(getattr(each, "__name__", each)) for each in (value, *values))
            raise ValueError(f"{layer.name} has {name}={said}; its counterpart knows only {' and '.join(choice)}")


def _description(cell: nn.Module) -> str:
    """All in which cells that fit a layer agree."""
    options = [f"{name}={getattr(cell, name)}" for name in ("reset_after", "nonlinearity") if hasattr(cell, name)]
    shapes = [f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in cell.named_parameters()]
    return f"{type(cell).__name__}({', '.join([*options, *shapes])})"


def _names(cell: nn.Module) -> tuple[list[str], list[str]]:
    """A cell's kernels and biases, those for the input first, which is also the order of Keras."""
    names = [name for name, _ in cell.named_parameters()]
    return [name for name in names if "weight" in name], [name for name in names if "bias" in name]


def _ours(array: np.ndarray, layer: keras.layers.Layer) -> Tensor:
    """(..., C, gates * H) of Keras as (gates * H, C, ...); a single bias as (gates * H, 1)."""
    return _regated(torch.tensor(np.atleast_2d(array)).movedim((-1, -2), (0, 1)), layer)


def _theirs(tensor: Tensor, layer: keras.layers.Layer) -> np.ndarray:
    """The inverse of `_ours`."""
    return _regated(tensor, layer).movedim((0, 1), (-1, -2)).cpu().numpy()


def _regated(tensor: Tensor, layer: keras.layers.Layer) -> Tensor:
    """Swap a GRU's first two gates: Keras has the update gate first, we the reset gate. All others agree."""
    if not isinstance(layer, keras.layers.GRU):
        return tensor
    first, second, candidate = tensor.chunk(3)
    return torch.cat((second, first, candidate))
