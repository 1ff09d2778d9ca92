from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sweepseg.data import bundled, check, digit_glyphs, digit_lines, digit_sample, nuclei_sample, open_by_name
from sweepseg.data.digit_scenes import NAMES, glyphs, line, scene
from sweepseg.data.digit_sentences import described
from sweepseg.data.pairs import read_target
from sweepseg.errors import OutputError, UsageError
from sweepseg.inference.segment import segment
from sweepseg.training.fit import train
from sweepseg.training.settings import Settings


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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder for caches of its own, and few digit scenes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(bundled, "SCENES", {"train": 12, "val": 1, "test": 1})
    return tmp_path / "cache" / "sweepseg"


def test_digit_sample_holds_the_scenes_as_files_in_the_default_layout(cache):
    dataset = digit_sample()
    assert (dataset.task, dataset.classes) == ("multiclass", ("background", *NAMES))
    assert not check(dataset).errors and dataset.root.parent == cache
    for split, samples in dataset.splits.items():
        for index, sample in enumerate(samples):
            made = scene(0, split, index)
            files = (sample.image, sample.mask, dataset.root / "instances" / split / f"{sample.name}.png")
            for file, pixels in zip(files, (made.image, made.mask, made.instances), strict=True):
                np.testing.assert_array_equal(np.asarray(Image.open(file)), pixels)
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 12, "val": 1, "test": 1}
    assert sum(path.stat().st_size for path in dataset.root.rglob("*.png")) / 14 * 550 < 7_000_000
    assert "CC BY 4.0" in (dataset.root / "NOTICE").read_text()


def test_digit_sample_is_written_once_and_opens_by_name(cache, monkeypatch):
    dataset = open_by_name("digits")
    monkeypatch.setattr(bundled, "write_scenes", lambda *_: pytest.fail("written again"))
    assert open_by_name("digits") == digit_sample() == dataset
    with pytest.raises(UsageError, match="has 11 classes; binary takes two"):
        open_by_name("digits", task="binary")


def test_an_interrupted_write_leaves_nothing_behind(cache, monkeypatch):
    def stop(seed, split, index):
        if index == 3:
            raise KeyboardInterrupt
        return scene(seed, split, index)

    with monkeypatch.context() as patch:
        patch.setattr(bundled, "scene", stop)
        with pytest.raises(KeyboardInterrupt):
            digit_sample()
    assert not [*cache.iterdir()]
    assert len(digit_sample().splits["train"]) == 12 and len([*cache.iterdir()]) == 1


def test_the_scenes_of_a_faster_process_are_taken(cache, monkeypatch):
    write = bundled.write_scenes

    def late(folder, counts):
        write(folder, counts)
        write(cache / f"digits-{bundled.EDITION}", counts)

    monkeypatch.setattr(bundled, "write_scenes", late)
    assert not check(digit_sample()).errors and len([*cache.iterdir()]) == 1


def test_a_place_that_cannot_be_written_is_named_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=f"{tmp_path}/file.*; name a folder for digits in XDG_CACHE_HOME"):
        open_by_name("digits")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(OutputError, match="no home; name a folder"):
        open_by_name("digits")


def test_a_short_training_finds_digits_that_it_never_saw(cache, tmp_path, monkeypatch):
    """The majority class finds none, which is an IoU of 0."""
    monkeypatch.setattr(bundled, "SCENES", {"train": 64, "test": 12})
    options = {"steps": 30, "batch_size": 4, "ema": 0.9, "flip": False, "scale": (0.9, 1.1), "colour": 0.2}
    model = train(Settings(data="digits", output=str(tmp_path / "run"), **options)).model
    both = either = 0
    for sample in digit_sample().splits["test"]:
        found, drawn = segment(model, sample.image).mask > 0, np.asarray(Image.open(sample.mask)) > 0
        both, either = both + (found & drawn).sum(), either + (found | drawn).sum()
    assert both / either > 0.4


def test_the_notice_of_the_digits_names_origin_and_licence():
    notice = (Path(bundled.__file__).parent / "digits" / "NOTICE").read_text()
    assert all(word in notice for word in ("CC BY 4.0", "10.24432/C50P49", "Alpaydin", "Kaynak", "Changed"))
    assert (Path(bundled.__file__).parent / "digits" / "glyphs.png").stat().st_size < 100_000


def test_digit_lines_hold_the_lines_with_what_they_read(cache, monkeypatch):
    monkeypatch.setattr(bundled, "LINES", {"train": 9, "val": 2, "test": 2})
    dataset = digit_lines()
    assert (dataset.task, "".join(dataset.classes)) == ("sequence", "0123456789") and not check(dataset).errors
    for split, samples in dataset.splits.items():
        for index, sample in enumerate(samples):
            made = line(0, split, index)
            assert sample.text == made.text
            np.testing.assert_array_equal(np.asarray(Image.open(sample.image)), made.image)
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 9, "val": 2, "test": 2}
    assert open_by_name("digit_lines") == dataset and "CC BY 4.0" in (dataset.root / "NOTICE").read_text()


def test_digit_sentences_hold_scenes_and_what_is_true_of_them(cache, monkeypatch):
    monkeypatch.setattr(bundled, "DESCRIBED", {"train": 5, "val": 1, "test": 2})
    dataset = open_by_name("digits", task="referring")
    assert (dataset.task, dataset.layout) == ("referring", "sentences") and not check(dataset).errors
    for split, samples in dataset.splits.items():
        made = [one for index in range(bundled.DESCRIBED[split]) for one in described(0, split, index, bundled.SAID)]
        assert [sample.sentence for sample in samples] == [str(one.sentence) for one in made]
        for sample, one in zip(samples, made, strict=True):
            np.testing.assert_array_equal(np.asarray(Image.open(sample.image)), one.scene.image)
            np.testing.assert_array_equal(read_target(dataset, sample), one.mask)
    assert open_by_name("digit_sentences") == dataset and "CC BY 4.0" in (dataset.root / "NOTICE").read_text()


def test_digit_glyphs_hold_each_glyph_in_the_folder_of_its_class(cache):
    dataset = digit_glyphs()
    assert (dataset.task, dataset.classes) == ("classification", NAMES) and not dataset.problems
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {
        "train": 1200,
        "val": 200,
        "test": 397,
    }
    sample = next(sample for sample in dataset.splits["val"] if sample.name == "seven/003")
    pixels, glyph = np.asarray(Image.open(sample.image)), glyphs("val")[7][3]
    assert pixels.shape == (28, 28) and sample.text == "seven"
    middles = (np.arange(8) * 3.5 + 1.75).astype(int)  # of the glyph's pixels, enlarged 3.5 times
    assert np.corrcoef(pixels[np.ix_(middles, middles)].ravel(), glyph.ravel())[0, 1] > 0.95
