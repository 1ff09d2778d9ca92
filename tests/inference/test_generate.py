"""Pictures are drawn from exactly the distribution that the whole network says."""

import itertools
import time

import numpy as np
import pytest
import torch
from PIL import Image

from sweepseg.data.pairs import draw
from sweepseg.errors import InputError, UsageError
from sweepseg.inference.generate import generate, read_picture
from sweepseg.models import GENERATORS
from sweepseg.models.folder import build, bundled_model, load
from sweepseg.models.segmenter import ModelConfig

RECURRENT = ["pixel_rnn_row", "pixel_rnn_diagonal"]


def model(builder="pixel_rnn_row", values=2, channels=1):
    """A model whose probabilities are far from even."""
    config = ModelConfig(
        builder=builder,
        arguments={"num_classes": values, "in_channels": channels},
        task="generation",
        classes=tuple(map(str, range(values))),
        palette=((0, 0, 0),) * values,
        mean=(0.3,) * channels,
        std=(0.4,) * channels,
    )
    made = build(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter *= 2
    return made


def drawn_from_the_whole(made, count, size, seed, begun=None):
    """What `generate` does, with the whole network run anew for every value, in float64."""
    task_values, channels = made.network.num_classes, made.network.in_channels
    made = made.double()
    pictures = np.zeros((count, *size, channels), np.int64)
    known = 0 if begun is None else len(begun)
    if known:
        pictures[:, :known] = begun.astype(np.int64) * (task_values - 1) // 255
    draws = [np.random.Generator(np.random.PCG64([seed, n])).random((*size, channels)) for n in range(count)]
    for place in itertools.product(range(known, size[0]), range(size[1]), range(channels)):
        with torch.no_grad():
            logits = made(torch.from_numpy(pictures).permute(0, 3, 1, 2).double() / (task_values - 1))
        for n in range(count):
            p = logits[n, :, place[2], place[0], place[1]].softmax(0).numpy()
            pictures[(n, *place)] = np.searchsorted(p.cumsum()[:-1], draws[n][place], side="right")
    return (pictures * 255 // (task_values - 1)).astype(np.uint8)


@pytest.mark.parametrize(("values", "channels"), [(2, 1), (256, 3)])
@pytest.mark.parametrize("builder", RECURRENT)
def test_rows_with_a_state_give_the_draws_of_the_whole_network(builder, values, channels):
    made = model(builder, values, channels)
    found = generate(made, 2, size=(5, 4), seed=7)
    np.testing.assert_array_equal(found, drawn_from_the_whole(made, 2, (5, 4), 7))


@pytest.mark.parametrize("builder", RECURRENT)
def test_a_picture_that_has_begun_is_continued(builder):
    made = model(builder)
    begun = np.random.default_rng(0).choice([0, 255], (2, 4, 1)).astype(np.uint8)
    found = generate(made, 3, size=(5, 4), begun=begun)
    assert (found[:, :2] == begun).all()
    np.testing.assert_array_equal(found, drawn_from_the_whole(made, 3, (5, 4), 0, begun))
    whole = np.zeros((5, 4, 1), np.uint8)
    assert (generate(made, 1, size=(5, 4), begun=whole) == whole).all()


def test_each_picture_comes_as_often_as_the_network_says():
    made, count = model("pixel_rnn_diagonal"), 4000
    every = torch.tensor([*itertools.product((0.0, 1.0), repeat=4)]).view(16, 1, 2, 2)
    with torch.no_grad():
        log_p = made(every).log_softmax(1)
    p = log_p.gather(1, every[:, None].long()).sum((1, 2, 3, 4)).exp().numpy()
    assert p.sum() == pytest.approx(1, abs=1e-5) and p.max() / p.min() > 3
    codes = (generate(made, count, size=(2, 2)).reshape(count, 4) > 0) @ np.array([8, 4, 2, 1])
    deviation = (np.bincount(codes, minlength=16) - count * p) / np.sqrt(count * p * (1 - p))
    assert abs(deviation).max() < 4


def test_a_seed_gives_the_same_pictures_whatever_their_number():
    made = model()
    five, listened = generate(made, 5, size=(4, 4), seed=1), []
    again = generate(made, 3, size=(4, 4), seed=1, listen=lambda done, total: listened.append((done, total)))
    np.testing.assert_array_equal(again, five[:3])
    assert listened == [(row, 4) for row in range(5)]
    assert (generate(made, 5, size=(4, 4), seed=2) != five).any() and (five[0] != five[1]).any()


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="for task binary and makes no pictures"):
        generate(load(bundled_model()))
    with pytest.raises(UsageError, match="0 pictures of 4 x 4 pixels; give at least 1"):
        generate(model(), 0, size=(4, 4))
    with pytest.raises(UsageError, match=r"the rows are \(5, 4, 1\); give \(rows, 4, 1\), at most 4 rows"):
        generate(model(), size=(4, 4), begun=np.zeros((5, 4, 1), np.uint8))


def test_read_picture_as_the_model_knows_such(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (6, 5), np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_picture(model(), tmp_path / "grey.png"), draw(grey[..., None], 0))
    in_colour = read_picture(model(values=256, channels=3), tmp_path / "grey.png")
    np.testing.assert_array_equal(in_colour, grey[..., None].repeat(3, axis=2))
    Image.fromarray(grey.astype(np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"is uint16, of too many values.*convert it to uint8"):
        read_picture(model(), tmp_path / "deep.png")


@pytest.mark.slow
@pytest.mark.parametrize("builder", GENERATORS)
def test_a_digit_takes_at_most_a_second(builder):
    made, times = model(builder), []
    generate(made, size=(2, 28))
    for _ in range(3):
        started = time.perf_counter()
        generate(made)
        times.append(time.perf_counter() - started)
    assert min(times) <= 1
