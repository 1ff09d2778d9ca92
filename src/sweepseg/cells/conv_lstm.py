"""ConvLSTM: an LSTM whose state is a map and whose products are convolutions."""

import torch
from torch import Tensor, nn

from ..ops._sequences import widen


class ConvLSTM(nn.Module):
    """One step of a convolutional LSTM; gates and their order are those of `LSTM`: input, forget, candidate, output.

    Source: Shi et al. 2015, "Convolutional LSTM Network", arXiv:1506.04214, equation 3, without the peephole terms
    W_c * C, as in Keras. Outside of the map state and input are zero.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state.
        kernel_size: Rows and columns of the convolutions, odd.

    Raises:
        ValueError: ``kernel_size`` is not odd.

    >>> cell = ConvLSTM(3, 8, 3)
    >>> output, (h, c) = cell(torch.zeros(2, 3, 5, 6))
    >>> output.shape, c.shape
    (torch.Size([2, 8, 5, 6]), torch.Size([2, 8, 5, 6]))
    """

    def __init__(self, input_size: int, hidden_size: int, kernel_size: int):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; give an odd number, so that the map keeps its size")
        self.hidden_size = hidden_size
        self.input_conv = nn.Conv2d(input_size, 4 * hidden_size, kernel_size, padding=kernel_size // 2)
        self.state_conv = nn.Conv2d(hidden_size, 4 * hidden_size, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run one step.

        Args:
            x: (B, C, H, W).
            state: h and c, what an earlier call returned. Default: zeros.

        Returns:
            The output (B, hidden_size, H, W) in the dtype of ``x``, and (h, c), both (B, hidden_size, H, W), in float32
            or, for float64 input, float64.
        """
        if state is None:
            (zeros,) = widen(x.new_zeros(x.shape[0], self.hidden_size, *x.shape[2:]))
            state = zeros, zeros
        h, c = state
        from_input, from_state = widen(self.input_conv(x), self.state_conv(h.to(x.dtype)))
        i, f, g, o = (from_input + from_state).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h.to(x.dtype), (h, c)
