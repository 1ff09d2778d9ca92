"""The compiled row-wise convolutional long short-term memory, native/conv_lstm_scan.cpp."""

from torch import Tensor

from ..conv_gru_scan._recurrence import ConvRecurrence

_conv_lstm = ConvRecurrence("conv_lstm_scan", states=2, saved=5)


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: tuple[Tensor, Tensor] | None,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Same arguments and result as the reference."""
    h, c = initial if initial is not None else (None, None)
    output, h, c = _conv_lstm.over_rows(x, weight_ih, weight_hh, bias_ih, bias_hh, h, c, reverse=reverse)
    return output, (h, c)
