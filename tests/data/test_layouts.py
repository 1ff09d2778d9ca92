from pathlib import Path

import numpy as np
import pytest

from sweepseg.data.layouts import CITYSCAPES, LAYOUTS, recognise
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
}


def make(save, files):
    """Save a small picture under each path; `path:text` is a text file."""
    for file in files:
        name, _, text = file.partition(":")
        save(name, text or np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize("case", GOOD)
def test_layouts_are_recognised_and_paired(save, tmp_path, case):
    files, layout, expected = GOOD[case]
    make(save, files)
    found, listing = recognise(tmp_path)
    masks = {
        split: {s.name: s.mask and s.mask.relative_to(tmp_path).as_posix() for s in samples}
        for split, samples in listing.splits.items()
    }
    assert (found, masks, listing.problems) == (layout, expected, [])
    assert all(s.image.is_file() for samples in listing.splits.values() for s in samples)


def test_every_layout_has_a_good_case():
    assert {layout for _, layout, _ in GOOD.values()} == LAYOUTS.keys()


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
    "cityscapes image missing": (
        "cityscapes train ids",
        f"+{TRAIN_IDS.replace('000019', '000020')}",
        {TRAIN_IDS.replace("000019", "000020"): "has no image"},
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_paired_is_a_problem(save, tmp_path, case):
    good, change, expected = BAD[case]
    make(save, GOOD[good][0])
    if change[0] == "+":
        make(save, [change[1:]])
    else:
        (tmp_path / change[1:]).unlink()
    found = {p.path.relative_to(tmp_path).as_posix(): p.reason for p in recognise(tmp_path)[1].problems}
    assert found.keys() == expected.keys()
    assert all(words in found[path] for path, words in expected.items()), found


@pytest.mark.parametrize("files", [[], ["a.png"], ["images/a.png", "masks/a.png"], ["train/a.png", "train.txt:a"]])
def test_a_folder_in_no_layout_is_refused_with_all_that_was_looked_for(save, tmp_path, files):
    make(save, files)
    with pytest.raises(UsageError) as refusal:
        recognise(tmp_path)
    assert all(f"{name}: {layout.looks_for}" in str(refusal.value) for name, layout in LAYOUTS.items())


def test_images_may_be_links_to_elsewhere(save, tmp_path):
    elsewhere = save("store/blob.png", np.zeros((2, 3), np.uint8))
    for part in ("images", "masks"):
        (tmp_path / "set" / part / "train").mkdir(parents=True)
        (tmp_path / "set" / part / "train" / "a.png").symlink_to(elsewhere)
    _, listing = recognise(tmp_path / "set")
    assert [s.name for s in listing.splits["train"]] == ["a"] and not listing.problems


def test_camvid_beside_the_checkout_is_the_published_split(shared):
    layout, listing = recognise(shared("camvid"))
    assert layout == "camvid"
    assert {split: len(samples) for split, samples in listing.splits.items()} == {"train": 367, "val": 101, "test": 233}
    assert all(isinstance(s.mask, Path) for split in ("train", "val") for s in listing.splits[split])
    assert all(s.mask is None for s in listing.splits["test"]) and not listing.problems


def test_cityscapes_has_the_official_ids():
    assert [label_id for _, label_id, _ in CITYSCAPES] == sorted({*range(7, 34)} - {9, 10, 14, 15, 16, 18, 29, 30})
