"""Attributions against weights known by hand, and against the sum that integrated gradients promise."""

import sys

import pytest
import torch
from explain.networks import Weighted, segmenter
from torch import nn

from sweepseg.cells import MinGRU
from sweepseg.errors import UsageError
from sweepseg.explain.attribution import attribute, class_of, logit_of
from sweepseg.explain.region import Region
from sweepseg.layers.sweep import Sweep
from sweepseg.orders import rows

PIXEL = Region.of_pixel(2, 3)
MEAN, STD = torch.tensor([0.3, 0.6]).view(2, 1, 1), torch.tensor([0.5, 0.25]).view(2, 1, 1)


@pytest.mark.parametrize(("task", "index", "sign"), [("binary", 1, 1), ("binary", 0, -1), ("multiclass", 2, 1)])
def test_of_a_weighted_sum_it_is_the_weights(task, index, sign):
    weights = torch.randn(1 if task == "binary" else 3, 2, 4, 5)
    model = segmenter(Weighted(weights), task, 2 if task == "binary" else 3, (0.3, 0.6), (0.5, 0.25))
    image, mine = torch.rand(1, 2, 4, 5), sign * weights[-1] / STD
    saliency = attribute(model, image, PIXEL, index, method="saliency")
    torch.testing.assert_close(saliency, mine.abs().amax(0))
    torch.testing.assert_close(attribute(model, image, PIXEL, index), (mine * (image[0] - MEAN)).sum(0))


class Swept(nn.Module):
    def __init__(self):
        super().__init__()
        self.sweep, self.head = Sweep(MinGRU(1, 4), rows), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        return self.head(torch.tanh(3 * self.sweep(x)[0]))


def test_integrated_gradients_add_up_to_the_difference_from_the_mean_picture():
    model, image = segmenter(Swept()), torch.rand(1, 1, 4, 5)
    region = Region(1, 2, 3, 4)
    logit = logit_of(model, region, 1)
    difference = (logit(image) - logit(torch.full_like(image, 0.5))).item()
    found = attribute(model, image, region, 1)
    assert found.sum().item() == pytest.approx(difference, rel=1e-3)
    assert found[1:3, :4].abs().min() > 0 and not found[0].any() and not found[:, 4].any()  # what the sweep reads


@pytest.mark.parametrize(
    ("task", "logits", "expected"),
    [
        ("binary", [[[1.0, 1.0, -9.0]]], 1),
        ("binary", [[[1.0, -1.0, -1.0]]], 0),
        ("multiclass", [[[1.0, 1.0, 0.0]], [[0.0, 0.0, 9.0]]], 0),
        ("multilabel", [[[1.0, 1.0, 0.0]], [[0.0, 0.0, 9.0]]], 1),
    ],
)
def test_the_class_is_that_of_most_pixels(task, logits, expected):
    class Fixed(nn.Module):
        def forward(self, x):
            return torch.tensor(logits)[None]

    assert class_of(segmenter(Fixed(), task), torch.zeros(1, 1, 1, 3), Region(0, 0, 1, 3)) == expected


def test_what_cannot_be_asked_is_refused(monkeypatch):
    model, image = segmenter(Swept()), torch.rand(1, 1, 4, 5)
    with pytest.raises(UsageError, match="do not lie in it"):
        attribute(model, image, Region.of_pixel(4, 0))
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(UsageError, match=r'pip install "sweepseg\[explain\]"'):
        attribute(model, image, PIXEL)
