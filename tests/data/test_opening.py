import logging

import numpy as np
import pytest

from sweepseg.data import opening
from sweepseg.data.layouts import CAMVID, CITYSCAPES
from sweepseg.data.opening import open_dataset
from sweepseg.errors import UsageError


@pytest.fixture
def make(save, tmp_path):
    """A data set in the default layout with the given training masks (and one class file)."""

    def make(*masks, classes=None, **options):
        for index, mask in enumerate(masks):
            save(f"images/train/{index}.png", np.zeros((len(mask), len(mask[0])), np.uint8))
            save(f"masks/train/{index}.png", np.array(mask, np.uint8), **options)
        if classes:
            save("classes.txt", classes)
        return tmp_path

    return make


def found(dataset):
    return dataset.task, dataset.classes, dict(dataset.remap)


BACKGROUND_OBJECT = ("background", "object")


@pytest.mark.parametrize(
    ("masks", "classes", "task", "expected"),
    [
        pytest.param(
            [[[0, 1]], [[3, 255]]],
            None,
            None,
            ("multiclass", ("class 0", "class 1", "class 2", "class 3"), {0: 0, 1: 1, 2: 2, 3: 3, 255: 255}),
            id="classes counted in the masks",
        ),
        pytest.param(
            [[[0, 1]]], "sky\nroad\ntree", None,
            ("multiclass", ("sky", "road", "tree"), {0: 0, 1: 1, 2: 2, 255: 255}), id="classes named",
        ),
        pytest.param(
            [[[4, 9]]], "4 sky\n9 void\n7 road\n8 tree", None,
            ("multiclass", ("sky", "road", "tree"), {4: 0, 7: 1, 8: 2, 9: 255, 255: 255}), id="values given, void",
        ),
        pytest.param(
            [[[0, 1]]], None, None, ("binary", BACKGROUND_OBJECT, {0: 0, 1: 1, 255: 255}), id="0 and 1",
        ),
        pytest.param(
            [[[0, 1]]], None, "multiclass",
            ("multiclass", ("class 0", "class 1"), {0: 0, 1: 1, 255: 255}), id="0 and 1, told multiclass",
        ),
        pytest.param(
            [[[0, 0]]], "ground\ncell", None, ("binary", ("ground", "cell"), {0: 0, 1: 1, 255: 255}), id="only 0",
        ),
        pytest.param([[[0, 255]]], None, None, ("binary", BACKGROUND_OBJECT, {0: 0, 255: 1}), id="0 and 255"),
        pytest.param(
            [[[0, 255]]], "ground\ncell", None, ("binary", ("ground", "cell"), {0: 0, 255: 1}), id="0 and 255, named",
        ),
        pytest.param(
            [[[0, 255]]], "0 ground\n255 cell", None,
            ("binary", ("ground", "cell"), {0: 0, 255: 1}), id="0 and 255 stated",
        ),
        pytest.param(
            [[[0, 255]], [[0, 1]]], None, None,
            ("binary", BACKGROUND_OBJECT, {0: 0, 1: 1, 255: 255}), id="255 beside 1 is ignored",
        ),
        pytest.param(
            [[[0, 255]]], "sky\nroad\ntree", None,
            ("multiclass", ("sky", "road", "tree"), {0: 0, 1: 1, 2: 2, 255: 255}), id="255 is ignored in multiclass",
        ),
    ],
)  # fmt: skip
def test_task_classes_and_values_are_found_out(make, masks, classes, task, expected):
    assert found(open_dataset(make(*masks, classes=classes), task=task)) == expected


def test_reading_255_as_the_object_is_said_once(make, caplog):
    with caplog.at_level(logging.WARNING, opening.__name__):
        open_dataset(make([[0, 255]], [[255, 0]]))
    assert len(caplog.records) == 1 and "255 is read as the object" in caplog.text


@pytest.mark.parametrize("classes", ["ground\ncell", "0 ground\n255 cell"])
def test_what_the_class_file_states_or_the_masks_hold_is_not_noted(make, caplog, classes):
    with caplog.at_level(logging.WARNING, opening.__name__):
        open_dataset(make([[0, 255 if "255" in classes else 1]], classes=classes))
    assert not caplog.records


def test_the_argument_goes_before_the_class_file_before_the_layout(save, tmp_path):
    save("train/a.png", np.zeros((1, 2), np.uint8))
    save("trainannot/a.png", np.zeros((1, 2), np.uint8))
    by_layout = open_dataset(tmp_path).classes
    save("classes.txt", "sky\nroad\ntree")
    assert by_layout == tuple(label.name for label in CAMVID[:11])
    assert open_dataset(tmp_path).classes == ("sky", "road", "tree")
    assert open_dataset(tmp_path, classes=["x", "y", "z"]).classes == ("x", "y", "z")


def test_camvid_ignores_its_void(save, tmp_path):
    save("train/a.png", np.zeros((1, 2), np.uint8))
    save("trainannot/a.png", np.zeros((1, 2), np.uint8))
    dataset = open_dataset(tmp_path)
    assert dict(dataset.remap) == {**{i: i for i in range(11)}, 11: 255, 255: 255}
    assert dataset.palette[3] == (128, 64, 128) and len(dataset.palette) == 11


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("labelTrainIds", {**{i: i for i in range(19)}, 255: 255}),
        (
            "labelIds",
            {**dict.fromkeys((*range(34), 255), 255), **{i: n for n, (_, i, _) in enumerate(CITYSCAPES)}},
        ),
    ],
)
def test_cityscapes_has_19_classes_whichever_ids(save, tmp_path, kind, expected):
    save("leftImg8bit/train/a/a_leftImg8bit.png", np.zeros((1, 2), np.uint8))
    save(f"gtFine/train/a/a_gtFine_{kind}.png", np.zeros((1, 2), np.uint8))
    dataset = open_dataset(tmp_path)
    assert dict(dataset.remap) == expected
    assert dataset.classes[0] == "road" and dataset.classes[18] == "bicycle"
    assert dataset.palette[13] == (0, 0, 142)  # car


@pytest.mark.parametrize(("ones", "remap"), [(1, {0: 0, 1: 1, 255: 255}), (255, {0: 0, 255: 1})])
def test_multilabel_takes_its_classes_from_the_file_names(save, tmp_path, ones, remap):
    save("images/train/a.png", np.zeros((1, 2), np.uint8))
    for name in ("cell", "border"):
        save(f"masks/train/a/{name}.png", np.array([[0, ones]], np.uint8))
    assert found(open_dataset(tmp_path)) == ("multilabel", ("border", "cell"), remap)


def test_colors_of_the_class_file_are_palette_and_table(make):
    dataset = open_dataset(make([[0, 1]], classes="4 sky 1 2 3\n9 road 4 5 6\n11 void 7 8 9"))
    assert dataset.palette == ((1, 2, 3), (4, 5, 6))
    assert dataset.colors == {(1, 2, 3): 4, (4, 5, 6): 9, (7, 8, 9): 11}


def test_without_colors_the_palette_is_pascal_vocs(make):
    dataset = open_dataset(make([[0, 2]]))
    assert dataset.palette == ((0, 0, 0), (128, 0, 0), (0, 128, 0)) and dataset.colors is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"task": "panoptic"}, "'panoptic' is unknown; choose one of binary, multiclass, multilabel"),
        ({"task": "multilabel"}, "are files, but the task is multilabel"),
        ({"task": "binary"}, "has 3 classes; binary takes two"),
        ({"classes": ["a", "a"]}, "name a stands there twice"),
        ({"classes": []}, "no class"),
        ({"classes": [f"c{i}" for i in range(256)]}, "has 256 classes; at most 255 fit"),
    ],
)
def test_options_that_do_not_fit_are_refused(good_set, options, reason):
    open_dataset(good_set)
    with pytest.raises(UsageError, match=reason):
        open_dataset(good_set, **options)


def test_255_classes_still_fit(good_set):
    assert len(open_dataset(good_set, classes=[f"c{i}" for i in range(255)]).classes) == 255


def test_folders_of_masks_are_refused_for_another_task(save, tmp_path):
    save("images/train/a.png", np.zeros((1, 2), np.uint8))
    save("masks/train/a/cell.png", np.zeros((1, 2), np.uint8))
    with pytest.raises(UsageError, match="are folders, but the task is binary"):
        open_dataset(tmp_path, task="binary")


def test_a_folder_that_is_missing_or_holds_no_image_is_refused(tmp_path):
    with pytest.raises(UsageError, match="nowhere is not a folder"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "images" / "train").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds no image"):
        open_dataset(tmp_path)


def test_without_class_names_masks_are_needed(save, tmp_path):
    save("images/train/a.png", np.zeros((1, 2), np.uint8))
    with pytest.raises(UsageError, match=r"no training mask .*classes\.txt"):
        open_dataset(tmp_path)


def test_colour_masks_without_a_table_are_refused_with_the_colours_found(save, make, tmp_path):
    root = make([[0, 1, 2]])
    save("masks/train/0.png", np.array([[[10, 20, 30], [1, 2, 3], [1, 2, 3]]], np.uint8))
    with pytest.raises(UsageError, match=r"10, 20, 30"):
        open_dataset(root)
    save("classes.txt", "0 sky 10 20 30\n1 road 1 2 3\n2 tree 5 5 5")
    assert open_dataset(root).classes == ("sky", "road", "tree")
