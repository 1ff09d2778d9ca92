"""The compiled long short-term memory, native/lstm_scan.cpp."""

from torch import Tensor

from .._recurrent import Recurrence

SCAN = Recurrence("lstm_scan", states=2, saved=5)


def scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    initial: tuple[Tensor, Tensor] | None,
    gain_ih: None,
    gain_hh: None,
    hidden_mask: Tensor | None,
    nonlinearity: str,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Same arguments, without gains and with tanh alone, and result as the reference."""
    h, c = initial if initial is not None else (None, None)
    output, h, c = SCAN(x, weight_ih, weight_hh, bias_ih, bias_hh, h, c, hidden_mask, reverse=reverse)
    return output, (h, c)
