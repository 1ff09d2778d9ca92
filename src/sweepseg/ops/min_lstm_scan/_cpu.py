"""The compiled MinLSTM recurrence, native/min_lstm_scan.cpp."""

from torch import Tensor

from .._channelwise import Channelwise

SCAN = Channelwise("min_lstm_scan", ("gates",), parts=3)


def scan(gates: Tensor, initial: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    return SCAN(gates, initial=initial, reverse=reverse)
