"""What the compiled channelwise recurrences promise beyond the contract, on linear_scan."""

import pytest
import torch

from sweepseg.ops import linear_scan


def sequences():
    return [torch.rand(2, 5, 3, requires_grad=True) for _ in range(2)]


@pytest.mark.parametrize("used", [0, 1], ids=["output", "final"])
def test_one_result_may_go_unused(used):
    gradients = []
    inputs = sequences()
    for backend in (None, "reference"):
        gradients.append(torch.autograd.grad(linear_scan(*inputs, backend=backend)[used].square().sum(), inputs))
    torch.testing.assert_close(*gradients)


def test_saves_only_inputs_and_output():
    saved = []
    decay, update = sequences()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.data_ptr()) or x, lambda x: x):
        output, _ = linear_scan(decay, update)
    assert set(saved) == {decay.data_ptr(), update.data_ptr(), output.data_ptr()}
