"""MinLSTM: an LSTM whose gates do not see the state, so its recurrence is linear."""

from torch import Tensor

from ..ops import min_lstm_scan
from ..ops._channelwise import Channelwise
from ..ops.min_lstm_scan import BACKENDS, _cpu
from ._base import Cell, Init, check_init, reset_input_and_forget_bias


class MinLSTM(Cell):
    """h[t] = f'[t] * h[t-1] + i'[t] * candidate[t], with f' = f / (f + i) and i' = i / (f + i).

    f = sigmoid(W_f x + b_f), i = sigmoid(W_i x + b_i), candidate = W_h x + b_h. ``weight_ih`` (3 H, C) and ``bias_ih``
    (3 H,) hold input gate, forget gate, candidate.

    Source: Feng et al. 2024, "Were RNNs All We Needed?", arXiv:2410.01201, section 3.2.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state, H.
        bias: Learn a bias.
        layer_norm: Normalise gates and candidate, each before its bias, with the learned gain ``gain_ih``.
        dropout: Probability that an element of the output is dropped in training.
        init: "default" (torch.nn's uniform values) or "chrono", which spreads the memory over 1 to ``max_lag`` steps.
        max_lag: Longest lag in steps to remember, for "chrono".
        forget_bias: The forget gate's bias at the start. Default: as ``init``.

    >>> import torch
    >>> cell = MinLSTM(3, 8)
    >>> output, state = cell(torch.ones(2, 5, 3))
    >>> output.shape, state.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 8]))
    """

    backends = BACKENDS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
        init: Init = "default",
        max_lag: int | None = None,
        forget_bias: float | None = None,
    ):
        check_init(init, max_lag, bias, forget_bias)
        super().__init__(input_size, hidden_size, 3, recurrent=False, bias=bias, layer_norm=layer_norm, dropout=dropout)
        self.max_lag, self.forget_bias = max_lag, forget_bias
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        super().reset_parameters()
        reset_input_and_forget_bias(self, self.max_lag, self.forget_bias)

    def forward(self, x: Tensor, state: Tensor | None = None, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Run over sequences.

        Args:
            x: (*batch, T, C) with one or two batch dimensions.
            state: (*batch, H), what an earlier call returned. Default: zeros.
            reverse: Run from the last step to the first.

        Returns:
            The states (*batch, T, H) and the state (*batch, H) after the last step that was run.
        """
        output, state = min_lstm_scan(self.input_product(x), state, reverse=reverse)
        return self.drop(output.to(x.dtype)), state

    @property
    def scan(self) -> Channelwise:
        """The compiled recurrence that `forward` runs, for several cells in one call."""
        return _cpu.SCAN
