"""The gated recurrent unit (GRU) over a whole sequence."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from .._sequences import GAINS, WIDE, check_recurrence, options_in_use
from .._triton import backend as triton_backend
from . import _cpu, _reference, _triton

BACKENDS = {
    "triton": triton_backend(_triton.scan, lacks=(*GAINS, WIDE)),
    "cpu": Backend(
        _cpu.scan,
        devices=("cpu",),
        problem=_native.problem_with("sweepseg_gru_scan_reset_before_float"),
        lacks=GAINS,
    ),
    "reference": Backend(_reference.scan),
}


def gru_scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    gain_ih: Tensor | None = None,
    gain_hh: Tensor | None = None,
    hidden_mask: Tensor | None = None,
    reset_after: bool = True,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a GRU along the steps; gates and their order (reset, update, candidate) are those of torch.nn.GRU.

    Source: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder", arXiv:1406.1078, equations 5-8
    (reset before the product; z keeps the old state), and cuDNN's variant (reset after it). Normalisation: Ba et al.
    2016, arXiv:1607.06450, supplement; gates and candidate are normalised separately. Mask: Gal & Ghahramani 2016,
    arXiv:1512.05287.

    Args:
        x: (*batch, T, C) with one or two batch dimensions of any stride.
        weight_ih: (3 H, C).
        weight_hh: (3 H, H).
        bias_ih: (3 H,).
        bias_hh: (3 H,).
        initial: State before the first step that is run, (*batch, H). Default: zeros.
        gain_ih: (3 H,); the products with ``x`` are layer-normalised and scaled by it before their bias is added.
        gain_hh: (3 H,); the same for the products with the state.
        hidden_mask: (*batch, H); multiplies h[t-1] before its products at every step.
        reset_after: Apply the reset gate after the candidate's product with the state, not before.
        reverse: Run from the last step to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states (*batch, T, H), in dtype and memory order of ``x``, and the state (*batch, H) after the last step
        that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the sequence has no step, or the backend cannot run.

    >>> import torch
    >>> output, final = gru_scan(torch.ones(1, 2, 1), torch.ones(3, 1), torch.zeros(3, 1))
    >>> output.shape, torch.equal(final, output[:, -1])
    (torch.Size([1, 2, 1]), True)
    """
    check_recurrence(
        "gru_scan",
        3,
        x,
        weight_ih,
        weight_hh,
        vectors={"bias_ih": bias_ih, "bias_hh": bias_hh, "gain_ih": gain_ih, "gain_hh": gain_hh},
        states={"initial": initial, "hidden_mask": hidden_mask},
    )
    scan = choose(BACKENDS, backend, x.device, options_in_use(weight_hh, gain_ih, gain_hh))
    return scan(
        x,
        weight_ih,
        weight_hh,
        bias_ih,
        bias_hh,
        initial,
        gain_ih,
        gain_hh,
        hidden_mask,
        reset_after,
        reverse,
    )
