"""The long short-term memory (LSTM) over a whole sequence."""

from torch import Tensor

from .. import _native
from .._dispatch import Backend, choose
from .._sequences import GAINS, WIDE, check_recurrence, options_in_use
from .._triton import backend as triton_backend
from . import _cpu, _reference, _triton

RELU = "nonlinearity 'relu'"
BACKENDS = {
    "triton": triton_backend(_triton.scan, lacks=(*GAINS, WIDE, RELU)),
    "cpu": Backend(
        _cpu.scan,
        devices=("cpu",),
        problem=_native.problem_with("sweepseg_lstm_scan_float"),
        lacks=(*GAINS, RELU),
    ),
    "reference": Backend(_reference.scan),
}


def lstm_scan(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    initial: tuple[Tensor, Tensor] | None = None,
    *,
    nonlinearity: str = "tanh",
    gain_ih: Tensor | None = None,
    gain_hh: Tensor | None = None,
    hidden_mask: Tensor | None = None,
    reverse: bool = False,
    backend: str | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run an LSTM along the steps; gates and their order (input, forget, candidate, output) are those of torch.nn.LSTM.

    Source: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", with the forget gate of Gers et al. 2000, "Learning
    to Forget". Normalisation: Ba et al. 2016, arXiv:1607.06450, supplement; the four products are normalised together,
    the state c is not. Mask: Gal & Ghahramani 2016, arXiv:1512.05287.

    Args:
        x: (*batch, T, C) with one or two batch dimensions of any stride.
        weight_ih: (4 H, C).
        weight_hh: (4 H, H).
        bias_ih: (4 H,).
        bias_hh: (4 H,).
        initial: States (h, c) before the first step that is run, both (*batch, H). Default: zeros.
        nonlinearity: Of the candidate and of c on its way out: "tanh" or, as some code has it, "relu", which bounds
            neither and runs on the reference backend alone.
        gain_ih: (4 H,); the product with ``x`` is layer-normalised and scaled by it before its bias is added.
        gain_hh: (4 H,); the same for the product with the state.
        hidden_mask: (*batch, H); multiplies h[t-1] before its product at every step.
        reverse: Run from the last step to the first.
        backend: A key of ``BACKENDS``. Default: see `sweepseg.ops.use_backend`.

    Returns:
        The states h (*batch, T, H), in dtype and memory order of ``x``, and the states (h, c), both (*batch, H), after
        the last step that was run, in float32 or, for float64 input, float64.

    Raises:
        ValueError: Shapes do not fit, the sequence has no step, the nonlinearity is unknown, or the backend cannot run.

    >>> import torch
    >>> output, (h, c) = lstm_scan(torch.ones(1, 3, 2), torch.ones(16, 2), torch.ones(16, 4))
    >>> output.shape, torch.equal(h, output[:, -1]), c.shape
    (torch.Size([1, 3, 4]), True, torch.Size([1, 4]))
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"lstm_scan: nonlinearity is {nonlinearity!r}; give 'tanh' or 'relu'")
    h, c = initial if initial is not None else (None, None)
    check_recurrence(
        "lstm_scan",
        4,
        x,
        weight_ih,
        weight_hh,
        vectors={"bias_ih": bias_ih, "bias_hh": bias_hh, "gain_ih": gain_ih, "gain_hh": gain_hh},
        states={"initial h": h, "initial c": c, "hidden_mask": hidden_mask},
    )
    options = options_in_use(weight_hh, gain_ih, gain_hh) + ([RELU] if nonlinearity == "relu" else [])
    scan = choose(BACKENDS, backend, x.device, options)
    return scan(
        x, weight_ih, weight_hh, bias_ih, bias_hh, initial, gain_ih, gain_hh, hidden_mask, nonlinearity, reverse
    )
