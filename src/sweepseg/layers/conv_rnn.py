"""Recurrence over time with maps as state."""

import torch
from torch import Tensor, nn


class ConvRNN(nn.Module):
    """Run a convolutional cell over the pictures of a video: (B, T, C, H, W) -> (B, T, hidden_size, H, W).

    Args:
        cell: Called as ``cell(picture, state) -> (output, state)`` for one step, as `ConvLSTM` and `ConvGRU` are.

    >>> from sweepseg.cells.conv_gru import ConvGRU
    >>> output, state = ConvRNN(ConvGRU(3, 8, 3))(torch.zeros(2, 4, 3, 5, 6))
    >>> output.shape, state.shape
    (torch.Size([2, 4, 8, 5, 6]), torch.Size([2, 8, 5, 6]))
    """

    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state=None, reverse: bool = False) -> tuple[Tensor, object]:
        """Run over videos.

        Args:
            x: (B, T, C, H, W), at least one step.
            state: What an earlier call returned. Default: zeros.
            reverse: Run from the last step to the first; each output stays with its picture.

        Returns:
            The outputs (B, T, hidden_size, H, W) and the state after the last step that was run.

        Raises:
            ValueError: ``x`` is not a sequence of maps or has no step.
        """
        check_video(x)
        outputs = []
        for picture in reversed(x.unbind(1)) if reverse else x.unbind(1):
            output, state = self.cell(picture, state)
            outputs.append(output)
        return torch.stack(outputs[::-1] if reverse else outputs, dim=1), state


def check_video(x: Tensor) -> None:
    """Raise a ValueError unless ``x`` is (B, T, C, H, W) with a step."""
    if x.dim() != 5 or x.shape[1] == 0:
        raise ValueError(f"got a video of shape {tuple(x.shape)}; give (B, T, C, H, W) with at least one step")
