"""The row-wise convolutional long short-term memory (ConvLSTM) over a map."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from ..conv_gru_scan._rows import check_rows
from . import _cpu, _reference

BACKENDS = {
    "cpu": Backend(_cpu.scan, devices=("cpu",), problem=_native.problem_with("sweepseg_conv_lstm_scan_float")),
    "reference": Backend(_reference.scan),
}


def conv_lstm_scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    initial: tuple[Tensor, Tensor] | None = None,
    *,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run an LSTM over the rows of a map: its state is a whole row, its product with the state a convolution along it.

    Gates and their order (input, forget, candidate, output) are those of torch.nn.LSTM. Each pixel sees itself and, in
    each row before, K // 2 more pixels to both sides than in the row after it. Over columns instead of rows run the
    transposed view ``x.mT``.

    Source: Shi et al. 2015, "Convolutional LSTM Network", arXiv:1506.04214, equation 3, without peepholes; along the
    rows as in van den Oord et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759, section 3.1 (Row LSTM).

    Args:
        x: (*batch, C, H, W) with one or two batch dimensions of any stride, best channels-last in memory.
        weight_ih: (4 hidden, C).
        weight_hh: (4 hidden, hidden, K) as in torch.nn.Conv1d, with an odd K; outside of the row the state is 0.
        bias_ih: (4 hidden,).
        bias_hh: (4 hidden,).
        initial: States (h, c) of the row before the first row that is run, both (*batch, hidden, W). Default: zeros.
        reverse: Run from the last row to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states h (*batch, hidden, H, W), in dtype and memory order of ``x``, and the states (h, c), both
        (*batch, hidden, W), of the last row that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the map has no row or no column, or the backend cannot run.

    >>> import torch
    >>> output, (h, c) = conv_lstm_scan(torch.ones(1, 2, 3, 4), torch.ones(20, 2), torch.ones(20, 5, 3))
    >>> output.shape, torch.equal(h, output[..., -1, :]), c.shape
    (torch.Size([1, 5, 3, 4]), True, torch.Size([1, 5, 4]))
    """
    h, c = initial if initial is not None else (None, None)
    check_rows(
        "conv_lstm_scan",
        4,
        x,
        weight_ih,
        weight_hh,
        biases={"bias_ih": bias_ih, "bias_hh": bias_hh},
        states={"initial h": h, "initial c": c},
    )
    scan = choose(BACKENDS, backend, x.device)
    return scan(x, weight_ih, weight_hh, bias_ih, bias_hh, initial, reverse)
