"""What only classifiers promise; `test_models.py` holds them to the rest."""

import pytest
import torch

from sweepseg.layers.blocks import count_parameters
from sweepseg.models import CLASSIFIERS
from sweepseg.models.classifier import renet_classifier, sequential_classifier, sweepnet_classifier


@pytest.mark.parametrize(
    ("build", "parameters"), [(renet_classifier, 0.9e6), (sweepnet_classifier, 0.5e6), (sequential_classifier, 0.1e6)]
)
def test_size(build, parameters):
    assert 0.8 < count_parameters(build(10, 1)) / parameters < 1.25


@pytest.mark.parametrize("build", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_images_of_any_size_channels_and_classes(build):
    for num_classes, in_channels, size in ((1, 1, (1, 1)), (300, 4, (9, 7))):
        with torch.no_grad():
            logits = build(num_classes, in_channels).eval()(torch.randn(2, in_channels, *size))
        assert logits.shape == (2, num_classes) and logits.isfinite().all()


def test_the_sequence_is_in_raster_order():
    """Its sweeps run from the first pixel to the last and never back."""
    layers, x = sequential_classifier(10, 1).eval().layers, torch.randn(1, 1, 4, 5, requires_grad=True)
    for block in layers[1:-1]:  # they begin as identities
        torch.nn.init.normal_(block.block.module.mixer.project.weight)
    (gradient,) = torch.autograd.grad(layers(x)[0, :, 2, 1].sum(), x)
    assert gradient.flatten().ne(0).tolist() == [place <= 11 for place in range(20)]
