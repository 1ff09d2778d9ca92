"""The compiled row-wise convolutional recurrences, native/conv_scan.h, as torch operations on maps."""

from struct import pack
from typing import Any

from torch import Tensor

from .._memory import laid_out_like
from .._recurrent import Recurrence
from ._rows import channels_last


class ConvRecurrence(Recurrence):
    """A cell whose operations take maps (B, W, T, C) and ``weight_hh`` as (gates * H, K, H)."""

    def over_rows(self, x: Tensor, weight_ih: Tensor, weight_hh: Tensor, *others: Any, reverse: bool) -> Any:
        """Run over the rows of a map.

        Args:
            x: (*batch, C, T, W).
            weight_ih: (gates * H, C).
            weight_hh: (gates * H, H, K).
            others: Biases, h0 and c0 (*batch, H, W); None where there is none.
            reverse: Run from the last row to the first.

        Returns:
            The states h (*batch, H, T, W) in dtype and memory order of ``x``, and the last states (*batch, H, W).
        """
        batch = x.shape[:-3]
        *biases, h0, c0 = others
        states = (None if state is None else state.mT.flatten(0, -3) for state in (h0, c0))
        columns = channels_last(x).flatten(0, -4)
        y, *final = self(columns, weight_ih, weight_hh.mT, *biases, *states, None, reverse=reverse)
        output = laid_out_like(channels_last(y.unflatten(0, batch)), x)
        return output, *(state.unflatten(0, batch).mT for state in final)

    def _shape(self, x: Tensor, weight_hh: Tensor, y: Tensor, reverse: bool, *of_gradients: int) -> bytes:
        """ConvShape of native/conv_scan.h: a RecurrentShape and the number of taps."""
        return super()._shape(x, weight_hh, y, reverse, *of_gradients) + pack("q", weight_hh.shape[1])
