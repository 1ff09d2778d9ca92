"""The Elman recurrence, the simple recurrent network, over a whole sequence."""

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
        problem=_native.problem_with("sweepseg_elman_scan_relu_float"),
        lacks=GAINS,
    ),
    "reference": Backend(_reference.scan),
}


def elman_scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    nonlinearity: str = "tanh",
    gain_ih: Tensor | None = None,
    gain_hh: Tensor | None = None,
    hidden_mask: Tensor | None = None,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Run h[t] = f(weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh) along the steps, as torch.nn.RNN does.

    Source: Elman 1990, "Finding Structure in Time", Cognitive Science 14. Normalisation: Ba et al. 2016,
    arXiv:1607.06450, here of the two products, not of their sum. Mask: Gal & Ghahramani 2016, arXiv:1512.05287.

    Args:
        x: (*batch, T, C) with one or two batch dimensions of any stride.
        weight_ih: (H, C).
        weight_hh: (H, H).
        bias_ih: (H,).
        bias_hh: (H,).
        initial: State before the first step that is run, (*batch, H). Default: zeros.
        nonlinearity: f, "tanh" or "relu".
        gain_ih: (H,); the product with ``x`` is layer-normalised and scaled by it before its bias is added.
        gain_hh: (H,); the same for the product with the state.
        hidden_mask: (*batch, H); multiplies h[t-1] before its product at every step.
        reverse: Run from the last step to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states (*batch, T, H), in dtype and memory order of ``x``, and the state (*batch, H) after the last step
        that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the sequence has no step, the nonlinearity is unknown, or the backend cannot run.

    >>> import torch
    >>> output, final = elman_scan(torch.ones(1, 3, 1), torch.ones(1, 1), torch.ones(1, 1), nonlinearity="relu")
    >>> output.flatten().tolist(), final.item()
    ([1.0, 2.0, 3.0], 3.0)
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"elman_scan: nonlinearity is {nonlinearity!r}; give 'tanh' or 'relu'")
    check_recurrence(
        "elman_scan",
        1,
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
        nonlinearity,
        reverse,
    )
