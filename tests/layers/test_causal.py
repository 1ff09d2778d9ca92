"""Causal layers against the paper's equations pixel by pixel, and against themselves strip by strip."""

import pytest
import torch
import torch.nn.functional as F
from tolerances import assert_close

from sweepseg.layers.causal import CausalResidual, DiagonalBiLSTM, DiagonalLSTM, MaskedConv, RowLSTM, skew, unskew

MAKERS = {
    "conv": lambda groups: MaskedConv(6, 9, 5, groups=groups),
    "conv 1": lambda groups: MaskedConv(6, 9, 1, groups=groups),
    "row": lambda groups: RowLSTM(6, 9, groups=groups),
    "diagonal": lambda groups: DiagonalLSTM(6, 9, groups=groups),
    "both diagonals": lambda groups: DiagonalBiLSTM(6, 9, groups=groups),
    "residual": lambda groups: CausalResidual(RowLSTM(6, 9, groups=groups), 9, 6, groups=groups, relu=True),
}


def random(layer):
    """The layer in float64 with biases other than zero."""
    layer = layer.double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_strips_are_the_whole(make):
    layer, x = random(make(1)), torch.randn(2, 6, 7, 5).double()
    whole, last = layer(x)
    pieces, state = [], None
    for strip in x.split((1, 3, 1, 2), dim=2):
        piece, state = layer(strip, state)
        pieces.append(piece)
    assert_close(torch.cat(pieces, dim=2), whole, "output")
    for ours, wanted in zip(flat(state), flat(last), strict=True):
        assert_close(ours, wanted, "state")


def flat(state):
    return [state] if torch.is_tensor(state) else [tensor for part in state for tensor in flat(part)]


@pytest.mark.parametrize("own", [True, False])
def test_masked_convolution_is_one_whose_kernel_is_zero_from_the_pixel_on(own):
    layer, x = random(MaskedConv(3, 6, 5, groups=3, own=own)), torch.randn(2, 3, 6, 4).double()
    kernel = torch.zeros(6, 3, 5, 5).double()
    kernel[:, :, :2] = layer.weight[:, :, :10].unflatten(2, (2, 5)).detach()
    kernel[:, :, 2, :3] = layer.weight[:, :, 10:].detach()
    for output, group in enumerate((0, 0, 1, 1, 2, 2)):
        kernel[output, group + own :, 2, 2] = 0
    assert_close(layer(x)[0], F.conv2d(x, kernel, layer.bias, padding=2), "output")


def lstm(gates, c):
    i, f, g, o = gates.chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def diagonal(layer, x):
    """Section 3.2 of the paper, pixel by pixel."""
    zero = x.new_zeros(len(x), 9)
    h, c = {}, {}
    above, left = layer.weight_hh.unbind(2)
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            gates = x[:, :, row, column] @ layer.weight_ih.T + layer.bias
            gates = gates + h.get((row - 1, column), zero) @ above.T + h.get((row, column - 1), zero) @ left.T
            h[row, column], c[row, column] = lstm(gates, c.get((row, column - 1), zero))
    return torch.stack([*h.values()], dim=2).unflatten(2, x.shape[2:])


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 4), (4, 1)])
def test_diagonal_lstm_is_the_papers(size):
    layer, x = random(DiagonalBiLSTM(6, 9, groups=1)), torch.randn(2, 6, *size).double()
    from_left, from_right = diagonal(layer.left, x), diagonal(layer.right, x.flip(3)).flip(3)
    assert_close(layer.left(x)[0], from_left, "from the left")
    moved = torch.cat((torch.zeros_like(from_right[:, :, :1]), from_right[:, :, :-1]), dim=2)
    assert_close(layer(x)[0], from_left + moved, "both")


def test_row_lstm_is_the_papers():
    layer, x = random(RowLSTM(6, 9, groups=1)), torch.randn(2, 6, 4, 5).double()
    cell, zero = layer.cell, x.new_zeros(2, 9)
    pixel, left = cell.weight_ih.chunk(2, dim=1)
    h, c = {}, {}
    for row in range(4):
        for column in range(5):
            gates = x[:, :, row, column] @ pixel.T + cell.bias_ih + cell.bias_hh
            gates = gates + (x[:, :, row, column - 1] @ left.T if column else 0)
            for tap in range(3):
                gates = gates + h.get((row - 1, column + tap - 1), zero) @ cell.weight_hh[:, :, tap].T
            h[row, column], c[row, column] = lstm(gates, c.get((row - 1, column), zero))
    assert_close(layer(x)[0], torch.stack([*h.values()], dim=2).unflatten(2, (4, 5)), "output")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_group_sees_no_later_group_of_its_pixel_and_all_groups_of_earlier_ones(make):
    layer, x = random(make(3)), torch.randn(1, 6, 3, 3).double().requires_grad_()
    output = layer(x)[0]
    for group, of_output in enumerate(output[0, :, 1, 1].chunk(3)):
        (gradient,) = torch.autograd.grad(of_output.square().sum(), x, retain_graph=True)
        seen = [part.any().item() for part in gradient[0, :, 1, 1].chunk(3)]
        assert seen == [other <= group for other in range(3)]
        later = gradient[0, :, 1, 2].any() or gradient[0, :, 2].any()
        assert not later
        assert gradient[0, :, 1, 0].all() or (layer.__class__ is MaskedConv and layer.size == 1)


@pytest.mark.parametrize("size", [(3, 5), (5, 2), (1, 4), (4, 1)])
def test_skew_moves_row_r_by_r_and_back(size):
    x = torch.randn(2, 3, *size)
    height, width = size
    skewed = skew(x)
    assert skewed.shape == (2, 3, height, width + height - 1)
    for row in range(height):
        assert torch.equal(skewed[:, :, row, row : row + width], x[:, :, row])
    assert skewed.count_nonzero() == x.count_nonzero()
    assert torch.equal(unskew(skewed), x)
