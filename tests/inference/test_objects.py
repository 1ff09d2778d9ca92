"""Objects in images and files, by a network that the image itself tells what to see."""

import json

import numpy as np
import pytest
import torch
from inference.outputs import report
from PIL import Image
from torch import nn

from sweepseg.errors import UsageError
from sweepseg.inference.averaging import Averaged
from sweepseg.inference.predict import predict
from sweepseg.inference.recognise import recognise
from sweepseg.inference.segment import segment
from sweepseg.inference.streaming import StreamingSegmenter
from sweepseg.models.segmenter import ModelConfig, Segmenter


class Told(nn.Module):
    """The red channel is the depth, the green and the blue one are objects of two classes."""

    def forward(self, image):
        red, green, blue = image.unbind(1)
        return 20 * torch.stack([torch.full_like(red, 0.5), green, blue, red - 0.4], 1)


@pytest.fixture
def model():
    config = ModelConfig(
        builder="", task="instances", classes=("disc", "bar"), palette=((9, 9, 9),) * 2, mean=(0.0,) * 3, std=(1.0,) * 3
    )
    return Segmenter(Told(), config)


def picture(count=2):
    """Two touching objects of the first class, one of the second with a pixel, and so on."""
    image = np.zeros((6, 9, 3), np.uint8)
    image[1:4, 1:7, 1] = 255
    image[2, [2, 5], 0] = 255
    if count > 2:
        image[5, 8] = 255, 0, 255
    return image


def test_objects_of_an_array(model):
    found = segment(model, picture(3))
    assert found.mask.shape == (6, 9) and found.mask.max() == 3 and found.probabilities.shape == (4, 6, 9)
    assert [(one.number, one.label, one.box, one.area) for one in found.objects] == [
        (1, "disc", (1, 1, 4, 4), 9),
        (2, "disc", (1, 4, 4, 7), 9),
        (3, "bar", (5, 8, 6, 9), 1),
    ]
    assert found.objects[2].score == pytest.approx(1 / (1 + np.exp(-10) + np.exp(-20)), rel=1e-5)
    painted = found.overlay()
    assert ((painted != picture(3)).any(2) == (found.mask > 0)).all()
    assert len({tuple(painted[row, column]) for row, column in ((1, 1), (1, 6))}) == 2
    nothing = segment(model, np.zeros((3, 4, 3), np.uint8))
    assert nothing.objects == () and not nothing.mask.any()


def test_files_get_numbers_of_16_bits_and_a_list(model, tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name, image in (("a", picture(3)), ("b", np.zeros((4, 4, 3), np.uint8))):
        Image.fromarray(image).save(source / f"{name}.png")
    (source / "bad.png").write_text("no image")
    lines = []
    result = predict(source, model, output, overlay=True, say=lines.append)
    assert result.exit_code == 3 and len(result.done) == 2 and len(lines) == 1
    assert {path.name for path in output.iterdir()} == {
        "report.jsonl",
        *(f"{name}.{suffix}" for name in "ab" for suffix in ("png", "json", "overlay.png")),
    }
    with Image.open(output / "a.png") as mask:
        assert mask.mode.startswith("I;16")
        np.testing.assert_array_equal(np.asarray(mask), segment(model, picture(3)).mask)
    facts = json.loads((output / "a.json").read_text())
    assert (facts["height"], facts["width"], len(facts["objects"])) == (6, 9, 3)
    assert facts["objects"][1] == {"number": 2, "label": "disc", "score": 0.999955, "box": [1, 4, 4, 7], "area": 9}
    assert json.loads((output / "b.json").read_text())["objects"] == []
    assert {row["status"] for row in report(output)} == {"done", "failed"}

    (output / "b.json").unlink()  # without it b is not there as a whole
    again = predict(source / "a.png", model, output, skip_existing=True, overlay=True)
    assert len(again.skipped) == 1
    assert len(predict(source / "b.png", model, output, skip_existing=True).done) == 1


@pytest.mark.parametrize("option", ["probs", "geotiff", "tile", "resume"])
def test_options_for_masks_are_refused(model, tmp_path, option):
    with pytest.raises(UsageError, match=f"{option} is for masks, the model is for task instances"):
        predict(tmp_path, model, tmp_path / "out", **{option: 1})


def test_images_that_do_not_fit_are_refused(model, tmp_path):
    Image.fromarray(np.zeros((900, 900, 3), np.uint8)).save(tmp_path / "large.png")
    lines = []
    result = predict(tmp_path / "large.png", model, tmp_path / "out", memory=380_000_000, say=lines.append)
    assert result.exit_code == 4 and "task instances takes images as a whole; cut it" in lines[0]


def test_objects_are_not_found_in_parts(model):
    for use in (StreamingSegmenter, Averaged):
        with pytest.raises(UsageError, match="task instances, which takes images as a whole"):
            use(model)
    with pytest.raises(UsageError, match="task instances, whose answer is a mask"):
        recognise(model, picture())


def test_more_objects_than_a_mask_can_number(model):
    image = np.zeros((520, 520, 3), np.uint8)
    image[::2, ::2] = 255, 255, 0
    with pytest.raises(ValueError, match="67600 objects were found, a mask of 16 bits takes 65535"):
        segment(model, image)
