import pytest
import torch
from torch import nn

from sweepseg.errors import UsageError
from sweepseg.inference.averaging import Averaged
from sweepseg.models.segmenter import ModelConfig, Segmenter
from sweepseg.tasks import TASKS, task_for

WITH_MASKS = [name for name, task in TASKS.items() if "mean_iou" in task.scores and task.in_parts]


class Ramp(nn.Module):
    """Logits that grow from left to right in units of the width, wherever the image is bright."""

    def __init__(self, channels):
        super().__init__()
        self.channels, self.sizes = channels, []

    def forward(self, image):
        self.sizes.append(tuple(image.shape[-2:]))
        ramp = torch.linspace(-2, 2, image.shape[-1]).expand(image.shape[-2:])
        return torch.stack([(k + 1) * ramp * image[:, 0] for k in range(self.channels)], dim=1)


def model(task):
    classes, logits = {"binary": (2, 1), "multiclass": (3, 3), "multilabel": (3, 3), "instances": (1, 3)}[task]
    config = ModelConfig(
        builder="",
        task=task,
        classes=tuple(map(str, range(classes))),
        palette=((0, 0, 0),) * classes,
        mean=(0.0,),
        std=(1.0,),
    )
    return Segmenter(Ramp(logits), config)


@pytest.fixture(params=WITH_MASKS)
def plain(request):
    return model(request.param)


def probabilities(plain, logits):
    return task_for(plain.config).probabilities(logits)


def test_one_view_is_the_model(plain):
    image = torch.rand(2, 1, 6, 8)
    torch.testing.assert_close(
        probabilities(plain, Averaged(plain)(image)), probabilities(plain, plain(image)), rtol=1e-5, atol=1e-6
    )


def test_mirrored_views_make_the_mean_symmetric(plain):
    image = torch.rand(1, 1, 6, 8)
    expected = (probabilities(plain, plain(image)) + probabilities(plain, plain(image.flip(-1))).flip(-1)) / 2
    found = probabilities(plain, Averaged(plain, flip=True)(image))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    mirrored = probabilities(plain, Averaged(plain, flip=True)(image.flip(-1)))
    torch.testing.assert_close(mirrored, found.flip(-1), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, probabilities(plain, plain(image)), atol=1e-3)


def test_scales_are_sizes_over_that_of_the_image(plain):
    image = torch.ones(1, 1, 6, 9)
    averaged = Averaged(plain, scales=(0.5, 1.0, 2.0))
    found = probabilities(plain, averaged(image))
    assert plain.network.sizes == [(3, 4), (6, 9), (12, 18)]
    single = [probabilities(plain, Averaged(plain, scales=(scale,))(image)) for scale in (0.5, 1.0, 2.0)]
    torch.testing.assert_close(found, sum(single) / 3, rtol=1e-5, atol=1e-6)
    assert found.shape == (1, plain.network.channels, 6, 9)


@pytest.mark.parametrize("task", WITH_MASKS)
def test_certainty_stays_finite(task):
    certain = model(task)
    logits = Averaged(certain, flip=True)(1e4 * torch.ones(1, 1, 2, 4))
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0)])
def test_sizes_that_make_no_sense_are_refused(scales):
    with pytest.raises(UsageError, match="give one or more, each more than 0"):
        Averaged(model("binary"), scales=scales)


def test_a_model_that_remembers_is_refused(monkeypatch):
    monkeypatch.setattr(Segmenter, "remembers", True)
    with pytest.raises(UsageError, match="remembers earlier frames"):
        Averaged(model("binary"), flip=True)


def test_objects_are_not_averaged():
    with pytest.raises(UsageError, match="takes images as a whole"):
        Averaged(model("instances"))
