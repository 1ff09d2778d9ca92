import hashlib
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from inference.models import model, told_model
from inference.outputs import SIZES, contents, report
from PIL import Image

from sweepseg.errors import OutputError, UsageError
from sweepseg.inference import predict as module
from sweepseg.inference.predict import predict
from sweepseg.inference.segment import segment


def test_masks_keep_path_stem_and_size_and_hold_what_segment_says(binary, images, tmp_path):
    result = predict(images, binary, tmp_path / "out", overlay=True, probs=True)
    assert (len(result.done), result.exit_code) == (len(SIZES), 0)
    for path in images.rglob("*.png"):
        stem = tmp_path / "out" / path.relative_to(images).with_suffix("")
        mask, want = Image.open(f"{stem}.png"), segment(binary, path)
        assert mask.mode == "P" and mask.size == SIZES[path.stem][::-1]
        np.testing.assert_array_equal(np.asarray(mask), want.mask)
        np.testing.assert_array_equal(np.asarray(Image.open(f"{stem}.overlay.png")), want.overlay())
        np.testing.assert_array_equal(np.load(f"{stem}.probs.npz")["probabilities"], want.probabilities.astype("f2"))
    assert len(contents(tmp_path / "out")) == 3 * len(SIZES)


def test_report_says_what_became_of_every_input(binary, images, tmp_path):
    (images / "bad.png").write_text("no image")
    predict(images, binary, tmp_path / "out")
    rows = {Path(row["input"]).stem: row for row in report(tmp_path / "out")}
    assert rows.keys() == {*SIZES, "bad"}
    good = rows["prime"]
    assert (good["status"], good["height"], good["width"]) == ("done", 97, 131)
    assert good["sha256"] == hashlib.sha256(Path(good["input"]).read_bytes()).hexdigest()
    assert rows["bad"]["status"] == "failed" and "not an image" in rows["bad"]["reason"]


@pytest.mark.parametrize("order", [reversed, lambda found: found[3:] + found[:3]])
def test_outputs_do_not_depend_on_order_or_companions(binary, images, tmp_path, order):
    predict(images, binary, tmp_path / "all", probs=True)
    predict(images, binary, tmp_path / "ordered", probs=True, progress=lambda found: list(order(found)))
    assert contents(tmp_path / "ordered") == contents(tmp_path / "all")
    predict(images / "prime.png", binary, tmp_path / "alone", probs=True)
    assert contents(tmp_path / "alone").items() <= contents(tmp_path / "all").items()


def test_one_image_many_times_has_one_mask(binary, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (31, 37, 3), np.uint8)).save(source / "0.png")
    for i in range(1, 40):
        shutil.copy(source / "0.png", source / f"{i}.png")
    predict(source, binary, tmp_path / "out", probs=True)
    written = contents(tmp_path / "out")
    assert len(written) == 80
    assert len({data for name, data in written.items() if name.endswith("g")}) == 1
    probabilities = {np.load(path)["probabilities"].tobytes() for path in (tmp_path / "out").glob("*.npz")}
    assert len(probabilities) == 1


def test_multilabel_masks_are_a_file_for_each_class(images, tmp_path):
    predict(images, model("multilabel", 2), tmp_path / "out")
    names = {str(path.relative_to(images).with_suffix("")) for path in images.rglob("*.png")}
    assert contents(tmp_path / "out").keys() == {f"{name}/class{i}.png" for name in names for i in (0, 1)}


def test_grey_and_colour_suit_either_model(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("L", (5, 7), 90).save(tmp_path / "in" / "grey.png")
    Image.new("RGB", (5, 7), (90, 80, 70)).save(tmp_path / "in" / "colour.png")
    for channels in (1, 3):
        assert predict(tmp_path / "in", model(channels=channels), tmp_path / f"{channels}").exit_code == 0


def test_bad_inputs_cost_one_line_each_and_the_others_are_done(binary, images, tmp_path):
    (images / "empty.png").touch()
    (images / "cut.png").write_bytes((images / "prime.png").read_bytes()[:300])
    (images / ("n" * 251 + ".png")).write_bytes((images / "prime.png").read_bytes())
    os.mkfifo(images / "pipe.png")
    (images / "dangling.png").symlink_to("nowhere.png")
    lines: list[str] = []
    result = predict(images, binary, tmp_path / "out", say=lines.append, overlay=True)
    assert (len(result.done), len(result.failed), result.exit_code) == (len(SIZES), 5, 3)
    assert [line.partition(": ")[0] for line in lines] == [str(error.path) for error in result.failed]
    assert not any("\n" in line for line in lines)
    assert any("too long" in line and str(images) in line for line in lines)


def test_all_failed_is_told_from_some_failed(binary, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    assert predict(tmp_path / "bad.png", binary, tmp_path / "out").exit_code == 4


def test_odd_names_give_masks_and_a_report_that_parses(binary, tmp_path):
    names = [
        b"a b",
        "\u00fcml\u00e4ut".encode(),
        "\U0001f600".encode(),
        b"line\nbreak",
        b"-x",
        b"%s",
        b";rm",
        b"\x1b[31m",
        b"\xff",
    ]
    source = os.fsencode(tmp_path / "in")
    os.mkdir(source)
    Image.new("L", (3, 3)).save(tmp_path / "x.png")
    for name in names:
        shutil.copy(os.fsencode(tmp_path / "x.png"), os.path.join(source, name + b".png"))
    (tmp_path / "in" / "\x1b]0;bad\n.png").write_text("no image")
    lines: list[str] = []
    result = predict(tmp_path / "in", binary, tmp_path / "out", say=lines.append)
    assert len(result.done) == len(names)
    assert {os.fsencode(name) for name in contents(tmp_path / "out")} == {name + b".png" for name in names}
    assert len(lines) == 1 and lines[0].isprintable()
    inputs = {os.fsencode(row["input"]) for row in report(tmp_path / "out")}
    assert {os.path.basename(name) for name in inputs} >= {name + b".png" for name in names}


def test_skip_existing_does_only_what_is_missing(binary, images, tmp_path):
    predict(images, binary, tmp_path / "out", overlay=True)
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / "prime.png").unlink()
    (tmp_path / "out" / "one.overlay.png").unlink()
    result = predict(images, binary, tmp_path / "out", overlay=True, skip_existing=True)
    assert {path.stem for path in result.done} == {"prime", "one"}
    assert len(result.skipped) == len(SIZES) - 2
    assert contents(tmp_path / "out") == whole
    assert {row["status"] for row in report(tmp_path / "out")} == {"done", "skipped"}


def test_skip_existing_takes_names_that_are_too_long_for_an_output(binary, images, tmp_path):
    (images / ("n" * 251 + ".png")).write_bytes((images / "prime.png").read_bytes())
    assert predict(images, binary, tmp_path / "out", overlay=True, skip_existing=True).exit_code == 3


@pytest.mark.parametrize(
    ("arrange", "source", "output"),
    [
        (lambda root: None, "in", "in/out"),
        (lambda root: (root / "link").symlink_to(root / "in"), "in", "link/out"),
        (lambda root: None, "in/prime.png", "in"),
        (lambda root: shutil.copy(root / "in/prime.png", root / "in/prime.jpg"), "in", "out"),
        (lambda root: shutil.copy(root / "in/prime.png", root / "in/prime.overlay.png"), "in", "out"),
    ],
    ids=["inside", "inside by a link", "onto the input", "stem twice", "overlay and mask"],
)
def test_overwriting_an_input_or_output_is_refused_before_the_start(
    binary, images, tmp_path, monkeypatch, arrange, source, output
):
    arrange(tmp_path)
    before = contents(tmp_path)
    monkeypatch.setattr(module, "segment", None)  # not reached
    with pytest.raises(UsageError, match=r"another --output"):
        predict(tmp_path / source, binary, tmp_path / output, overlay=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("taken", ["out", "out/sub"])
def test_output_that_is_a_file_stops_before_any_inference(binary, images, tmp_path, monkeypatch, taken):
    (tmp_path / "out").touch()
    segmented: list[np.ndarray] = []
    monkeypatch.setattr(module, "segment", lambda segmenter, image: segmented.append(image))
    with pytest.raises(OutputError):
        predict(images, binary, tmp_path / taken)
    assert segmented == []


def test_full_disk_stops_the_run_and_leaves_earlier_masks_whole(binary, images, tmp_path):
    predict(images, binary, tmp_path / "out")
    before = contents(tmp_path / "out")
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, allowed[1]))  # bytes in one file
    try:
        with pytest.raises(OutputError, match="too large"):
            predict(images, binary, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 1 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_image_that_does_not_fit_into_memory_is_refused_and_the_run_goes_on(
    binary, images, tmp_path, monkeypatch, error
):
    def out_of_memory_at_primes(segmenter, image, text):
        if image.shape[0] == 97:
            raise error
        return segment(segmenter, image, text)

    monkeypatch.setattr(module, "segment", out_of_memory_at_primes)
    result = predict(images, binary, tmp_path / "out")
    assert len(result.done) == len(SIZES) - 1
    assert [error.reason for error in result.failed] == [
        "131x97 pixels are too large for memory; cut the image into parts"
    ]


def test_defect_of_ours_is_not_taken_for_a_bad_input(binary, images, tmp_path, monkeypatch):
    def defective(segmenter, image, text):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(module, "segment", defective)
    with pytest.raises(RuntimeError, match="mat1"):
        predict(images, binary, tmp_path / "out")


def test_nan_logits_are_a_failed_input(images, tmp_path):
    broken = model()
    with torch.no_grad():
        broken.network.stages["head"].module.project.bias.fill_(torch.nan)
    result = predict(images, broken, tmp_path / "out")
    assert result.exit_code == 4 and "non-finite" in result.failed[0].reason
    assert contents(tmp_path / "out") == {}


def test_geotiffs_need_their_package(binary, images, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "sweepseg\[geo\]"'):
        predict(images, binary, tmp_path / "out", geotiff=True)
    assert predict(images, binary, tmp_path / "out").exit_code == 0


def test_interrupted_run_reports_what_was_done(binary, images, tmp_path):
    def interrupted(found):
        yield from found[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(images, binary, tmp_path / "out", progress=interrupted)
    assert len(report(tmp_path / "out")) == len(contents(tmp_path / "out")) == 2


def test_stages_of_a_large_image_are_told(binary, images, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 97 * 131 - 1)
    told: list[tuple] = []
    predict(images, binary, tmp_path / "out", listen=lambda *steps: told.append(steps))
    stages = len(binary.network.stages)
    assert told == [("prime.png", done, stages) for done in range(1, stages + 1)]
    segment(binary, images / "prime.png")
    assert len(told) == stages


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": 0}, "tile is 0; give at least 1"),
        ({"tile": 64, "overlap": 0.95}, "overlap is 0.95; give 0 to 0.9"),
        ({"tile": 64, "probs": True}, "leave out --probs or --tile"),
    ],
)
def test_tiles_that_cannot_be_had_are_refused_before_the_start(options, words, binary, images, tmp_path):
    with pytest.raises(UsageError, match=words):
        predict(images, binary, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def for_volumes():
    return model("multiclass", 3, channels=1, builder="sweepnet_volume_small")


@pytest.fixture
def volumes(tmp_path):
    """Two volumes that lie oddly, one in a subfolder, one image and one file that is neither."""
    nibabel = pytest.importorskip("nibabel")
    affine = np.array([[0, -1.5, 0, 9], [0, 0, -2, 4], [3, 0, 0, -7], [0, 0, 0, 1]])
    random = np.random.default_rng(0)
    for name, shape in (("a.nii.gz", (6, 9, 11)), ("deep/b.nii", (7, 5, 13))):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.Nifti1Image(random.normal(300, 80, shape).astype(np.float32), affine).to_filename(path)
    return tmp_path / "in"


def test_volumes_become_labels_at_their_place(for_volumes, volumes, tmp_path):
    import nibabel

    Image.new("RGB", (8, 8)).save(volumes / "picture.png")
    (volumes / "bad.nii.gz").write_text("no volume")
    said = []
    result = predict(volumes, for_volumes, tmp_path / "out", probs=True, say=said.append)
    assert (len(result.done), len(result.failed), result.exit_code) == (2, 2, 3)
    assert "bad.nii.gz: not a NIfTI file" in said[0] and "picture.png: not a volume" in said[1]
    for name, shape in (("a.nii.gz", (6, 9, 11)), ("deep/b.nii", (7, 5, 13))):
        source = nibabel.load(volumes / name)
        labels = nibabel.load(tmp_path / "out" / f"{name.removesuffix('.gz')}.gz")
        assert labels.shape == shape and np.array_equal(labels.affine, source.affine)
        canonical = nibabel.as_closest_canonical(source).get_fdata(dtype=np.float32).T
        x = torch.from_numpy((canonical - canonical.mean()) / canonical.std())[None, None]
        with torch.no_grad():
            wanted = for_volumes.network((x - 0.5) / 0.25).argmax(1)[0].numpy()
        found = nibabel.as_closest_canonical(labels).get_fdata().T
        assert (found == wanted).mean() > 0.999 and len(np.unique(found)) == 3
        stem = tmp_path / "out" / name.removesuffix(".gz").removesuffix(".nii")
        assert np.load(f"{stem}.probs.npz")["probabilities"].shape == (3, *canonical.shape)
    rows = {Path(row["input"]).name: row for row in report(tmp_path / "out")}
    assert (rows["a.nii.gz"]["width"], rows["a.nii.gz"]["height"], rows["a.nii.gz"]["depth"]) == (9, 11, 6)


def test_a_volume_for_a_model_for_images_costs_a_line(binary, volumes, tmp_path):
    result = predict(volumes / "a.nii.gz", binary, tmp_path / "out")
    assert "is a volume, but sweepnet_small takes images; use a model for volumes" in str(result.failed[0])
    assert result.exit_code == 4


def test_a_volume_that_does_not_fit_the_memory_costs_a_line(for_volumes, volumes, tmp_path):
    result = predict(volumes / "a.nii.gz", for_volumes, tmp_path / "out", memory=372_500_000)
    assert "6x9x11 voxels are too large for memory" in str(result.failed[0])


@pytest.mark.parametrize("option", [{"overlay": True}, {"geotiff": True}, {"tile": 64}])
def test_what_volumes_do_not_have_is_refused_before_any_work(for_volumes, volumes, tmp_path, option):
    if "geotiff" in option:
        pytest.importorskip("rasterio")
    with pytest.raises(UsageError, match="volumes are segmented whole into NIfTI labels; leave out"):
        predict(volumes, for_volumes, tmp_path / "out", **option)


def test_masks_of_a_sentence_are_those_of_segment_and_unknown_words_are_named_once(images, tmp_path):
    told, lines = told_model(), []
    result = predict(images, told, tmp_path / "out", text="the red hat", overlay=True, say=lines.append)
    assert len(result.done) == len(SIZES) and lines == ["the model does not know the word 'the' and passes over it"]
    for path in images.rglob("*.png"):
        stem = tmp_path / "out" / path.relative_to(images).with_suffix("")
        want = segment(told, path, "the red hat")
        np.testing.assert_array_equal(np.asarray(Image.open(f"{stem}.png")), want.mask)
        np.testing.assert_array_equal(np.asarray(Image.open(f"{stem}.overlay.png")), want.overlay())


@pytest.mark.parametrize(
    ("make", "text", "words"),
    [
        (told_model, None, "say it with --text"),
        (told_model, "blue", "known are hat, red"),
        (model, "hat", "leave it out"),
    ],
)
def test_a_text_that_is_missing_or_not_wanted_is_refused_before_anything_is_written(
    images, tmp_path, make, text, words
):
    with pytest.raises(UsageError, match=words):
        predict(images, make(), tmp_path / "out", text=text)
    assert not (tmp_path / "out").exists()
