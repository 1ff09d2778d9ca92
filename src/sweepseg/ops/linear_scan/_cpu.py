"""The compiled linear recurrence, native/linear_scan.cpp."""

from torch import Tensor

from .._channelwise import Channelwise

_linear_scan = Channelwise("linear_scan", ("decay", "update"))


def scan(decay: Tensor, update: Tensor, initial: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
    """Same arguments and result as the reference."""
    return _linear_scan(decay, update, initial=initial, reverse=reverse)
