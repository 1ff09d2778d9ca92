"""Several scans over one map in one call: what each gives alone, in one tensor."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.ops._side_by_side import Path, side_by_side
from sweepseg.ops.gru_scan._cpu import SCANS
from sweepseg.ops.min_gru_scan._cpu import SCAN

C, H = 6, 3
PATHS = [
    Path(columns=True, reverse=False, inputs=slice(0, C), outputs=slice(0, H)),
    Path(columns=False, reverse=True, inputs=slice(C, 2 * C), outputs=slice(H, 2 * H)),
    Path(columns=True, reverse=True, inputs=slice(0, C), outputs=slice(2 * H, 3 * H)),
]
WEIGHTS = ((3 * H, C), (3 * H, H), (3 * H,), None)


def alone(scan, path, x, tensors):
    """One scan by itself; its output as a map."""
    lines = x.transpose(1, 2) if path.columns else x
    if scan is SCAN:
        y, *states = scan(lines[..., path.inputs], initial=tensors[0], reverse=path.reverse)
    else:
        y, *states = scan(lines[..., path.inputs], *tensors, reverse=path.reverse)
    return y.transpose(1, 2) if path.columns else y, states


@pytest.mark.parametrize("scan", [SCANS[True], SCAN], ids=["with weights", "of gates"])
@pytest.mark.parametrize("asked", ["outputs", "states"])
def test_outputs_states_and_gradients_are_those_of_single_scans(scan, asked):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 2 * C, 5).transpose(2, 3).requires_grad_()  # (B, H, W, 2 C), channels not innermost
    tensors = []
    for path in PATHS:
        weights = [None if size is None else torch.randn(size) for size in WEIGHTS] if scan is not SCAN else []
        initial = torch.randn(2, 5 if path.columns else 4, H)
        rest = [None, torch.rand_like(initial)] if scan is not SCAN else []
        tensors.append([None if t is None else t.requires_grad_() for t in (*weights, initial, *rest)])
    y, states = side_by_side(scan, x, PATHS, tensors)
    singles = [alone(scan, path, x, others) for path, others in zip(PATHS, tensors, strict=True)]
    together = {"outputs": [y], "states": [state for last in states for state in last]}[asked]
    expected = {
        "outputs": [torch.cat([output for output, _ in singles], dim=-1)],
        "states": [state for _, last in singles for state in last],
    }[asked]
    leaves = [x, *(tensor for others in tensors for tensor in others if tensor is not None)]
    for i, (a, b) in enumerate(zip(together, expected, strict=True)):
        assert_close(a, b, f"result {i}")
    gradients, of_singles = (
        torch.autograd.grad(sum((result * result).sum() for result in results), leaves)
        for results in (together, expected)
    )
    for i, (a, b) in enumerate(zip(gradients, of_singles, strict=True)):
        assert_close(a, b, f"gradient {i}")


def test_second_derivatives_are_refused():
    x = torch.randn(1, 2, 2, C, requires_grad=True)
    y, _ = side_by_side(SCAN, x, PATHS[:1], [[None]])
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        gradient.sum().backward()
