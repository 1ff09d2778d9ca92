import logging

import numpy as np
import pytest

from sweepseg.data import check, opening, read_pair
from sweepseg.data.labels import CAMVID, CITYSCAPES
from sweepseg.data.opening import open_dataset
from sweepseg.errors import UsageError
from sweepseg.io.masks import read_mask


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
        pytest.param(
            [[[0, 254]]], "0-1 ground\n2-3 void\n253-255 cell", None,
            ("binary", ("ground", "cell"), {0: 0, 1: 0, 2: 255, 3: 255, 253: 1, 254: 1, 255: 1}), id="ranges",
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


def test_the_argument_takes_the_lines_of_a_class_file(make):
    lines = ["0-1 ground 1 2 3", "2 void", "3-9 cell 4 5 6"]
    root = make([[0, 9]])
    by_argument = open_dataset(root, classes=lines)
    make([[0, 9]], classes="\n".join(lines))
    assert by_argument == open_dataset(root) and by_argument.palette == ((1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize("name", ["set.yaml", "set.yml"])
def test_a_yaml_file_names_folder_and_classes(save, tmp_path, name):
    save("data/images/train/a.png", np.zeros((1, 2), np.uint8))
    save("data/masks/train/a.png", np.array([[0, 7]], np.uint8))
    save("data/classes.txt", "x\ny\nz")
    file = save(f"descriptions/{name}", "root: ../data\nclasses: [void, 5-9 cell, 3 ground]")
    dataset = open_dataset(file)
    assert (dataset.classes, dataset.remap[7], dataset.remap[0]) == (("cell", "ground"), 0, 255)
    assert dataset.root.resolve() == tmp_path / "data"
    assert open_dataset(file, classes=["a", "b"]).classes == ("a", "b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("root: .\nclasses: []", "does not describe a data set; write root: FOLDER and classes: "),
        ("root: .\nclasses: [1, 2]", "does not describe"),
        ("root: .\nclasses: [a, b]\nsplit: x", "does not describe"),
        ("root: .", "does not describe"),
        ("- a", "does not describe"),
        ("root: [", "while parsing"),
        ("root: nowhere\nclasses: [a, b]", "nowhere is not a folder"),
        ("root: .\nclasses: [a, a]", "classes: the name a stands there twice"),
        ("root: .\nclasses: [a, 9-3 b]", "classes: the mask value 9-3 is not an integer"),
    ],
)
def test_a_yaml_file_that_describes_no_data_set_is_refused_in_one_line(make, save, text, reason):
    make([[0, 1]])
    with pytest.raises(UsageError, match=reason) as refused:
        open_dataset(save("set.yaml", text))
    assert "\n" not in str(refused.value)


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
        ({"classes": [f"c{i}" for i in range(256)]}, "has 256 classes; at most 255 fit.* 1-65535 object"),
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


@pytest.mark.parametrize(
    ("files", "remap"),
    [
        (
            ["JPEGImages/a.jpg", "SegmentationClass/a.png", "ImageSets/Segmentation/train.txt:a"],
            {**{i: i for i in range(21)}, 255: 255},
        ),
        (
            ["images/training/a.jpg", "annotations/training/a.png"],
            {0: 255, **{i: i - 1 for i in range(1, 151)}, 255: 255},
        ),
    ],
)
def test_voc_and_ade20k_ignore_their_void(make_files, tmp_path, files, remap):
    make_files(files)
    assert dict(open_dataset(tmp_path).remap) == remap


def test_palette_and_colour_masks_of_voc_are_read_alike(save, tmp_path):
    mask = np.array([[0, 15, 255]], np.uint8)
    save("ImageSets/Segmentation/train.txt", "a\nb")
    for name in "ab":
        save(f"JPEGImages/{name}.jpg", np.zeros((1, 3, 3), np.uint8))
    save("SegmentationClass/a.png", mask)
    save("SegmentationClass/b.png", np.array([[[0, 0, 0], [192, 128, 128], [224, 224, 192]]], np.uint8))
    dataset = open_dataset(tmp_path)
    assert [read_pair(dataset, sample, 3)[1].tolist() for sample in dataset.splits["train"]] == [mask.tolist()] * 2


# The data sets that may lie beside the checkout, with what their README says: lines of classes.txt where the folder's
# own are missing or do not fit, task, classes (those that are used first), and pictures and masks of each split.
BESIDE = {
    "camvid": (None, "multiclass", CAMVID[:11], {"train": (367, 367), "val": (101, 101), "test": (233, 0)}),
    "crackforest": (None, "binary", ("pavement", "crack"), {"train": (72, 72), "test": (46, 46)}),
    "drive": (None, "binary", ("background", "vessel"), {"train": (20, 20), "test": (20, 20)}),
    "dsb2018_nuclei": (
        ["0 background", "1-65535 nucleus"],
        "binary",
        ("background", "nucleus"),
        {"train": (136, 136)},
    ),
    "epfl_roads": (
        ["0-127 background", "128-255 road"],
        "binary",
        ("background", "road"),
        {"train": (72, 72), "test": (18, 18)},
    ),
    "flowers17": (
        ["void", "flower", "leaves", "background", "sky"],
        "multiclass",
        ("flower", "leaves", "background", "sky"),
        {"train": (180, 180), "test": (50, 50)},
    ),
    "isbi2012": (None, "binary", ("membrane", "cell"), {"train": (24, 24), "val": (6, 6)}),
    "kant_pages": (None, "multiclass", ("background", "paragraph"), {"train": (8, 8), "test": (2, 2)}),
    "neu_seg": (
        None,
        "multiclass",
        ("background", "inclusion", "patches", "scratches"),
        {"train": (500, 500), "test": (300, 300)},
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_the_sets_beside_the_checkout_open_as_their_readme_says(shared, name):
    lines, task, classes, counts = BESIDE[name]
    dataset = open_dataset(shared(name), classes=lines)
    assert dataset.task == task and not dataset.problems
    assert dataset.classes[: len(classes)] == tuple(getattr(c, "name", c) for c in classes)
    assert counts == {
        split: (len(samples), sum(sample.mask is not None for sample in samples))
        for split, samples in dataset.splits.items()
    }
    pictures = [sample.image for samples in dataset.splits.values() for sample in samples]
    assert len(pictures) == len({*pictures})
    read_pair(dataset, dataset.splits["train"][0], 3)


def shares(dataset, split, class_index):
    """Share of a class in the pixels of each picture that count, and of the ignored in all."""
    for sample in dataset.splits[split]:
        target = read_pair(dataset, sample, 3)[1]
        yield (target == class_index).sum() / (target != 255).sum(), (target == 255).mean()


def test_drive_counts_inside_the_field_of_view_alone(shared):
    dataset = open_dataset(shared("drive"))
    inside, ignored = np.mean([*shares(dataset, "test", 1)], axis=0)
    whole = read_mask(dataset.splits["test"][0].mask)
    assert 0.12 < inside < 0.135 and 0.29 < ignored < 0.34  # 8.7 % of the whole picture are vessels
    assert 0.08 < (whole > 0).mean() < 0.1


def test_cracks_are_the_labels_2_and_4_and_nothing_enclosed_by_them(shared):
    dataset = open_dataset(shared("crackforest"))
    (sample,) = (s for s in dataset.splits["test"] if s.name == "101")
    raw = read_mask(dataset.root / "labels_raw" / "101.png")
    assert np.array_equal(read_pair(dataset, sample, 3)[1] == 1, np.isin(raw, (2, 4)))
    assert (raw == 3).sum() > 40_000


def test_soft_edges_of_roads_are_cut_in_the_middle(shared):
    dataset = open_dataset(shared("epfl_roads"), classes=BESIDE["epfl_roads"][0])
    sample = dataset.splits["train"][0]
    assert np.array_equal(read_pair(dataset, sample, 3)[1], read_mask(sample.mask) > 127)
    assert {p.reason.split(":")[0] for p in check(open_dataset(shared("epfl_roads"))).errors} == {
        "holds labels that are no class"
    }


def test_the_rim_of_flowers_is_ignored(shared):
    dataset = open_dataset(shared("flowers17"), classes=BESIDE["flowers17"][0])
    flower, ignored = np.mean([*shares(dataset, "test", 0)], axis=0)
    assert 0.13 < ignored < 0.15 and 0.3 < flower < 0.35
