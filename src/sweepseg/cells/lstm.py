"""LSTM: the long short-term memory."""

from torch import Tensor

from ..ops import lstm_scan
from ..ops._recurrent import Recurrence
from ..ops.lstm_scan import BACKENDS, _cpu
from ._base import Cell, Init, check_init, reset_input_and_forget_bias


class LSTM(Cell):
    """The long short-term memory, with the parameters of torch.nn.LSTM: input, forget, candidate, output.

    Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000; see `sweepseg.ops.lstm_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the states, H.
        nonlinearity: Of candidate and output: "tanh" or, slower and without bound, "relu"; see `lstm_scan`.
        bias: Learn biases.
        layer_norm: Normalise the products, with learned gains ``gain_ih`` and ``gain_hh`` and the biases as offsets.
        dropout: Probability that an element of the output is dropped in training.
        recurrent_dropout: Probability that a channel of the state is hidden from the products, for a whole sequence, in
            training.
        init: "default" (torch.nn's uniform values) or "chrono", which spreads the memory over 1 to ``max_lag`` steps.
        max_lag: Longest lag in steps to remember, for "chrono".
        forget_bias: Sum of the forget gate's two biases at the start; Jozefowicz et al. 2015 advise 1. Default: as
            ``init``.

    >>> import torch
    >>> cell = LSTM(3, 8)
    >>> output, (h, c) = cell(torch.ones(2, 5, 3))
    >>> output.shape, h.shape, c.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 8]), torch.Size([2, 8]))
    """

    backends = BACKENDS

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        init: Init = "default",
        max_lag: int | None = None,
        forget_bias: float | None = None,
    ):
        check_init(init, max_lag, bias, forget_bias)
        super().__init__(
            input_size,
            hidden_size,
            4,
            bias=bias,
            layer_norm=layer_norm,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        )
        self.nonlinearity, self.max_lag, self.forget_bias = nonlinearity, max_lag, forget_bias
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        super().reset_parameters()
        reset_input_and_forget_bias(self, self.max_lag, self.forget_bias)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, reverse: bool = False
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over sequences.

        Args:
            x: (*batch, T, C) with one or two batch dimensions.
            state: (h, c), both (*batch, H), what an earlier call returned. Default: zeros.
            reverse: Run from the last step to the first.

        Returns:
            The states h (*batch, T, H) and the states (h, c), both (*batch, H), after the last step that was run.
        """
        output, state = lstm_scan(
            x,
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
            state,
            nonlinearity=self.nonlinearity,
            gain_ih=self.gain_ih,
            gain_hh=self.gain_hh,
            hidden_mask=self.hidden_mask(x),
            reverse=reverse,
        )
        return self.drop(output), state

    @property
    def scan(self) -> Recurrence | None:
        """The compiled recurrence that `forward` runs, for several cells in one call; None for relu, which has none."""
        return _cpu.SCAN if self.nonlinearity == "tanh" else None
