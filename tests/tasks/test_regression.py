"""Maps of numbers: units, loss and report, and runs from training to `val`."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from sweepseg.data import open_dataset
from sweepseg.errors import UsageError
from sweepseg.io.model_folder import read_model_folder
from sweepseg.losses import parse_terms
from sweepseg.tasks import Regression, task_for
from sweepseg.tasks.evaluation import evaluate
from sweepseg.training.fit import train
from sweepseg.training.settings import Settings

UNITS = {"mean": (1000.0, -3.0), "std": (50.0, 0.25)}


def test_what_is_learned_is_decoded_to_the_unit():
    task, maps = Regression(2, **UNITS), torch.randn(3, 2, 4, 5) * 50 + 900
    maps[0, 0, 1, 2] = torch.nan
    images, standardised = task.batch([torch.rand(3, 4, 5)] * 3, [*maps])
    assert images.shape == (3, 3, 4, 5) and standardised[0, 0, 1, 2].isnan()
    torch.testing.assert_close(standardised[:, 0], (maps[:, 0] - 1000) / 50, equal_nan=True)
    torch.testing.assert_close(task.decode(standardised.nan_to_num(0))[1:], maps[1:], rtol=1e-6, atol=1e-4)
    assert Regression(2).decode(standardised.nan_to_num(0)).equal(standardised.nan_to_num(0))
    assert task.arguments == UNITS


@pytest.mark.parametrize("terms", ["mse", "smooth_l1", "mse + 0.5 smooth_l1"])
def test_loss_is_the_mean_over_what_is_known(terms):
    logits = (3 * torch.randn(2, 2, 3, 4)).requires_grad_()
    target = torch.randn(2, 2, 3, 4)
    target[0, 0], target[1, 1, 0] = torch.nan, torch.nan
    terms = parse_terms(terms, Regression.losses)
    value = Regression(2).loss(terms)(logits, target)
    value.backward()
    known = ~target.isnan()
    losses = {"mse": F.mse_loss, "smooth_l1": F.smooth_l1_loss}
    wanted = sum(weight * losses[name](logits[known], target[known]) for name, weight in terms.items())
    assert value.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert logits.grad[known].all() and not logits.grad[~known].any()
    assert Regression(2).loss(terms)(logits, torch.full_like(target, torch.nan)) == 0


def test_other_losses_are_refused():
    with pytest.raises(UsageError, match="unknown loss 'cross_entropy'; choose from mse, smooth_l1"):
        parse_terms("cross_entropy", Regression.losses)


def test_report_has_the_error_of_the_mean_beside_that_of_the_model():
    metric = Regression(2).metric()
    target = torch.stack([torch.tensor([[0.0, 2000.0]]), torch.full((1, 2), torch.nan)])[None]
    metric.update(target.nan_to_num(0) + 100, target)
    assert Regression(2).report(metric.compute(), ["depth", "height"]) == [
        [["map", "MAE", "RMSE", "RMSE of the mean", "R2"], ["depth", "100", "100", "1000", "0.99"], ["height", *"----"]]
    ]
    assert Regression.headline({"r2": 0.81349, "mae": 3.0}) == "R2 0.813" and Regression.headline({}) == ""
    one = Regression(1).metric()
    one.update(target[:, :1], target[:, :1])
    assert Regression(1).report(one.compute(), ["depth"])[0][1] == ["depth", "0", "0", "1000", "1"]


@pytest.mark.parametrize("count", [0, 256])
def test_takes_1_to_255_maps(count):
    with pytest.raises(UsageError, match=f"{count} maps for task regression"):
        Regression(count)


@pytest.fixture
def root(tmp_path):
    """The first map is the darkness of a picture in a unit of its own; of the second, constant, a half is unknown."""
    draw = np.random.default_rng(0)
    for split in ("train", "val"):
        (tmp_path / "data" / "images" / split).mkdir(parents=True)
        for name in "abcd":
            image = np.kron(draw.integers(0, 256, (6, 7)), np.ones((8, 8)))
            folder = tmp_path / "data" / "maps" / split / name
            folder.mkdir(parents=True)
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / "data" / "images" / split / f"{name}.png")
            Image.fromarray((8000 - 2 * image).astype(np.float32)).save(folder / "darkness.tif")
            Image.fromarray(np.where(image > 99, 0.5, np.nan).astype(np.float32)).save(folder / "half.tif")
    return tmp_path / "data"


def settings(root, **changes):
    values = {"data": str(root), "output": str(root.parent / "run"), "task": "regression", "model": "dot"}
    values |= {"steps": 30, "batch_size": 4, "crop": (24, 24), "ema": 0.0, "colour": 0.0, "rotate": 10.0}
    return Settings(**values | {"validate_every": 1000, "learning_rate": 0.2, "weight_decay": 0.0} | changes)


def dot(num_classes, in_channels):
    """All that it takes to tell darkness from brightness."""
    return nn.Conv2d(in_channels, num_classes, 1)


def test_a_run_learns_maps(root):
    trained = train(settings(root), builders={"dot": dot})
    dataset, (config, _) = open_dataset(root, task="regression"), read_model_folder(root.parent / "run")
    assert config["task_arguments"] == {name: [*values] for name, values in trained.model.config.task_arguments.items()}
    task = task_for(trained.model.config)
    grey = [8000 - 2 * np.asarray(Image.open(one.image), np.float64) for one in dataset.splits["train"]]
    assert task.mean == pytest.approx([np.mean(grey), 0.5]) and task.std == pytest.approx([np.std(grey), 1.0])
    scores = evaluate(trained.model, dataset, "val", task, in_channels=1, boundary=True)
    assert trained.history[-1]["val_r2"] == scores["r2"] and "mean_boundary_f1" not in scores
    assert scores["r2"] > 0.9 and scores["map_mae"][1] < 0.1 and trained.headline.startswith("R2 ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scale": (0.9, 1.1)}, "scale is .* means nothing for task regression"),
        ({"class_weights": "median_frequency"}, "class_weights is .* means nothing"),
        ({"loss": "dice"}, "unknown loss 'dice'"),
        ({"model": "rsis"}, "model rsis is for detection"),
    ],
)
def test_settings_that_mean_nothing_are_refused(root, changes, reason):
    with pytest.raises(UsageError, match=reason):
        train(settings(root, **changes), builders={"dot": dot, "rsis": dot})


def test_a_map_of_which_nothing_is_known_is_refused(root):
    for file in root.glob("maps/train/*/half.tif"):
        Image.fromarray(np.full((48, 56), np.nan, np.float32)).save(file)
    with pytest.raises(UsageError, match="no pixel of the map half is known in train"):
        train(settings(root), builders={"dot": dot})
