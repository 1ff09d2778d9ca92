"""GRU: the gated recurrent unit."""

from torch import Tensor

from ..ops import gru_scan
from ..ops._recurrent import Recurrence
from ..ops.gru_scan import BACKENDS, _cpu
from ._base import Cell, Init, check_init, chrono_bias


class GRU(Cell):
    """The gated recurrent unit, with the parameters of torch.nn.GRU: reset gate, update gate, candidate.

    Source: Cho et al. 2014, arXiv:1406.1078, equations 5-8; see `sweepseg.ops.gru_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state, H.
        reset_after: Apply the reset gate after the candidate's product with the state (torch.nn) or before (Cho).
        bias: Learn biases.
        layer_norm: Normalise the products, with learned gains ``gain_ih`` and ``gain_hh`` and the biases as offsets.
        dropout: Probability that an element of the output is dropped in training.
        recurrent_dropout: Probability that a channel of the state is hidden from the products, for a whole sequence, in
            training.
        init: "default" (torch.nn's uniform values) or "chrono", which spreads the memory over 1 to ``max_lag`` steps.
        max_lag: Longest lag in steps to remember, for "chrono".

    >>> import torch
    >>> cell = GRU(3, 8)
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
        reset_after: bool = True,
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        init: Init = "default",
        max_lag: int | None = None,
    ):
        check_init(init, max_lag, bias)
        super().__init__(
            input_size,
            hidden_size,
            3,
            bias=bias,
            layer_norm=layer_norm,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
        )
        self.reset_after, self.max_lag = reset_after, max_lag
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        super().reset_parameters()
        if self.max_lag is not None:
            self.set_gate_bias(1, chrono_bias(self.hidden_size, self.max_lag))

    def forward(self, x: Tensor, state: Tensor | None = None, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Run over sequences.

        Args:
            x: (*batch, T, C) with one or two batch dimensions.
            state: (*batch, H), what an earlier call returned. Default: zeros.
            reverse: Run from the last step to the first.

        Returns:
            The states (*batch, T, H) and the state (*batch, H) after the last step that was run.
        """
        output, state = gru_scan(
            x,
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
            state,
            gain_ih=self.gain_ih,
            gain_hh=self.gain_hh,
            hidden_mask=self.hidden_mask(x),
            reset_after=self.reset_after,
            reverse=reverse,
        )
        return self.drop(output), state

    @property
    def scan(self) -> Recurrence:
        """The compiled recurrence that `forward` runs, for several cells in one call."""
        return _cpu.SCANS[self.reset_after]
