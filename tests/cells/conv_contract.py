"""What every convolutional cell keeps. Each tests/cells/test_conv_<cell>.py runs its cell through `PROMISES`."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

C, H = 3, 4


def shapes_and_dtypes(make):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        output, state = make(C, H, 5).to(dtype)(torch.randn(2, C, 6, 7, dtype=dtype))
        assert output.shape == (2, H, 6, 7) and output.dtype == dtype
        for leaf in tree_leaves(state):
            assert leaf.shape == (2, H, 6, 7)
            assert leaf.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def state_stays_wide_under_autocast(make):
    cell, x = make(C, H, 3), torch.randn(2, C, 6, 7)
    expected, _ = cell(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, state = cell(x)
    assert {leaf.dtype for leaf in (output, *tree_leaves(state))} == {torch.float32}
    torch.testing.assert_close(output, expected, rtol=0.05, atol=0.05)


def samples_are_independent(make):
    cell, x = make(C, H, 3), torch.randn(4, C, 6, 7)
    others = torch.cat((x[:1], torch.randn(3, C, 6, 7)))
    assert torch.equal(cell(others)[0][0], cell(x)[0][0])


def a_step_of_training_changes_every_parameter(make):
    cell = make(C, H, 3)
    before = {name: parameter.clone() for name, parameter in cell.named_parameters()}
    _, state = cell(torch.randn(2, C, 6, 7))
    output, _ = cell(torch.randn(2, C, 6, 7), state)
    (output * torch.randn_like(output)).sum().backward()
    torch.optim.SGD(cell.parameters(), lr=0.1).step()
    for name, parameter in cell.named_parameters():
        assert (parameter != before[name]).all(), name


def even_kernels_are_refused(make):
    with pytest.raises(ValueError, match="kernel_size is 4; give an odd number"):
        make(C, H, 4)


def one_graph(make):
    cell, x = make(C, H, 3), torch.randn(2, C, 6, 7)
    torch.compiler.reset()
    compiled = torch.compile(cell, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x)[0], cell(x)[0])


PROMISES = [
    shapes_and_dtypes,
    state_stays_wide_under_autocast,
    samples_are_independent,
    a_step_of_training_changes_every_parameter,
    even_kernels_are_refused,
    one_graph,
]
