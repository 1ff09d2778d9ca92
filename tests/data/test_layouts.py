import pytest

from sweepseg.data.layouts import LAYOUTS, recognise
from sweepseg.errors import UsageError

CITY = "aachen/aachen_000000_000019"
TRAIN_IDS = f"gtFine/train/{CITY}_gtFine_labelTrainIds.png"
LABEL_IDS = f"gtFine/train/{CITY}_gtFine_labelIds.png"

# For each layout: its files, the layout it is, and the samples of every split with their masks.
GOOD = {
    "parts first": (
        ["images/train/a.png", "masks/train/a.png", "images/val/b.png", "masks/val/b.png"],
        "default",
        {"train": {"a": "masks/train/a.png"}, "val": {"b": "masks/val/b.png"}},
    ),
    "splits first": (
        ["train/images/a.png", "train/masks/a.png", "test/images/b.png", "test/masks/b.png"],
        "default",
        {"train": {"a": "train/masks/a.png"}, "test": {"b": "test/masks/b.png"}},
    ),
    "nested": (
        ["images/train/s1/a.png", "masks/train/s1/a.png", "images/train/s2/a.png", "masks/train/s2/a.png"],
        "default",
        {"train": {"s1/a": "masks/train/s1/a.png", "s2/a": "masks/train/s2/a.png"}},
    ),
    "dots and odd names": (
        ["images/train/a.b c.png", "masks/train/a.b c.png", "images/train/-%s;é.png", "masks/train/-%s;é.png"],
        "default",
        {"train": {"-%s;é": "masks/train/-%s;é.png", "a.b c": "masks/train/a.b c.png"}},
    ),
    **{
        f"mask suffix {suffix}": (
            ["images/train/a.jpg", f"masks/train/a{suffix}.png"],
            "default",
            {"train": {"a": f"masks/train/a{suffix}.png"}},
        )
        for suffix in ("_mask", "_masks", "_label")
    },
    "a name that itself ends with a suffix": (
        ["images/train/a.png", "images/train/a_mask.png", "masks/train/a.png", "masks/train/a_mask.png"],
        "default",
        {"train": {"a": "masks/train/a.png", "a_mask": "masks/train/a_mask.png"}},
    ),
    "multilabel": (
        ["images/train/a.png", "masks/train/a/cell.png", "masks/train/a/border.png"],
        "default",
        {"train": {"a": "masks/train/a"}},
    ),
    "test masks withheld": (
        ["images/train/a.png", "masks/train/a.png", "images/test/b.png"],
        "default",
        {"train": {"a": "masks/train/a.png"}, "test": {"b": None}},
    ),
    "lists": (
        ["images/a.png", "images/b.png", "images/c.png", "masks/a.png", "masks/b.png", "train.txt:a\nb.png\n"],
        "lists",
        {"train": {"a": "masks/a.png", "b": "masks/b.png"}},
    ),
    "camvid": (
        ["train/a.png", "trainannot/a.png", "val/b.png", "valannot/b.png", "test/c.png"],
        "camvid",
        {"train": {"a": "trainannot/a.png"}, "val": {"b": "valannot/b.png"}, "test": {"c": None}},
    ),
    "camvid with SegNet's lists": (
        [
            *("train/a.png", "trainannot/a.png", "train/b.png", "trainannot/b.png"),
            "train.txt:/SegNet/CamVid/train/b.png /SegNet/CamVid/trainannot/b.png\n",
        ],
        "camvid",
        {"train": {"b": "trainannot/b.png"}},
    ),
    "voc": (
        [
            *("JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/c.jpg", "JPEGImages/d.jpg"),
            *("SegmentationClass/a.png", "SegmentationClass/b.png", "ImageSets/Segmentation/train.txt:a\n"),
            *("ImageSets/Segmentation/val.txt:b\n", "ImageSets/Segmentation/trainval.txt:a\nb\n"),
            "ImageSets/Segmentation/test.txt:d\n",
        ],
        "voc",
        {"train": {"a": "SegmentationClass/a.png"}, "val": {"b": "SegmentationClass/b.png"}, "test": {"d": None}},
    ),
    "ade20k": (
        [
            *("images/training/a.jpg", "annotations/training/a.png"),
            *("images/validation/b.jpg", "annotations/validation/b.png", "images/testing/c.jpg"),
        ],
        "ade20k",
        {
            "train": {"a": "annotations/training/a.png"},
            "val": {"b": "annotations/validation/b.png"},
            "test": {"c": None},
        },
    ),
    "coco_stuff": (
        [
            *("images/train2017/1.jpg", "annotations/train2017/1.png", "annotations/instances_train2017.json:{}"),
            *("images/val2017/2.jpg", "annotations/val2017/2.png"),
        ],
        "coco_stuff",
        {"train": {"1": "annotations/train2017/1.png"}, "val": {"2": "annotations/val2017/2.png"}},
    ),
    "nnunet": (
        [
            *("imagesTr/a_0000.png", "labelsTr/a.png", "imagesTs/b_0000.png"),
            'dataset.json:{"channel_names": {"0": "grey"}, "labels": {"background": 0}, "file_ending": ".png"}',
        ],
        "nnunet",
        {"train": {"a": "labelsTr/a.png"}, "test": {"b": None}},
    ),
    "cityscapes train ids": (
        [
            f"leftImg8bit/train/{CITY}_leftImg8bit.png",
            TRAIN_IDS,
            LABEL_IDS,
            TRAIN_IDS.replace("labelTrain", "instance"),
        ],
        "cityscapes",
        {"train": {CITY: TRAIN_IDS}},
    ),
    "cityscapes label ids": (
        [f"leftImg8bit/train/{CITY}_leftImg8bit.png", LABEL_IDS, LABEL_IDS.replace("labelIds", "color")],
        "cityscapes",
        {"train": {CITY: LABEL_IDS}},
    ),
    "cityscapes sequences, of which one frame is annotated": (
        [
            f"leftImg8bit_sequence/train/{CITY}_leftImg8bit.png",
            f"leftImg8bit_sequence/train/{CITY[:-2]}18_leftImg8bit.png",
            TRAIN_IDS,
        ],
        "cityscapes_sequence",
        {"train": {CITY: TRAIN_IDS, f"{CITY[:-2]}18": None}},
    ),
    "davis 2016": (
        [
            *("JPEGImages/480p/bear/00000.jpg", "JPEGImages/480p/bear/00001.jpg", "JPEGImages/480p/car/00000.jpg"),
            *("Annotations/480p/bear/00000.png", "Annotations/480p/bear/00001.png", "Annotations/480p/car/00000.png"),
            "ImageSets/480p/train.txt:/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n"
            "/JPEGImages/480p/bear/00001.jpg /Annotations/480p/bear/00001.png\n",
            "ImageSets/480p/val.txt:/JPEGImages/480p/car/00000.jpg /Annotations/480p/car/00000.png\n",
        ],
        "davis",
        {
            "train": {f"bear/0000{i}": f"Annotations/480p/bear/0000{i}.png" for i in range(2)},
            "val": {"car/00000": "Annotations/480p/car/00000.png"},
        },
    ),
    "davis 2017": (
        [
            *("JPEGImages/480p/bear/00000.jpg", "JPEGImages/480p/bear-2/00000.jpg"),
            *("Annotations/480p/bear/00000.png", "Annotations/480p/bear-2/00000.png"),
            "ImageSets/2017/train.txt:bear\n",
        ],
        "davis",
        {"train": {"bear/00000": "Annotations/480p/bear/00000.png"}},
    ),
    "davis without folders of the resolution": (
        ["JPEGImages/bear/00000.jpg", "Annotations/bear/00000.png", "train.txt:bear\n"],
        "davis",
        {"train": {"bear/00000": "Annotations/bear/00000.png"}},
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_layouts_are_recognised_and_paired(make_files, tmp_path, case):
    files, layout, expected = GOOD[case]
    make_files(files)
    found, listing = recognise(tmp_path)
    masks = {
        split: {s.name: s.mask and s.mask.relative_to(tmp_path).as_posix() for s in samples}
        for split, samples in listing.splits.items()
    }
    assert (found, masks, listing.problems) == (layout, expected, [])
    assert all(s.image.is_file() for samples in listing.splits.values() for s in samples)


def test_every_layout_has_a_good_case():
    assert {layout for _, layout, _ in GOOD.values()} == LAYOUTS.keys()


@pytest.mark.parametrize("files", [[], ["a.png"], ["images/a.png", "masks/a.png"], ["train/a.png", "train.txt:a"]])
def test_a_folder_in_no_layout_is_refused_with_all_that_was_looked_for(make_files, tmp_path, files):
    make_files(files)
    with pytest.raises(UsageError) as refusal:
        recognise(tmp_path)
    assert all(f"{name}: {layout.looks_for}" in str(refusal.value) for name, layout in LAYOUTS.items())


ADE20K_NAMES = "Idx\tRatio\tTrain\tVal\tName\n1\t0.1576\t11664\t1172\twall\n22 \t0.0074\t709\t75\tbed , cot\n"

# For each layout with labels of its own: files, some names by value, and the values.
NAMED = {
    "ade20k": (
        ["images/training/a.jpg", f"objectInfo150.txt:{ADE20K_NAMES}"],
        {0: "void", 1: "wall", 2: "class 2", 22: "bed", 150: "class 150"},
        range(151),
    ),
    "coco_stuff": (
        ["images/train2017/1.jpg", "labels.txt:0: unlabeled\n1: person\n92: banner\n182: wood\n"],
        {0: "person", 1: "class 2", 91: "banner", 181: "wood"},
        sorted({*range(182)} - {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}),
    ),
    "voc": (
        ["JPEGImages/a.jpg", "SegmentationClass/a.png", "ImageSets/Segmentation/train.txt:a"],
        {0: "background", 15: "person", 20: "tvmonitor", 255: "void"},
        [*range(21), 255],
    ),
}


@pytest.mark.parametrize("layout", NAMED)
def test_layouts_with_labels_of_their_own_name_them(make_files, tmp_path, layout):
    files, names, values = NAMED[layout]
    make_files(files)
    found, listing = recognise(tmp_path)
    labels = {label.value: label for label in listing.labels}
    assert found == layout and [*labels] == [*values]
    assert {value: labels[value].name for value in names} == names
    assert {label.name for label in labels.values() if label.ignored} <= {"void"}


@pytest.mark.parametrize(("folders", "layout"), [("images/training", "ade20k"), ("images/train2017", "coco_stuff")])
def test_without_its_file_of_names_classes_are_numbered(make_files, tmp_path, folders, layout):
    make_files([f"{folders}/a.jpg"])
    found, listing = recognise(tmp_path)
    assert found == layout and "class 1" in {label.name for label in listing.labels}


def test_voc_without_a_list_of_names_says_where_they_are_wanted(make_files, tmp_path):
    make_files(["JPEGImages/a.jpg", "SegmentationClass/a.png", "ImageSets/Segmentation/trainval.txt:a"])
    with pytest.raises(UsageError, match=r"ImageSets/Segmentation holds none of train\.txt, val\.txt and test\.txt"):
        recognise(tmp_path)


FOV = {
    "lists": ["images/a.png", "images/b.png", "masks/a.png", "masks/b.png", "train.txt:a", "test.txt:b"],
    "parts first": ["images/train/a.png", "masks/train/a.png"],
    "splits first": ["train/images/a.png", "train/masks/a.png"],
}


@pytest.mark.parametrize(
    ("files", "fov"),
    [("lists", "fov/a.png"), ("parts first", "fov/train/a.png"), ("splits first", "train/fov/a.png")],
)
def test_fields_of_view_are_found_beside_the_masks(make_files, tmp_path, files, fov):
    make_files([*FOV[files], fov])
    _, listing = recognise(tmp_path)
    assert [sample.field_of_view for sample in listing.splits["train"]] == [tmp_path / fov] and not listing.problems
