"""The compiled row-wise convolutional gated recurrent unit, native/conv_gru_scan.cpp."""

from torch import Tensor

from ._recurrence import ConvRecurrence

_reset_after = ConvRecurrence("conv_gru_scan", saved=4)
_reset_before = ConvRecurrence("conv_gru_scan_reset_before", saved=3)


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: Tensor | None,
    reset_after: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    run = _reset_after if reset_after else _reset_before
    return run.over_rows(x, weight_ih, weight_hh, bias_ih, bias_hh, initial, None, reverse=reverse)
