"""The one table of numerical tolerances, and the comparison that uses it."""

import torch
from torch import Tensor

TOLERANCES = {
    # What a result may be off: a share of the element itself, and a share of the tensor's largest element (or of 1),
    # because a sum that cancels keeps the rounding of its largest terms.
    # About 10,000 roundings (2**-53), about 30 roundings (2**-24) of those terms: long sums in another order.
    torch.float64: (1e-12, 1e-12),
    torch.float32: (1e-5, 2e-6),
    # One unit in the last place of the result: half for its rounding, half because float32 error can tip a tie. State
    # and sums are float32, so nothing else may be lost, however long the sequence.
    torch.bfloat16: (2**-8, 2e-6),
    torch.float16: (2**-10, 2e-6),
}


def assert_close(actual: Tensor, exact: Tensor, what: str) -> None:
    """Compare a result with the exact one, in float64, within the tolerance of the result's dtype."""
    of_element, of_largest = TOLERANCES[actual.dtype]
    largest = max(1.0, exact.abs().max().item()) if exact.numel() else 1.0
    torch.testing.assert_close(
        actual.double(),
        exact.double(),
        rtol=of_element,
        atol=of_largest * largest,
        msg=lambda text: f"{what}: {text}",
    )
