"""What only readers of lines promise; `test_models.py` holds them to the rest."""

import pytest
import torch

from sweepseg.layers.blocks import count_parameters
from sweepseg.models.crnn import CRNN, crnn


def test_size():
    assert 0.4e6 < count_parameters(crnn(11)) < 0.6e6


@pytest.mark.parametrize(("size", "places"), [((32, 100), 25), ((32, 101), 26), ((64, 100), 13), ((1, 1), 8)])
def test_a_place_for_every_four_columns_at_a_height_of_32(size, places):
    with torch.no_grad():
        logits = CRNN(5, 1, width=2, control=False).eval()(torch.randn(2, 1, *size))
    assert logits.shape == (2, 5, places) and logits.isfinite().all()


def test_only_the_control_sees_no_further_than_its_convolutions():
    for control in (False, True):
        x = torch.randn(1, 1, 32, 400, requires_grad=True)
        (gradient,) = torch.autograd.grad(CRNN(3, 1, width=2, control=control).eval()(x)[0, :, 0].sum(), x)
        assert gradient[..., -1].any() == (not control)


def test_refuses_a_number_of_classes_without_a_blank():
    with pytest.raises(ValueError, match="num_classes is 1; give at least 2"):
        crnn(1)
