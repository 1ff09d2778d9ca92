from dataclasses import replace

import numpy as np
import pytest

from sweepseg.data import check, open_dataset


def problems(root, severity="error"):
    return {
        (p.path.relative_to(root).as_posix(), p.reason)
        for p in check(open_dataset(root)).problems
        if p.severity == severity
    }


def test_a_good_set_has_no_problem(good_set):
    assert check(open_dataset(good_set)).problems == ()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# Each row of the fault list: what is done to the good set, and the one problem that follows: path and words.
FAULTS = {
    "38 size": (
        lambda save, root: save("masks/train/a.png", np.zeros((8, 6), np.uint8)),
        "masks/train/a.png",
        "mask a.png is 6x8 but its image is 8x6; resize one of them",
    ),
    "39 label": (
        lambda save, root: save("masks/val/c.png", np.full((6, 8), 7, np.uint8)),
        "masks/val/c.png",
        "7 (48 pixels); allowed are 0..2, 255",
    ),
    "40 missing mask": (
        lambda save, root: (root / "masks/train/a.png").unlink(),
        "images/train/a.png",
        "has no mask",
    ),
    "40 missing image": (
        lambda save, root: (root / "images/train/a.png").unlink(),
        "masks/train/a.png",
        "has no image",
    ),
    "40 duplicate stem": (
        lambda save, root: save("images/train/a.jpg", np.zeros((6, 8, 3), np.uint8)),
        "images/train/a.png",
        "same name as a.jpg",
    ),
    "41 JPEG mask": (
        lambda save, root: (
            (root / "masks/train/a.png").unlink() or save("masks/train/a.jpg", np.zeros((6, 8), np.uint8))
        ),
        "masks/train/a.jpg",
        "lossy",
    ),
    "42 colour mask": (
        lambda save, root: save("masks/train/a.png", np.full((6, 8, 3), (10, 20, 30), np.uint8)),
        "masks/train/a.png",
        "10, 20, 30",
    ),
    "field of view of another size": (
        lambda save, root: [
            save(
                path.relative_to(root).as_posix().replace("images", "fov"),
                np.ones((6, 8 - ("a" in path.stem)), np.uint8),
            )
            for path in root.glob("images/*/*")
        ],
        "fov/train/a.png",
        "is 7x6 but the mask is 8x6; resize one of them",
    ),
    "43 empty folder": (
        lambda save, root: [path.unlink() for path in root.glob("*/val/*")],
        "images/val",
        "holds no image",
    ),
    "2 cut image": (lambda save, root: cut(root / "images/train/a.png"), "images/train/a.png", ""),
    "2 cut mask": (lambda save, root: cut(root / "masks/train/a.png"), "masks/train/a.png", ""),
}


@pytest.mark.parametrize("row", FAULTS)
def test_every_fault_is_found_once_and_nothing_else(save, good_set, row):
    break_it, path, words = FAULTS[row]
    break_it(save, good_set)
    ((found_path, reason),) = problems(good_set)
    assert found_path == path and words in reason and "\n" not in reason


def test_all_faults_are_listed_at_once(save, good_set, picture, labels):
    for name in "efg":
        save(f"images/train/{name}.png", picture)
        save(f"masks/train/{name}.png", labels)
    save("masks/train/a.png", np.zeros((8, 6), np.uint8))
    save("masks/train/b.png", np.full((6, 8), 7, np.uint8))
    (good_set / "masks/train/e.png").unlink()
    cut(good_set / "images/train/f.png")
    cut(good_set / "images/train/g.png")
    save("masks/train/g.png", np.full((6, 8), 9, np.uint8))
    assert sorted(path for path, _ in problems(good_set)) == [
        *("images/train/e.png", "images/train/f.png", "images/train/g.png"),
        *("masks/train/a.png", "masks/train/b.png", "masks/train/g.png"),
    ]


def test_fault_of_a_multilabel_mask_names_its_file(save, tmp_path):
    save("images/train/a.png", np.zeros((1, 3), np.uint8))
    for name in ("border", "cell"):
        save(f"masks/train/a/{name}.png", np.array([[0, 1, 1]], np.uint8))
    assert problems(tmp_path) == set()
    save("masks/train/a/cell.png", np.array([[0, 1, 2]], np.uint8))
    ((path, reason),) = problems(tmp_path)
    assert path == "masks/train/a/cell.png" and "2 (1 pixels)" in reason


def test_absent_classes_and_all_ignored_masks_are_warnings(save, good_set, labels):
    save("masks/test/d.png", np.where(labels == 2, 0, labels).astype(np.uint8))
    save("masks/train/a.png", np.full((6, 8), 255, np.uint8))
    assert problems(good_set) == set()
    assert problems(good_set, "warning") == {
        (".", "the class tree has no pixel in test"),
        ("masks/train/a.png", "every pixel is ignored, so nothing is learned from it"),
    }


def test_withheld_test_masks_are_no_problem(good_set):
    (good_set / "masks/test/d.png").unlink()
    report = check(open_dataset(good_set))
    assert report.problems == () and report.splits["test"].annotated == 0


def test_statistics_count_what_is_there(save, good_set, labels):
    save("images/train/a.png", np.zeros((6, 8), np.uint16))
    part = check(open_dataset(good_set)).splits["train"]
    assert (part.samples, part.annotated) == (2, 2)
    assert (dict(part.sizes), dict(part.channels)) == ({(8, 6): 2}, {1: 1, 3: 1})
    assert dict(part.dtypes) == {"uint16": 1, "uint8": 1}
    values = 2 * labels.ravel().tolist()
    assert part.class_pixels.tolist() == [values.count(label) for label in range(3)]
    assert part.ignored == values.count(255)
    np.testing.assert_allclose(part.class_shares, part.class_pixels / (len(values) - values.count(255)))


def test_the_printed_report_tells_classes_shares_and_every_problem_in_a_line_each(save, good_set):
    save("masks/val/c.png", np.full((6, 8), 7, np.uint8))
    (good_set / "images/train/a.png").rename(good_set / "images/train/a\n\x1b[31m.png")
    report = check(open_dataset(good_set))
    lines = str(report).splitlines()
    assert "multiclass, 3 classes" in lines[0]
    assert sum(line.startswith("error: ") for line in lines) == len(report.errors) == 3
    assert any("tree" in line and "%" in line for line in lines) and "\x1b" not in str(report)


def test_a_float_image_outside_of_its_range_is_a_problem(save, good_set):
    (good_set / "images/train/a.png").unlink()
    save("images/train/a.tif", np.full((6, 8), 2000, np.float32))
    ((path, reason),) = problems(good_set)
    assert path == "images/train/a.tif" and "2000" in reason
    assert check(replace(open_dataset(good_set), input_range=(0, 4000))).problems == ()


def test_progress_is_handed_the_samples_of_each_split(good_set):
    seen = []
    check(open_dataset(good_set), progress=lambda samples: seen.append([s.name for s in samples]) or samples)
    assert seen == [["a", "b"], ["c"], ["d"]]


def test_no_shares_are_printed_where_masks_are_withheld(good_set):
    (good_set / "masks/test/d.png").unlink()
    lines = str(check(open_dataset(good_set))).splitlines()
    test = lines[next(i for i, line in enumerate(lines) if line.startswith("test:")) :]
    assert any("tree" in line for line in lines) and not any("tree" in line for line in test)
