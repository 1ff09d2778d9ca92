import pytest
import torch
from tolerances import assert_close
from torch import nn

from sweepseg.benchmark.peers import Attention, TorchSweeps, depthwise, four_ways
from sweepseg.cells import GRU, LSTM


@pytest.mark.parametrize("cell", [GRU, LSTM])
def test_layers_of_torch_do_the_same_work_as_sweeps(cell):
    sweeps, x = four_ways(cell, 3, 5).double(), torch.randn(2, 3, 4, 6).double()
    peer = TorchSweeps(sweeps).double()
    output, _ = sweeps(x)
    assert output.shape == (2, 20, 4, 6)
    assert_close(peer(x), output, "output")
    with torch.no_grad():
        peer.columns.weight_hh_l0_reverse.add_(1e-9)
    assert not torch.allclose(peer(x), output, rtol=0, atol=1e-11), "a weight of one direction is off"


def test_attention_is_that_of_torch():
    layer, x = Attention(8, heads=2).double(), torch.randn(2, 8, 3, 5).double()
    oracle = nn.MultiheadAttention(8, 2, batch_first=True).double()
    oracle.load_state_dict(
        {
            "in_proj_weight": layer.project_in.weight,
            "in_proj_bias": layer.project_in.bias,
            "out_proj.weight": layer.project_out.weight,
            "out_proj.bias": layer.project_out.bias,
        }
    )
    pixels = x.flatten(2).mT
    expected, _ = oracle(pixels, pixels, pixels)
    assert_close(layer(x), expected.mT.unflatten(2, (3, 5)), "output")


def test_depthwise_sees_three_pixels_far():
    x = torch.randn(1, 4, 15, 15, requires_grad=True)
    depthwise(4)(x)[0, :, 7, 7].sum().backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    assert seen.sum() == 49 and seen[4:11, 4:11].all()
