import numpy as np
import pytest

from sweepseg.data.layouts import recognise

TRAIN_IDS = "gtFine/train/aachen/aachen_000000_000019_gtFine_labelTrainIds.png"

GOOD = {
    "parts first": ["images/train/a.png", "masks/train/a.png", "images/val/b.png", "masks/val/b.png"],
    "splits first": ["train/images/a.png", "train/masks/a.png", "test/images/b.png", "test/masks/b.png"],
    "multilabel": ["images/train/a.png", "masks/train/a/cell.png", "masks/train/a/border.png"],
    "field of view": ["images/train/a.png", "masks/train/a.png", "fov/train/a.png"],
    "lists": ["images/a.png", "images/b.png", "images/c.png", "masks/a.png", "masks/b.png", "train.txt:a\nb.png\n"],
    "camvid": ["train/a.png", "trainannot/a.png", "val/b.png", "valannot/b.png", "test/c.png"],
    "voc": [
        *("JPEGImages/a.jpg", "JPEGImages/b.jpg", "SegmentationClass/a.png", "SegmentationClass/b.png"),
        "ImageSets/Segmentation/train.txt:a\nb",
    ],
    "ade20k": [
        *("images/training/a.jpg", "annotations/training/a.png"),
        *("images/training/b.jpg", "annotations/training/b.png"),
    ],
    "coco_stuff": ["images/train2017/1.jpg", "annotations/train2017/1.png"],
    "cityscapes train ids": ["leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png", TRAIN_IDS],
}


@pytest.mark.parametrize("case", GOOD)
def test_what_can_be_paired_is_no_problem(make_files, tmp_path, case):
    make_files(GOOD[case])
    assert recognise(tmp_path)[1].problems == []


# What is added (+) to or taken (-) from a good set, and the problems that follow: path and words of the reason.
BAD = {
    "missing mask": ("parts first", "-masks/train/a.png", {"images/train/a.png": "has no mask"}),
    "missing image": (
        "parts first",
        "-images/train/a.png",
        {"images/train": "holds no", "masks/train/a.png": "no image"},
    ),
    "two images of one name": ("parts first", "+images/train/a.jpg", {"images/train/a.png": "same name as a.jpg"}),
    "two masks of one name": (
        "parts first",
        "+masks/train/a_mask.png",
        {"masks/train/a_mask.png": "same name as a.png"},
    ),
    "some test masks missing": ("splits first", "+test/images/c.png", {"test/images/c.png": "has no mask"}),
    "all validation masks missing": ("parts first", "-masks/val/b.png", {"images/val/b.png": "has no mask"}),
    "multilabel folder missing": ("multilabel", "+images/train/b.png", {"images/train/b.png": "has no mask"}),
    "a file among multilabel folders": ("multilabel", "+masks/train/x.png", {"masks/train": "has no image"}),
    "listed, not there": ("lists", "-images/a.png", {"train.txt": "names a, which is not among the images"}),
    "list leads out": ("lists", "+train.txt:a\n../secret\n", {"train.txt": "names ../secret"}),
    "list names an absolute path": ("lists", "+train.txt:a\n/etc/passwd\n", {"train.txt": "names /etc/passwd"}),
    "camvid mask missing": ("camvid", "-trainannot/a.png", {"train/a.png": "has no mask"}),
    "listed twice": (
        "lists",
        "+val.txt:a\n",
        {"val.txt": "names a, as train.txt does; keep it in one of them"},
    ),
    "field of view missing": ("lists", "+fov/a.png", {"images/b.png": "has no field of view in fov"}),
    "two fields of view of one name": (
        "field of view",
        "+fov/train/a.jpg",
        {"fov/train/a.png": "same name as a.jpg"},
    ),
    "listed in voc, not there": (
        "voc",
        "-JPEGImages/a.jpg",
        {"ImageSets/Segmentation/train.txt": "names a, which is not among the images"},
    ),
    "ade20k mask missing": ("ade20k", "-annotations/training/a.png", {"images/training/a.jpg": "has no mask"}),
    "coco_stuff image missing": (
        "coco_stuff",
        "+annotations/train2017/2.png",
        {"annotations/train2017/2.png": "has no image"},
    ),
    "cityscapes image missing": (
        "cityscapes train ids",
        f"+{TRAIN_IDS.replace('000019', '000020')}",
        {TRAIN_IDS.replace("000019", "000020"): "has no image"},
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_paired_is_a_problem(make_files, tmp_path, case):
    good, change, expected = BAD[case]
    make_files(GOOD[good])
    if change[0] == "+":
        make_files([change[1:]])
    else:
        (tmp_path / change[1:]).unlink()
    found = {p.path.relative_to(tmp_path).as_posix(): p.reason for p in recognise(tmp_path)[1].problems}
    assert found.keys() == expected.keys()
    assert all(words in found[path] for path, words in expected.items()), found


def test_images_may_be_links_to_elsewhere(save, tmp_path):
    elsewhere = save("store/blob.png", np.zeros((2, 3), np.uint8))
    for part in ("images", "masks"):
        (tmp_path / "set" / part / "train").mkdir(parents=True)
        (tmp_path / "set" / part / "train" / "a.png").symlink_to(elsewhere)
    _, listing = recognise(tmp_path / "set")
    assert [s.name for s in listing.splits["train"]] == ["a"] and not listing.problems
