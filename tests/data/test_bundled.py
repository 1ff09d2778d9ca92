import numpy as np
import pytest
from PIL import Image

from sweepseg.data import check, nuclei_sample, open_by_name
from sweepseg.errors import UsageError


def test_nuclei_sample_is_small_whole_and_of_several_kinds():
    dataset = nuclei_sample()
    report = check(dataset)
    assert report.problems == ()
    assert (dataset.task, dataset.classes) == ("binary", ("background", "nucleus"))
    assert {split: part.annotated for split, part in report.splits.items()} == {"train": 24, "val": 4, "test": 12}
    assert all(part.channels.keys() == {1, 3} for part in report.splits.values())
    assert all(0.05 < part.class_shares[1] < 0.5 for part in report.splits.values())
    assert sum(path.stat().st_size for path in dataset.root.rglob("*")) < 2_000_000


def test_open_by_name_takes_a_folder_or_the_name_of_the_sample(tmp_path):
    sample = nuclei_sample()
    assert open_by_name("nuclei") == open_by_name(str(sample.root)) == sample
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=str(tmp_path)):
        open_by_name(str(tmp_path))


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
