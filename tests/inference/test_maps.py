"""Maps of numbers of images and files, by a network that the image itself tells what to say."""

import numpy as np
import pytest
import tifffile
import torch
from inference.outputs import report
from PIL import Image
from torch import nn

from sweepseg.errors import ModelFileError, UsageError
from sweepseg.inference.averaging import Averaged
from sweepseg.inference.predict import predict
from sweepseg.inference.segment import segment
from sweepseg.models.segmenter import ModelConfig, Segmenter


class Told(nn.Module):
    """The colours are the maps, standardised."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, image):
        return image[:, : self.maps]


def model(maps, **arguments):
    arguments = arguments or {"mean": [100.0, -5.0][:maps], "std": [20.0, 0.5][:maps]}
    config = ModelConfig(
        builder="",
        task="regression",
        task_arguments=arguments,
        classes=("depth", "height")[:maps],
        palette=((9, 9, 9),) * maps,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    return Segmenter(Told(maps), config)


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def test_maps_of_an_array_have_their_unit(picture):
    found = segment(model(2), picture)
    assert found.mask.shape == (2, 6, 9) and found.mask.dtype == np.float32
    np.testing.assert_allclose(found.mask[0], 100 + 20 * (picture[..., 0] / 255), rtol=1e-6)
    np.testing.assert_allclose(found.mask[1], -5 + 0.5 * (picture[..., 1] / 255), rtol=1e-6)
    painted = found.overlay(alpha=1.0)
    assert painted.shape == (6, 18, 3) and painted.dtype == np.uint8
    highest, lowest = picture[..., 0] == picture[..., 0].max(), picture[..., 0] == picture[..., 0].min()
    assert (painted[:, :9][highest] == 255).all() and not painted[:, :9][lowest].any()
    np.testing.assert_array_equal(found.overlay(alpha=0.0)[:, 9:], picture)
    flat = segment(model(1), np.zeros((2, 3, 3), np.uint8))
    assert (flat.mask == 100).all() and not flat.overlay().any()


@pytest.mark.parametrize(("maps", "files"), [(1, ["a.tif"]), (2, ["a/depth.tif", "a/height.tif"])])
def test_files_are_floats_in_the_unit_of_the_data(tmp_path, picture, maps, files):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    Image.fromarray(picture).save(source / "a.png")
    (source / "bad.png").write_text("no image")
    lines = []
    result = predict(source, model(maps), output, overlay=True, say=lines.append)
    assert result.exit_code == 3 and len(lines) == 1
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert written == {"report.jsonl", "a.overlay.png", *files}
    wanted = segment(model(maps), picture).mask
    for file, values in zip(files, wanted, strict=True):
        found = tifffile.imread(output / file)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values)
    assert {row["status"] for row in report(output)} == {"done", "failed"}
    (output / files[-1]).unlink()  # without it a is not there as a whole
    assert len(predict(source / "a.png", model(maps), output, skip_existing=True).done) == 1
    assert len(predict(source / "a.png", model(maps), output, skip_existing=True, overlay=True).skipped) == 1


@pytest.mark.parametrize("option", ["probs", "geotiff", "tile", "resume"])
def test_options_for_masks_are_refused(tmp_path, option):
    with pytest.raises(UsageError, match=f"{option} is for masks, the model is for task regression"):
        predict(tmp_path, model(1), tmp_path / "out", **{option: 1})


def test_images_are_taken_as_a_whole(tmp_path):
    Image.fromarray(np.zeros((900, 900, 3), np.uint8)).save(tmp_path / "large.png")
    lines = []
    assert predict(tmp_path / "large.png", model(1), tmp_path / "out", memory=380_000_000, say=lines.append).failed
    assert "task regression takes images as a whole; cut it" in lines[0]
    with pytest.raises(UsageError, match="task regression, which takes images as a whole"):
        Averaged(model(1))


@pytest.mark.parametrize(
    "arguments",
    [{"mean": [1.0], "std": [0.0]}, {"mean": [1.0, 2.0], "std": [1.0, 1.0]}, {"mean": 3}, {"scale": [1.0]}],
)
def test_a_config_that_does_not_fit_is_refused(picture, arguments):
    with pytest.raises(ModelFileError, match="task regression does not take"):
        segment(model(1, **arguments), picture)


def test_values_that_are_not_finite_are_refused(picture):
    broken = model(1)
    broken.mean[0] = torch.nan
    with pytest.raises(ValueError, match="non-finite"):
        segment(broken, picture)
