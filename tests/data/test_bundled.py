import numpy as np
from PIL import Image

from sweepseg.data import check, nuclei_sample


def test_nuclei_sample_is_small_whole_and_of_several_kinds():
    dataset = nuclei_sample()
    report = check(dataset)
    assert report.problems == ()
    assert (dataset.task, dataset.classes) == ("binary", ("background", "nucleus"))
    assert {split: part.annotated for split, part in report.splits.items()} == {"train": 24, "val": 4, "test": 12}
    assert all(part.channels.keys() == {1, 3} for part in report.splits.values())
    assert all(0.05 < part.class_shares[1] < 0.5 for part in report.splits.values())
    assert sum(path.stat().st_size for path in dataset.root.rglob("*")) < 2_000_000


def test_instances_are_numbered_and_cover_the_mask():
    dataset = nuclei_sample()
    for split, samples in dataset.splits.items():
        for sample in samples:
            instances = np.asarray(Image.open(dataset.root / "instances" / split / f"{sample.name}.png"))
            mask = np.asarray(Image.open(sample.mask))
            np.testing.assert_array_equal(instances > 0, mask == 1)
            np.testing.assert_array_equal(np.unique(instances[instances > 0]), np.arange(1, instances.max() + 1))


def test_no_picture_is_in_both_splits():
    pictures = {
        split: {np.asarray(Image.open(sample.image)).tobytes() for sample in samples}
        for split, samples in nuclei_sample().splits.items()
    }
    assert not pictures["train"] & pictures["test"]


def test_notice_names_origin_and_licence():
    notice = (nuclei_sample().root / "NOTICE").read_text()
    assert all(word in notice for word in ("CC0", "BBBC038", "Caicedo", "Changed"))
