"""ConvGRU: a GRU whose state is a map and whose products are convolutions."""

import torch
from torch import Tensor, nn

from ..ops._sequences import widen


class ConvGRU(nn.Module):
    """One step of a convolutional GRU; gates and their order are those of `GRU`: reset, update, candidate.

    The reset gate acts before the candidate's convolution, and the update gate keeps the old state where it is 1.

    Source: Ballas et al. 2016, "Delving Deeper into Convolutional Networks for Learning Video Representations",
    arXiv:1511.06432 (GRU-RCN), with z in place of 1 - z. Outside of the map state and input are zero.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the state.
        kernel_size: Rows and columns of the convolutions, odd.

    Raises:
        ValueError: ``kernel_size`` is not odd.

    >>> cell = ConvGRU(3, 8, 3)
    >>> output, state = cell(torch.zeros(2, 3, 5, 6))
    >>> output.shape, state.shape
    (torch.Size([2, 8, 5, 6]), torch.Size([2, 8, 5, 6]))
    """

    def __init__(self, input_size: int, hidden_size: int, kernel_size: int):
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; give an odd number, so that the map keeps its size")
        self.hidden_size, padding = hidden_size, kernel_size // 2
        self.input_conv = nn.Conv2d(input_size, 3 * hidden_size, kernel_size, padding=padding)
        self.gates_conv = nn.Conv2d(hidden_size, 2 * hidden_size, kernel_size, padding=padding, bias=False)
        self.candidate_conv = nn.Conv2d(hidden_size, hidden_size, kernel_size, padding=padding, bias=False)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run one step.

        Args:
            x: (B, C, H, W).
            state: (B, hidden_size, H, W), what an earlier call returned. Default: zeros.

        Returns:
            The output (B, hidden_size, H, W) in the dtype of ``x``, and the same as the state, in float32 or, for
            float64 input, float64.
        """
        h = state
        if h is None:
            (h,) = widen(x.new_zeros(x.shape[0], self.hidden_size, *x.shape[2:]))
        (products,) = widen(self.input_conv(x))
        x_rz, x_n = products.split((2 * self.hidden_size, self.hidden_size), dim=1)
        r, z = torch.sigmoid(x_rz + self.gates_conv(h.to(x.dtype))).chunk(2, dim=1)
        n = torch.tanh(x_n + self.candidate_conv((r * h).to(x.dtype)))
        h = (1 - z) * n + z * h
        return h.to(x.dtype), h
