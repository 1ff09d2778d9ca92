"""Merges of maps."""

import pytest
import torch

from sweepseg.layers.merge import Concat, Gated, Sum


@pytest.fixture
def maps():
    return [torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last) for _ in range(3)]


def test_concat(maps):
    merged = Concat()(maps)
    assert merged.shape == (2, 9, 4, 5)
    assert torch.equal(merged.split(3, dim=1)[1], maps[1])


def test_sum(maps):
    torch.testing.assert_close(Sum()(maps), maps[0] + maps[1] + maps[2])


def test_gated_weighs_each_pixel(maps):
    gated = Gated(3, 3)
    weight, bias = gated.score.weight.flatten(1), gated.score.bias  # (3, 9), (3,)
    merged = gated(maps)
    for row in range(4):
        for column in range(5):
            pixels = torch.stack([x[:, :, row, column] for x in maps], 1)  # (2, n, C)
            scores = torch.exp(pixels.flatten(1) @ weight.T + bias)
            shares = scores / scores.sum(1, keepdim=True)  # (2, n)
            expected = (shares.unsqueeze(2) * pixels).sum(1)
            torch.testing.assert_close(merged[:, :, row, column], expected)


def test_gated_can_choose_one_map(maps):
    gated = Gated(3, 3)
    torch.nn.init.zeros_(gated.score.weight)
    gated.score.bias.data = torch.tensor([-100.0, 100.0, -100.0])
    torch.testing.assert_close(gated(maps), maps[1])


@pytest.mark.parametrize("merge", [Concat(), Sum(), Gated(3, 3)], ids=lambda merge: type(merge).__name__)
def test_channels_last_stays_channels_last(merge, maps):
    assert merge(maps).is_contiguous(memory_format=torch.channels_last)
