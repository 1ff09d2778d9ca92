"""PixelRNN: nothing is known of a pixel before its turn."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.models import GENERATORS
from sweepseg.models.pixel_rnn import PixelPredictor, pixel_rnn_diagonal

HEIGHT, WIDTH = 4, 5


def seen(model, channels):
    """Whether the logits of value i depend on value j, both in the order of generation: bool (values, values)."""
    x = torch.randn(1, channels, HEIGHT, WIDTH).double().requires_grad_()
    logits = model.double()(x)[0].permute(2, 3, 1, 0).flatten(0, 2)  # (values, num_classes)
    gradients = [torch.autograd.grad(one.square().sum(), x, retain_graph=True)[0] for one in logits]
    return torch.stack([gradient[0].permute(1, 2, 0).flatten() != 0 for gradient in gradients])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", GENERATORS)
def test_no_value_depends_on_itself_or_a_later_one(name, channels):
    earlier = torch.ones(HEIGHT * WIDTH * channels, HEIGHT * WIDTH * channels).tril(-1).bool()
    found = seen(GENERATORS[name](4, channels), channels)
    assert not (found & ~earlier).any()
    assert (found & earlier).sum() > 0.9 * earlier.sum()


def test_diagonals_see_everything_before():
    """Even far to the right in the row above, where no convolution reaches; of that row all but the last pixel.

    The map behind mask A knows of each pixel only those before it, so from the right comes what is left of the last.
    """
    x = torch.randn(1, 1, 3, 40).double().requires_grad_()
    model = pixel_rnn_diagonal(2, 1).double()
    (gradient,) = torch.autograd.grad(model(x)[0, :, 0, 2, 1].square().sum(), x)
    assert (
        gradient[0, 0, 0].all()
        and gradient[0, 0, 1, :-1].all()
        and gradient[0, 0, 2, 0]
        and not gradient[0, 0, 2, 1:].any()
    )


@pytest.mark.parametrize("name", GENERATORS)
def test_rows_with_the_state_of_those_above_are_the_whole(name):
    model, x = GENERATORS[name](3, 3), torch.randn(2, 3, 6, 5)
    pieces, state = [], None
    with torch.no_grad():
        for strip in x.split((1, 2, 3), dim=2):
            piece, state = model.run(strip, state)
            pieces.append(piece)
        assert_close(torch.cat(pieces, dim=3), model(x), "logits")


@pytest.mark.parametrize("num_classes", [1, 257])
def test_takes_the_values_that_a_byte_has(num_classes):
    with pytest.raises(ValueError, match=f"num_classes is {num_classes}; give 2 to 256"):
        pixel_rnn_diagonal(num_classes)


def test_refuses_pictures_of_other_channels():
    with pytest.raises(ValueError, match=r"give \(B, 1, H, W\)"):
        pixel_rnn_diagonal(2, 1)(torch.zeros(1, 3, 4, 4))


def test_a_planted_glimpse_of_the_pixel_is_seen():
    model = pixel_rnn_diagonal(2, 1)
    assert isinstance(model, PixelPredictor)
    model.first.mask.fill_(1)
    assert seen(model, 1).diagonal().any()
