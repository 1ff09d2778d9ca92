"""Layers of torch.nn with the weights of ours."""

import torch
from torch import nn


def bidirectional(sweeps, lines):
    """Both GRUs of a pair along lines (B, N, T, C), as one nn.GRU."""
    forth, back = (sweep.cell for sweep in sweeps.sweeps)
    gru = nn.GRU(forth.input_size, forth.hidden_size, batch_first=True, bidirectional=True, dtype=torch.float64)
    gru.load_state_dict(
        {f"{name}_l0": value for name, value in forth.state_dict().items()}
        | {f"{name}_l0_reverse": value for name, value in back.state_dict().items()}
    )
    return gru(lines.flatten(0, 1))[0].unflatten(0, lines.shape[:2])


def renet(layer, x):
    """Columns both ways, then rows both ways: (B, C, H, W) -> (B, 2 * hidden_size, H, W)."""
    x = bidirectional(layer.columns, x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
    return bidirectional(layer.rows, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def lstm(cell, sequence):
    """The states of an LSTM along (B, T, C)."""
    theirs = nn.LSTM(cell.input_size, cell.hidden_size, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    return theirs(sequence)[0]


def there_and_back(first, second, x):
    """The first LSTM over the pixels of a map in raster order, the second from the end over what it found."""
    found = lstm(first, x.flatten(2).transpose(1, 2))  # (B, H * W, C)
    return lstm(second, found.flip(1)).flip(1).transpose(1, 2).unflatten(2, x.shape[2:])
