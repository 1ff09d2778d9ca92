"""Recurrence over time, each pixel by itself."""

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from .conv_rnn import check_video


class PixelRNN(nn.Module):
    """Run a cell over the frames of a video, each pixel a sequence: (B, T, C, H, W) -> (B, T, hidden_size, H, W).

    Args:
        cell: A cell over sequences, such as `MinGRU`, `GRU` or `LSTM`.

    >>> import torch
    >>> from sweepseg.cells import MinGRU
    >>> output, state = PixelRNN(MinGRU(3, 8))(torch.zeros(2, 4, 3, 5, 6))
    >>> output.shape, state.shape
    (torch.Size([2, 4, 8, 5, 6]), torch.Size([2, 8, 5, 6]))
    """

    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state=None) -> tuple[Tensor, object]:
        """Run over videos.

        Args:
            x: (B, T, C, H, W), at least one step.
            state: What an earlier call returned, (B, hidden_size, H, W) or a tuple of such. Default: zeros.

        Returns:
            The outputs (B, T, hidden_size, H, W) and the state after the last step.

        Raises:
            ValueError: ``x`` is not a sequence of maps or has no step.
        """
        check_video(x)
        sequences = x.permute(0, 3, 4, 1, 2).flatten(1, 2)  # (B, H * W, T, C)
        initial = None if state is None else tree_map(lambda part: part.flatten(2).transpose(1, 2), state)
        output, last = self.cell(sequences, initial)
        size = x.shape[-2:]
        last = tree_map(lambda part: part.transpose(1, 2).unflatten(2, size), last)
        return output.unflatten(1, size).permute(0, 3, 4, 1, 2), last
