"""Generation against numbers worked by hand and torch's own likelihood."""

import math

import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.tasks import Generation


def test_loss_and_scores_are_minus_the_log_of_the_probability_of_a_picture():
    logits, target = torch.randn(3, 4, 2, 5, 6), torch.randint(4, (3, 2, 5, 6))
    pictures = torch.distributions.Categorical(logits=logits.movedim(1, -1)).log_prob(target).sum((1, 2, 3))
    task, metric = Generation(4), Generation(4).metric()
    torch.testing.assert_close(task.loss({})(logits, target), -pictures.mean())
    for part in (slice(0, 1), slice(1, 3)):
        metric.update(task.decode(logits[part]), target[part])
    scores = metric.compute()
    assert scores["nats"].item() == pytest.approx(-pictures.mean().item(), rel=1e-6)
    assert scores["log_likelihood"] == -scores["nats"]
    assert scores["bits_per_dim"].item() == pytest.approx(scores["nats"].item() / 60 / math.log(2))
    torch.testing.assert_close(task.decode(logits).exp(), task.probabilities(logits))


def test_who_knows_nothing_needs_8_bits_for_a_byte():
    metric = Generation(256).metric()
    metric.update(Generation(256).decode(torch.zeros(1, 256, 3, 2, 2)), torch.randint(256, (1, 3, 2, 2)))
    (line,) = Generation(256).report(metric.compute(), ())
    assert line == f"{12 * math.log(256):.2f} nats a picture, 8.0000 bits a value"
    assert Generation.headline({"nats": 82.104}) == "82.10 nats a picture" and Generation.headline({}) == ""


def test_what_is_ignored_does_not_count():
    logits, target = torch.randn(2, 3, 1, 4, 4), torch.randint(3, (2, 1, 4, 4))
    target[:, :, 0] = -1
    metric = Generation(3).metric()
    metric.update(Generation(3).decode(logits), target)
    assert metric.compute()["nats"].item() == pytest.approx(Generation(3).loss({})(logits, target).item(), rel=1e-6)
    assert metric.values == 24


@pytest.mark.parametrize("junk", [float("nan"), float("-inf")])
def test_logits_that_are_not_finite_are_refused(junk):
    logits = torch.zeros(1, 2, 1, 3, 3)
    logits[0, 1, 0, 2, 0] = junk
    with pytest.raises(ValueError, match=r"non-finite.*image 0, channel 1, channel 0, row 2, column 0"):
        Generation(2).decode(logits)


def test_pictures_of_several_sizes_are_refused():
    images = [torch.zeros(1, 4, 4), torch.zeros(1, 4, 5)]
    with pytest.raises(UsageError, match=r"several shapes, \(1, 4, 5\)"):
        Generation(2).batch(images, [image.long() for image in images])


@pytest.mark.parametrize("num_classes", [1, 257])
def test_takes_the_values_that_a_byte_has(num_classes):
    with pytest.raises(UsageError, match=f"{num_classes} values for task generation; give 2 to 256"):
        Generation(num_classes)
