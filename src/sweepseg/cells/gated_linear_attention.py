"""GatedLinearAttention: a matrix state whose rows decay as the input says."""

import torch.nn.functional as F
from torch import Tensor

from ..ops import gla_scan
from ._base import Cell, check_heads

TEMPERATURE = 16.0  # tau of the paper


class GatedLinearAttention(Cell):
    """S[t] = diag(alpha[t]) S[t-1] + k v^T, output swish(g) * rmsnorm(S^T q), in each of the heads.

    q, k, v and g are products W x + b, alpha = sigmoid(W_alpha x + b_alpha)^(1 / 16). ``weight_ih`` (5 H, C) and
    ``bias_ih`` (5 H,) hold q, k, v, alpha, g. The product for alpha has full rank. What a head reads from its state is
    divided by its root mean square, without a gain, as in the authors' code.

    Source: Yang et al. 2023, "Gated Linear Attention Transformers with Hardware-Efficient Training", arXiv:2312.06635,
    section 4.4; see `sweepseg.ops.gla_scan`.

    Args:
        input_size: Channels of the input, C.
        hidden_size: Channels of the output, H, a multiple of ``heads``.
        heads: Number of heads, each with a state of (H / heads)^2.
        bias: Learn a bias.
        layer_norm: Normalise the five products, each before its bias, with the learned gain ``gain_ih``.
        dropout: Probability that an element of the output is dropped in training.

    >>> import torch
    >>> output, state = GatedLinearAttention(3, 8, heads=2)(torch.ones(2, 5, 3))
    >>> output.shape, state.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 2, 4, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 1,
        bias: bool = True,
        layer_norm: bool = False,
        dropout: float = 0.0,
    ):
        check_heads(heads, hidden_size)
        super().__init__(input_size, hidden_size, 5, recurrent=False, bias=bias, layer_norm=layer_norm, dropout=dropout)
        self.heads = heads
        self.reset_parameters()

    def forward(self, x: Tensor, state: Tensor | None = None, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Run over sequences.

        Args:
            x: (*batch, T, C) with one or two batch dimensions.
            state: (*batch, heads, H / heads, H / heads), what an earlier call returned. Default: zeros.
            reverse: Run from the last step to the first.

        Returns:
            The outputs (*batch, T, H) and the state after the last step that was run.
        """
        q, k, v, alpha, g = self.input_products(x)
        o, state = gla_scan(q, k, v, F.logsigmoid(alpha) / TEMPERATURE, state, heads=self.heads, reverse=reverse)
        by_head = o.unflatten(-1, (self.heads, -1))
        normalised = F.rms_norm(by_head, by_head.shape[-1:], eps=1e-5).flatten(-2)
        return self.drop((F.silu(g) * normalised).to(x.dtype)), state
