"""What only the decoder of objects promises; `test_models.py` holds it to the rest."""

import pytest
import torch

from sweepseg.layers.blocks import count_parameters
from sweepseg.models.rsis import RSIS, rsis

TINY = {"widths": (4, 6), "hidden": (3, 5), "steps": 3}


def test_size():
    assert 1.2e6 < count_parameters(rsis(12)) < 1.4e6


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 50), (16, 16)])
def test_masks_have_the_size_of_the_image_and_the_rest_is_of_the_whole_step(size):
    with torch.no_grad():
        logits = RSIS(5, 2, **TINY, control=False).eval()(torch.randn(2, 2, *size))
    assert logits.shape == (2, 3, 5, *size) and logits.isfinite().all()
    assert torch.equal(logits[:, :, 1:], logits[:, :, 1:, :1, :1].expand_as(logits[:, :, 1:]))


@pytest.mark.parametrize("control", [False, True])
def test_only_the_recurrent_decoder_remembers_what_it_gave_before(control):
    """Whether a later step depends on the state that earlier ones left: by cutting it off."""
    model = RSIS(5, 2, **TINY, control=control).eval()
    x = torch.randn(1, 2, 16, 16)
    with torch.no_grad():
        whole = model(x)
        for cell in model.cells:
            cell.register_forward_pre_hook(lambda module, given: (given[0], None))
        cut = model(x)
    assert torch.equal(cut[:, 0], whole[:, 0]) and torch.equal(cut[:, 1], whole[:, 1]) == control
    assert torch.equal(cut[:, 1], cut[:, 0]) == (not control)  # without a state all steps are alike, unless told apart


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="num_classes is 1; give at least 2"):
        rsis(1)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 9, 7\); give \(B, 3, H, W\)"):
        rsis(3)(torch.randn(1, 1, 9, 7))
