"""What only networks that are told by a sentence promise; `test_models.py` holds them to the rest."""

import pytest
import torch
from stirring import as_if_trained
from tolerances import assert_close
from torch import nn

from sweepseg.layers.blocks import count_parameters
from sweepseg.models.referring import Reader, ReferringSweepNet, sweepnet_referring

TINY = {"num_words": 9, "widths": (4, 8, 8), "blocks": (1, 1), "units": 6}
SENTENCES = torch.tensor([[2, 5, 3], [2, 4, 0], [8, 0, 0]])


def tiny(**options):
    torch.manual_seed(0)
    return as_if_trained(ReferringSweepNet(1, 3, **TINY, **options))


def test_size():
    assert 0.8e6 < count_parameters(sweepnet_referring(1, num_words=30)) < 0.9e6


def packed_gru(reader, words):
    """The last states of torch.nn's GRU over sentences without what fills them up."""
    gru = nn.GRU(4, 6, batch_first=True)
    gru.load_state_dict({f"{name}_l0": value for name, value in reader.cell.state_dict().items()})
    lengths = (words != 0).sum(1)
    packed = nn.utils.rnn.pack_padded_sequence(reader.embedding(words), lengths, batch_first=True)
    return gru(packed)[1][0]


def test_reader_is_the_last_state_of_a_gru_over_the_words_alone():
    reader = Reader(9, 4, 6)
    with torch.no_grad():
        found, expected = reader(SENTENCES), packed_gru(reader, SENTENCES)
        assert_close(found, expected, "state after the last word")
        with pytest.raises(AssertionError):  # the state after the words that fill up the sentence
            assert_close(reader.cell(reader.embedding(SENTENCES))[1], expected, "state after the last word")
        assert not reader(torch.zeros(2, 3, dtype=torch.int64)).any()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 50)])
def test_logits_have_the_size_of_the_image(size):
    with torch.no_grad():
        logits = tiny()(torch.randn(3, 3, *size), SENTENCES)
    assert logits.shape == (3, 1, *size) and logits.isfinite().all()


def test_what_fills_up_a_sentence_does_not_matter_and_its_words_and_their_order_do():
    model, image = tiny(), torch.randn(1, 3, 16, 24)
    with torch.no_grad():
        short, long, turned, other = (
            model(image, torch.tensor([words])) for words in ([2, 5], [2, 5, 0, 0], [5, 2], [2, 6])
        )
    assert_close(long, short, "logits")
    assert (turned - short).abs().max() > 1e-3 < (other - short).abs().max()


def test_only_the_wordless_control_pays_no_attention_to_the_sentence():
    image, words = torch.randn(3, 3, 16, 24), SENTENCES
    with torch.no_grad():
        for options in ({}, {"control": True}):
            assert (tiny(**options)(image, words) - tiny(**options)(image, words.flip(0))).abs().max() > 1e-3
        assert torch.equal(tiny(wordless=True)(image, words), tiny(wordless=True)(image))


@pytest.mark.parametrize("control", [False, True])
def test_only_the_sweeps_see_the_far_side_of_a_picture(control):
    x = torch.randn(1, 3, 16, 400, requires_grad=True)
    (gradient,) = torch.autograd.grad(tiny(control=control)(x, SENTENCES[:1])[..., -1].sum(), x)
    assert gradient[..., 0].any() == (not control)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="num_words is 1; give at least 2"):
        sweepnet_referring(1, num_words=1)
    with pytest.raises(ValueError, match=r"shape \(1, 1, 9, 7\); give \(B, 3, H, W\)"):
        tiny()(torch.randn(1, 1, 9, 7), SENTENCES[:1])
