"""The compiled Elman recurrence, native/elman_scan.cpp."""

from torch import Tensor

from .._recurrent import Recurrence

SCANS = {nonlinearity: Recurrence(f"elman_scan_{nonlinearity}") for nonlinearity in ("tanh", "relu")}


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
    nonlinearity: str,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """Same arguments, without gains, and result as the reference."""
    run = SCANS[nonlinearity]
    output, final = run(x, weight_ih, weight_hh, bias_ih, bias_hh, initial, None, hidden_mask, reverse=reverse)
    return output, final
