from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sweepseg.data import channel_stats, open_dataset
from sweepseg.errors import UsageError
from sweepseg.tasks import class_weights
from sweepseg.training import prepare as prepare_module
from sweepseg.training.prepare import prepare

from .harness import write_pictures


def plan(settings, say=lambda line: None):
    return prepare(settings, say)


def test_plan_of_a_good_set(settings, data):
    made = plan(settings(steps=None, epochs=5, batch_size=2, accumulate=2, validate_every=2, crop=None))
    assert (made.steps_per_epoch, made.steps, made.validate_every) == (1.5, 8, 3)
    assert made.pictures.augmentation.crop == (16, 20)
    assert made.config.arguments == {"num_classes": 1, "in_channels": 3}
    assert made.config.classes == ("background", "object")
    assert (made.config.mean, made.config.std) == channel_stats(open_dataset(data), 3)
    assert made.class_weights is None


@pytest.mark.parametrize(
    ("pictures", "given", "steps", "validate_every"),
    [
        (5, {}, 1000, 100),
        (22, {}, 1100, 110),
        (22, {"steps": 8}, 8, 110),
        (22, {"epochs": 200}, 4400, 440),
        (22, {"validate_every": 1}, 1100, 22),
    ],
)
def test_small_sets_are_learned_in_a_thousand_steps(pictures, given, steps, validate_every, settings, tmp_path):
    data = write_pictures(tmp_path / "set", train=pictures, val=1)
    made = plan(settings(data=str(data), batch_size=1, **{"steps": None, "validate_every": None, **given}))
    assert (made.steps, made.validate_every) == (steps, validate_every)


def test_arguments_of_the_builder_are_those_of_the_settings(settings):
    made = plan(settings(model="sweepnet_small", arguments={"cell": "gru", "units": 8}))
    assert made.config.arguments == {"num_classes": 1, "in_channels": 3, "cell": "gru", "units": 8}


def test_augmentation_is_that_of_the_settings(settings):
    wanted = settings(scale=(0.6, 1.5), flip=False, colour=0.3)
    made = dict(vars(plan(wanted).pictures.augmentation))
    assert made.pop("ignore_index") == 255
    assert made == {name: getattr(wanted, name) for name in made}


def test_range_of_the_images_is_that_of_the_settings_everywhere(settings):
    usual, halved = plan(settings()), plan(settings(input_range=(0, 510)))  # of bytes
    assert halved.config.input_range == (0, 510)
    assert halved.config.mean == pytest.approx([mean / 2 for mean in usual.config.mean])
    np.testing.assert_allclose(halved.pictures.read(0)[0], usual.pictures.read(0)[0] / 2, atol=1e-6)


@pytest.mark.parametrize("method", ["median_frequency", "inverse_sqrt"])
def test_class_weights_count_the_training_masks(settings, data, method):
    targets = [np.asarray(Image.open(sample.mask)).ravel() for sample in open_dataset(data).splits["train"]]
    expected = class_weights(torch.from_numpy(np.bincount(np.concatenate(targets), minlength=256)[:2]), method)
    assert torch.equal(plan(settings(class_weights=method)).class_weights, expected)


def test_every_problem_is_listed_before_training(settings, tmp_path):
    root = write_pictures(tmp_path / "set", train=4, val=2)
    (root / "masks" / "train" / "train0.png").unlink()
    (root / "masks" / "val" / "val1.png").unlink()
    Image.fromarray(np.full((16, 20), 9, np.uint8)).save(root / "masks" / "train" / "train1.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(root / "masks" / "train" / "train2.png")
    with pytest.raises(UsageError) as refused:
        plan(settings(data=str(root)))
    first, *lines = str(refused.value).splitlines()
    assert first.startswith("4 problems") and first.endswith("nothing was trained")
    for name in ("train0", "train1", "train2", "val1"):
        assert sum(name in line for line in lines) == 1


def test_warnings_are_said_and_do_not_stop(settings, tmp_path):
    root = write_pictures(tmp_path / "set", train=2, val=1)
    Image.fromarray(np.full((16, 20), 255, np.uint8)).save(root / "masks" / "train" / "train0.png")
    lines = []
    plan(settings(data=str(root)), lines.append)
    assert any("train0.png: every pixel is ignored" in line for line in lines)


@pytest.mark.parametrize("channels", [1, 3])
def test_model_takes_the_channels_of_the_pictures(settings, tmp_path, channels):
    made = plan(settings(data=str(write_pictures(tmp_path / "set", train=2, val=1, channels=channels))))
    assert made.config.arguments["in_channels"] == made.pictures.in_channels == len(made.config.mean) == channels


def with_image(root, name, channels):
    """Replace one image by a TIFF of this many channels."""
    tifffile = pytest.importorskip("tifffile")
    (root / "images" / name).with_suffix(".png").unlink()
    image = np.random.default_rng(0).integers(0, 255, (channels, 16, 20), dtype=np.uint8)
    tifffile.imwrite(
        (root / "images" / name).with_suffix(".tif"), image, photometric="minisblack", planarconfig="separate"
    )


def test_five_channels(settings, tmp_path):
    root = write_pictures(tmp_path / "set", train=2, val=1)
    for name in ("train/train0", "train/train1", "val/val0"):
        with_image(root, name, 5)
    made = plan(settings(data=str(root)))
    assert made.config.arguments["in_channels"] == 5
    assert made.pictures[(0, 0)][0].shape == (5, 12, 14)


def test_grey_among_rgb_is_rgb_and_other_mixtures_are_refused(settings, tmp_path):
    root = write_pictures(tmp_path / "set", train=2, val=1)
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(root / "images" / "train" / "train0.png")
    assert plan(settings(data=str(root))).config.arguments["in_channels"] == 3
    with_image(root, "val/val0", 5)
    with pytest.raises(UsageError, match="the pictures have 1 and 3 and 5 channels; a model takes one number"):
        plan(settings(data=str(root)))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"model": "resnet"}, "model is resnet; choose from .*sweepnet_small"),
        ({"model": "sweepnet_small", "arguments": {"cell": "grue"}}, "cell is 'grue'; choose from elman, "),
        ({"model": "sweepnet_small", "arguments": {"units": 1.5}}, "units is 1.5, not int"),
        ({"model": "reseg", "arguments": {"units": 8}}, "model reseg does not take .*'units'"),
        ({"arguments": {"in_channels": 3}}, "arguments has in_channels, which the data set decides; leave it out"),
        ({"loss": "crossentropy"}, "crossentropy"),
        ({"hold_out": "zzz"}, "start with 'zzz'"),
        ({"data": "/nowhere"}, "/nowhere is not a folder"),
        ({"data": "nuclei", "task": "multilabel"}, "multilabel"),
    ],
)
def test_unusable_settings_are_refused(settings, changes, words):
    with pytest.raises(UsageError, match=words):
        plan(settings(**changes))


def test_held_out_pictures_are_validated_on_and_not_trained_on(settings):
    made = plan(settings(hold_out="train1"))
    assert [sample.name for sample in made.pictures.dataset.splits["val"]] == ["train1"]
    assert "train1" not in [sample.name for sample in made.pictures.samples]


def test_a_share_of_the_labels_is_drawn_by_the_seed(settings):
    lines = []
    made = [plan(settings(labels=0.5, seed=seed), lines.append) for seed in range(6)]
    names = [[sample.name for sample in one.pictures.samples] for one in made]
    assert {len(one) for one in names} == {3} and len({*map(tuple, names)}) > 2
    assert all(one.pictures.unlabelled == [] and one.steps_per_epoch == 1.5 for one in made)
    assert {*names[0]} < {sample.name for sample in plan(settings(labels=0.9)).pictures.samples}
    assert set(lines) == {"3 of 6 training pictures have labels"}
    with pytest.raises(UsageError, match=r"a share of 0\.01 of the 6 annotated training samples"):
        plan(settings(labels=0.01))


def test_labels_that_are_left_out_do_not_count(settings):
    few, all_of_them = (
        plan(settings(labels=0.3, class_weights="inverse_sqrt")),
        plan(settings(class_weights="inverse_sqrt")),
    )
    targets = np.concatenate([few.pictures.read(index)[1].ravel() for index in range(2)])
    expected = class_weights(torch.from_numpy(np.bincount(targets, minlength=256)[:2]), "inverse_sqrt")
    assert torch.equal(few.class_weights, expected) and not torch.equal(expected, all_of_them.class_weights)
    assert few.config.mean == all_of_them.config.mean  # the pictures are the same


def test_training_pictures_without_masks_are_learned_from_where_that_is_wanted(settings, tmp_path):
    root = write_pictures(tmp_path / "set", train=4, val=2)
    (root / "masks" / "train" / "train3.png").unlink()
    with pytest.raises(UsageError, match=r"train3\.png: has no mask"):
        plan(settings(data=str(root)))
    lines = []
    made = plan(settings(data=str(root), consistency=1.0, labels=0.67), lines.append)
    assert len(made.pictures) == 2 and "train3" in [sample.name for sample in made.pictures.unlabelled]
    assert len(made.pictures.unlabelled) == 2 and lines == ["2 of 4 training pictures have labels"]
    (root / "masks" / "val" / "val0.png").unlink()
    with pytest.raises(UsageError, match=r"val0\.png: has no mask"):
        plan(settings(data=str(root), consistency=1.0))


def test_consistency_without_pictures_to_learn_from_is_refused(settings, videos):
    with pytest.raises(
        UsageError, match=r"consistency is 0\.5 but all 6 training pictures of .* have labels; add pictures"
    ):
        plan(settings(consistency=0.5))
    with pytest.raises(UsageError, match="consistency is for pictures, and clip_length is 4; give one of them"):
        plan(settings(data=str(videos), clip_length=4, consistency=0.5, labels=0.5))
    plan(settings(data=str(videos), consistency=0.5, labels=0.5))


def test_early_stopping_needs_pictures_to_validate_on(settings, tmp_path):
    root = write_pictures(tmp_path / "set", train=2, val=0)
    plan(settings(data=str(root)))
    with pytest.raises(UsageError, match=r"early_stop is 2 but .* has no val pictures"):
        plan(settings(data=str(root), early_stop=2))


def test_fingerprint_is_that_of_the_names(settings, tmp_path):
    one, two = (write_pictures(tmp_path / name, train=count, val=1) for name, count in (("a", 2), ("b", 3)))
    assert plan(settings(data=str(one))).fingerprint == plan(settings(data=str(one), seed=5)).fingerprint
    assert plan(settings(data=str(one))).fingerprint != plan(settings(data=str(two))).fingerprint


@pytest.mark.parametrize(
    "difference, words",
    [
        ({"classes": ("ground", "object")}, "has the classes .*ground.*, .* has .*background"),
        ({"task": "multilabel"}, "has the task multilabel, .* has binary"),
        ({"mean": (0.5,), "std": (0.5,)}, "takes 1 channels, the pictures of .* have 3"),
        ({"volumes": True}, "takes volumes, but .* holds images"),
    ],
)
def test_a_teacher_for_something_else_is_refused(settings, monkeypatch, difference, words):
    made = plan(settings())
    config = {name: value for name, value in difference.items() if name != "volumes"}
    other = SimpleNamespace(config=replace(made.config, **config), volumes="volumes" in difference)
    monkeypatch.setattr(prepare_module, "load", lambda folder: other)
    with pytest.raises(UsageError, match=words):
        plan(settings(teacher="other"))


def test_volumes_for_a_task_without_a_label_a_voxel_are_refused(settings, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "1.nii").touch()
    with pytest.raises(UsageError, match="holds volumes, of which one label a voxel is learned, not task classif"):
        plan(settings(data=str(tmp_path), task="classification", model="sweepnet_classifier"))


def test_models_for_another_kind_of_task_are_refused(settings):
    with pytest.raises(
        UsageError, match="model crnn is for sequence, the task is binary on images; choose from sweepnet_small, "
    ):
        plan(settings(model="crnn"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cutmix", 0.5),
        ("consistency", 1.0),
        ("oversample_foreground", 0.5),
        ("teacher", "model"),
        ("clip_length", 2),
        ("flip_vertical", True),
    ],
)
def test_settings_that_mean_nothing_for_a_task_are_refused(settings, lines, name, value):
    neutral = {"crop": None, "flip_vertical": False, "oversample_foreground": 0.0, "cutmix": 0.0}
    with pytest.raises(UsageError, match=f"{name} is {value}, which means nothing for task sequence; leave it out"):
        plan(settings(data=str(lines), task="sequence", model="crnn", **neutral | {name: value}))


def test_lines_are_neither_cropped_nor_scaled_nor_mirrored(settings, lines):
    neutral = {"crop": None, "flip_vertical": False, "oversample_foreground": 0.0, "cutmix": 0.0}
    made = plan(settings(data=str(lines), task="sequence", model="crnn", **neutral))
    view = made.pictures.augmentation
    assert (view.crop, view.scale, view.flip, view.ignore_index) == (None, (1.0, 1.0), False, -1)
    assert (view.rotate, view.blur) == (20.0, 0.5)  # what does not change the text is the user's
    assert made.config.classes == ("0", "1") and made.config.arguments == {"num_classes": 3, "in_channels": 1}


def test_a_plan_for_volumes(settings, phantoms):
    plain = {
        "data": str(phantoms),
        "model": "sweepnet_volume_small",
        "hold_out": "1/5",
        "blur": 0.0,
        "oversample_foreground": 0.0,
        "cutmix": 0.0,
    }
    made = plan(settings(**plain, crop=None, rotate=9.0, colour=0.3))
    assert (made.config.mean, made.config.std) == ((0.0,), (1.0,))
    assert [sample.name for sample in made.pictures.dataset.splits["val"]] == ["phantom_04"]
    augmentation = made.pictures.augmentation
    assert augmentation.crop == made.pictures.read(0)[0].shape[1:]
    assert (augmentation.rotate, augmentation.colour) == (9.0, 0.3)
    for name, value in (
        ("blur", 0.5),
        ("oversample_foreground", 0.5),
        ("cutmix", 0.5),
        ("consistency", 1.0),
        ("clip_length", 2),
    ):
        with pytest.raises(UsageError, match=f"{name} is {value}, which means nothing for volumes; leave it out"):
            plan(settings(**plain | {name: value}, crop=None))
    with pytest.raises(UsageError, match="holds volumes, which are standardised one by one; leave out input_range"):
        plan(settings(**plain, crop=None, input_range=(0, 400)))
    with pytest.raises(UsageError, match=r"crop is \[12, 14\]; give depth, height and width"):
        plan(settings(**plain))
    with pytest.raises(UsageError, match="the task is multiclass on volumes; choose from sweepnet_volume_small, "):
        plan(settings(**plain | {"model": "sweepnet_small"}))
    with pytest.raises(UsageError, match=r"crop is \[8, 8, 8\]; give height and width"):
        plan(settings(crop=(8, 8, 8)))
