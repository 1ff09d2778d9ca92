"""The compiled two-dimensional LSTM, native/md_lstm_scan.cpp."""

import torch
from torch import Tensor

from ..conv_gru_scan._recurrence import ConvRecurrence

_rightwards = ConvRecurrence("md_lstm_scan_rightwards", states=2, saved=6)
_leftwards = ConvRecurrence("md_lstm_scan_leftwards", states=2, saved=6)


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_above: Tensor,
    weight_left: Tensor,
    bias: Tensor | None,
    initial: tuple[Tensor, Tensor] | None,
    reverse: bool,
    leftwards: bool,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Same arguments and result as the reference."""
    taps = torch.stack((weight_above, weight_left), dim=1).mT  # (5 H, H, 2)
    h, c = initial if initial is not None else (None, None)
    md_lstm = _leftwards if leftwards else _rightwards
    output, h, c = md_lstm.over_rows(x, weight_ih, taps, bias, None, h, c, reverse=reverse)
    return output, (h, c)
