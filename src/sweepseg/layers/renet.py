"""ReNet: sweeps along the columns, then along the rows of what they found."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..orders import backward, columns, rows
from .merge import Concat
from .sweep import Sweep, Sweeps


class ReNet(nn.Module):
    """Patches of pixels become one step each; two cells sweep the columns, then two more the rows of their outputs.

    So every output depends on every input pixel.

    Source: Visin et al. 2015, "ReNet: A Recurrent Neural Network Based Alternative to Convolutional Networks",
    arXiv:1505.00393, section 2.

    Args:
        down: Cell that sweeps the columns from the top; its input is a patch, C * height * width channels.
        up: Cell that sweeps the columns from the bottom, over the same patches.
        right: Cell that sweeps the rows from the left; its input is both outputs of the columns, 2 * hidden_size.
        left: Cell that sweeps the rows from the right, over the same.
        patch: Height and width of a patch in pixels.

    >>> import torch
    >>> from sweepseg.cells import GRU
    >>> layer = ReNet(GRU(12, 5), GRU(12, 5), GRU(10, 5), GRU(10, 5), patch=(2, 2))
    >>> output, _ = layer(torch.zeros(1, 3, 6, 8))
    >>> output.shape
    torch.Size([1, 10, 3, 4])
    """

    def __init__(
        self, down: nn.Module, up: nn.Module, right: nn.Module, left: nn.Module, *, patch: tuple[int, int] = (1, 1)
    ):
        super().__init__()
        self.columns = Sweeps([Sweep(down, columns), Sweep(up, backward(columns))], Concat())
        self.rows = Sweeps([Sweep(right, rows), Sweep(left, backward(rows))], Concat())
        self.patch = patch

    def forward(self, x: Tensor, state: Sequence | None = None) -> tuple[Tensor, list]:
        """Sweep over a map.

        Args:
            x: (B, C, H, W), H and W multiples of the patch's.
            state: What an earlier call returned, for a map that arrives in strips. Default: zeros.

        Returns:
            (B, 2 * hidden_size, H / height, W / width), the outputs of ``right``, then those of ``left``; and the
            states of the columns and of the rows, as `Sweeps` gives them.

        Raises:
            ValueError: H or W is not a multiple of the patch's.
        """
        of_columns, of_rows = state or (None, None)
        x, of_columns = self.columns(split_patches(x, self.patch), of_columns)
        x, of_rows = self.rows(x, of_rows)
        return x, [of_columns, of_rows]


def split_patches(x: Tensor, patch: tuple[int, int]) -> Tensor:
    """Stack each patch of pixels along channels: (B, C, H, W) -> (B, C * height * width, H / height, W / width).

    Args:
        x: The map.
        patch: Height and width of a patch. Its pixels vary faster than C, in raster order.

    Raises:
        ValueError: H or W is not a multiple of the patch's.
    """
    height, width = patch
    if x.shape[2] % height or x.shape[3] % width:
        raise ValueError(
            f"a map of {x.shape[2]}x{x.shape[3]} does not divide into patches of {height}x{width}; pad it to a multiple"
        )
    pieces = x.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (B, C, H / height, height, W / width, width)
    return pieces.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
