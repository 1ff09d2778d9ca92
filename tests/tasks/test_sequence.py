"""Lines of text: best paths worked by hand, and the loss against a sum over all alignments."""

from itertools import groupby, product

import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.tasks import TextLine

BLANK = 2  # of the alphabet "ab"


def logits_of(*paths):
    return 9.0 * torch.nn.functional.one_hot(torch.tensor(paths), 3).transpose(1, 2)  # (B, 3, T)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((0, 0, 2, 0, 1), "aab"),
        ((2, 2, 2, 2, 2), ""),
        ((1, 1, 1, 1, 1), "b"),
        ((0, 1, 0, 1, 2), "abab"),
        ((2, 0, 2, 2, 0), "aa"),
    ],
)
def test_equal_neighbours_are_one_character_and_blanks_part_them(path, text):
    (answer,) = TextLine(2).answers(logits_of(path), "ab")
    assert answer.text == text
    certainty = torch.tensor([9.0, 0.0, 0.0]).softmax(0)[0].item()
    assert answer.probability == pytest.approx(certainty ** len(path), rel=1e-5)


def test_texts_of_a_batch_are_filled_up_to_one_length():
    assert TextLine(2).decode(logits_of((0, 1, 0), (2, 1, 1), (2, 2, 2))).tolist() == [[0, 1, 0], [1, -1, -1], [-1] * 3]


def probability_of(text, p):
    """Sum over all paths (T,) of the K + 1 labels that collapse to ``text``, p (K + 1, T)."""
    return sum(
        torch.stack([p[label, t] for t, label in enumerate(path)]).prod()
        for path in product(range(3), repeat=p.shape[1])
        if [label for label, _ in groupby(path) if label != BLANK] == text
    )


def test_loss_is_that_of_all_alignments():
    logits = torch.randn(2, 3, 5, dtype=torch.float32)
    texts = [[0, 0, 1], [1]]
    target = torch.tensor([[0, 0, 1], [1, -1, -1]])
    expected = [-probability_of(text, p).log() / len(text) for text, p in zip(texts, logits.softmax(1), strict=True)]
    loss = TextLine(2).loss({"cross_entropy": 1.0})
    torch.testing.assert_close(loss(logits, target), torch.stack(expected).mean())


def test_a_text_that_the_line_has_no_places_for_costs_nothing():
    logits = torch.randn(1, 3, 2, requires_grad=True)
    loss = TextLine(2).loss({"cross_entropy": 1.0})(logits, torch.tensor([[0, 0]]))  # wants a blank between
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_lines_of_different_widths_are_batched_by_their_last_column():
    narrow, wide = torch.arange(6.0).view(1, 2, 3), torch.ones(1, 2, 5)
    images, targets = TextLine(2).batch([narrow, wide], [torch.tensor([1]), torch.tensor([0, 1])])
    assert images[0].tolist() == [[[0, 1, 2, 2, 2], [3, 4, 5, 5, 5]]] and torch.equal(images[1], wide)
    assert targets.tolist() == [[1, -1], [0, 1]]


def test_takes_at_least_one_character():
    with pytest.raises(UsageError, match="0 characters for task sequence"):
        TextLine(0)
