"""ConvGRU against the paper's equations, and against GRU where every pixel is alone."""

import pytest
import torch
from cells import conv_contract
from tolerances import assert_close
from torch.nn.functional import pad, unfold

from sweepseg.cells import GRU
from sweepseg.cells.conv_gru import ConvGRU

C, H = 3, 4


@pytest.mark.parametrize("promise", conv_contract.PROMISES)
def test_contract(promise):
    promise(ConvGRU)


def convolve(x, weight):
    """Products with the neighbourhoods of every pixel, as matrices; zero outside of the map."""
    reach = weight.shape[-1] // 2
    neighbourhoods = unfold(pad(x, [reach] * 4), weight.shape[2:])
    return (weight.flatten(1) @ neighbourhoods).unflatten(2, x.shape[2:])


def paper(cell, video):
    """Ballas et al. 2016, GRU-RCN, with 1 - z for their z."""
    W_r, W_z, W_n = cell.input_conv.weight.chunk(3)
    b_r, b_z, b_n = cell.input_conv.bias.view(3, 1, -1, 1, 1)
    U_r, U_z = cell.gates_conv.weight.chunk(2)
    U_n = cell.candidate_conv.weight
    h, states = torch.zeros(2, H, 6, 5, dtype=video.dtype), []
    for x in video.unbind(1):
        r = 1 / (1 + torch.exp(-(convolve(x, W_r) + convolve(h, U_r) + b_r)))
        z = 1 - 1 / (1 + torch.exp(-(convolve(x, W_z) + convolve(h, U_z) + b_z)))
        n = torch.tanh(convolve(x, W_n) + convolve(r * h, U_n) + b_n)
        h = (1 - z) * h + z * n
        states.append(h)
    return torch.stack(states, 1)


def run(cell, video):
    state, outputs = None, []
    for picture in video.unbind(1):
        output, state = cell(picture, state)
        outputs.append(output)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_equals_the_paper(kernel_size):
    cell, video = ConvGRU(C, H, kernel_size).double(), torch.randn(2, 5, C, 6, 5).double()
    assert_close(run(cell, video), paper(cell, video), "output")


def swapped_gates(cell, video):
    cell.gates_conv.weight.data = cell.gates_conv.weight.data.roll(H, 0)
    return run(cell, video)


def dropped_bias(cell, video):
    cell.input_conv.bias.data.zero_()
    return run(cell, video)


def reset_after(cell, video):
    """The reset gate where torch.nn has it, after the product."""

    def step(x, h):
        h = x.new_zeros(x.shape[0], H, *x.shape[2:]) if h is None else h
        x_r, x_z, x_n = cell.input_conv(x).chunk(3, 1)
        h_r, h_z = cell.gates_conv(h).chunk(2, 1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * cell.candidate_conv(h))
        h = torch.lerp(n, h, torch.sigmoid(x_z + h_z))
        return h, h

    return run(step, video)


@pytest.mark.parametrize("fault", [swapped_gates, dropped_bias, reset_after])
def test_the_paper_catches(fault):
    cell, video = ConvGRU(C, H, 3).double(), torch.randn(2, 5, C, 6, 5).double()
    expected = paper(cell, video)
    with pytest.raises(AssertionError):
        assert_close(fault(cell, video), expected, "output")


def test_with_1x1_kernels_every_pixel_is_a_gru():
    cell, gru = ConvGRU(C, H, 1).double(), GRU(C, H, reset_after=False).double()
    gru.load_state_dict(
        {
            "weight_ih": cell.input_conv.weight.flatten(1),
            "weight_hh": torch.cat((cell.gates_conv.weight, cell.candidate_conv.weight)).flatten(1),
            "bias_ih": cell.input_conv.bias,
            "bias_hh": torch.zeros(3 * H),
        }
    )
    video = torch.randn(2, 5, C, 1, 1).double()
    assert_close(run(cell, video).flatten(2), gru(video.flatten(2))[0], "output")


def test_half_precision_keeps_long_memory():
    """In bfloat16 a gate that forgets 1 / 1000 a step would round to one that forgets nothing."""
    cell = ConvGRU(1, 1, 1).bfloat16()
    for parameter in cell.parameters():
        parameter.data.zero_()
    cell.input_conv.bias.data[1] = 6.90625
    x, state = torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16), torch.ones(1, 1, 1, 1)
    with torch.no_grad():
        for _ in range(1000):
            _, state = cell(x, state)
    kept = 1 / (1 + torch.tensor(-6.90625).double().exp())
    torch.testing.assert_close(state.double().squeeze(), kept**1000, rtol=1e-4, atol=0)
