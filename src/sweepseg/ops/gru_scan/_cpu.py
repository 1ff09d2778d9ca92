"""The compiled gated recurrent unit, native/gru_scan.cpp."""

from torch import Tensor

from .._recurrent import Recurrence

SCANS = {True: Recurrence("gru_scan", saved=4), False: Recurrence("gru_scan_reset_before", saved=3)}  # by reset_after


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: Tensor | None,
    gain_ih: None,
    gain_hh: None,
    hidden_mask: Tensor | None,
    reset_after: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """Same arguments, without gains, and result as the reference."""
    run = SCANS[reset_after]
    output, final = run(x, weight_ih, weight_hh, bias_ih, bias_hh, initial, None, hidden_mask, reverse=reverse)
    return output, final
