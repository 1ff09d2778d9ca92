"""Each system also learns to name whole pictures: in seconds it tells ten handwritten digits apart."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sweepseg.data.digit_scenes import FULL_INK, glyphs
from sweepseg.models import CLASSIFIERS, SEGMENTERS
from sweepseg.models.textbook.classifiers import Trunk

BARS = {  # steps, and accuracy on digits never seen; the most frequent class has 0.10
    "cnn_baseline_classifier": (100, 0.7),  # measured: 0.85
    "conv_lstm_classifier": (60, 0.8),  # 0.89
    "pixel_lstm_classifier": (150, 0.7),  # 0.84
    "conv_gru_classifier": (60, 0.8),  # 0.94
    "region_gru_classifier": (100, 0.65),  # 0.79
    "simple_rnn_classifier": (250, 0.35),  # 0.50
}


def digits(split):
    """Glyphs (N, 1, 16, 16), about normalised, and what they are, (N,)."""
    rows = glyphs(split)
    images = torch.from_numpy(np.concatenate(rows)).float().div(FULL_INK / 2).sub(1)[:, None]
    return F.interpolate(images, scale_factor=2), torch.arange(10).repeat_interleave(torch.tensor([*map(len, rows)]))


def accuracy(model, steps):
    images, labels = digits("train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    draw = torch.Generator().manual_seed(0)
    for _ in range(steps):
        batch = torch.randint(len(images), (32,), generator=draw)
        F.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
        optimizer.zero_grad()
    unseen, truth = digits("test")
    with torch.no_grad():
        return (model.eval()(unseen).argmax(1) == truth).float().mean().item()


@pytest.mark.parametrize("name", BARS)
def test_a_short_training_names_digits(name):
    steps, bar = BARS[name]
    assert accuracy(CLASSIFIERS[name](10, 1), steps) > bar


def test_a_trunk_is_the_network_up_to_a_stage():
    network = SEGMENTERS["conv_lstm"](3).eval()
    image, seen = torch.randn(1, 3, 16, 24), {}
    network.stages["recurrent2"].register_forward_hook(lambda module, given, made: seen.update(map=made[0]))
    with torch.no_grad():
        network(image)
        assert torch.equal(Trunk(network, "recurrent2")(image), seen["map"])
