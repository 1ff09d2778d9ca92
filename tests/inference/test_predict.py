import hashlib
import json
import os
import re
import resource
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import tifffile
import torch
import zarr
from inference.models import model
from PIL import Image
from rasterio import Affine

from sweepseg.errors import OutputError, UsageError
from sweepseg.inference import predict as module
from sweepseg.inference.memory import plan as real_plan
from sweepseg.inference.predict import predict
from sweepseg.inference.segment import segment
from sweepseg.inference.windows import segment_windows
from sweepseg.orders import hilbert

SIZES = {"one": (1, 1), "row": (1, 29), "column": (31, 1), "small": (2, 3), "prime": (97, 131), "even": (64, 48)}


@pytest.fixture(scope="module")
def binary():
    return model()


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of images of all kinds of sizes, two of them in subfolders."""
    random = np.random.default_rng(0)
    for i, (name, size) in enumerate(SIZES.items()):
        path = tmp_path / "in" / ("deep/er" if i % 3 == 2 else "") / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return tmp_path / "in"


def contents(folder: Path) -> dict[str, bytes]:
    """Every output file but the report."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "report.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def report(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]


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
    def out_of_memory_at_primes(segmenter, image):
        if image.shape[0] == 97:
            raise error
        return segment(segmenter, image)

    monkeypatch.setattr(module, "segment", out_of_memory_at_primes)
    result = predict(images, binary, tmp_path / "out")
    assert len(result.done) == len(SIZES) - 1
    assert [error.reason for error in result.failed] == [
        "131x97 pixels are too large for memory; cut the image into parts"
    ]


def test_defect_of_ours_is_not_taken_for_a_bad_input(binary, images, tmp_path, monkeypatch):
    def defective(segmenter, image):
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


# Images that do not fit in memory


@pytest.fixture
def small_parts(monkeypatch) -> None:
    """Images of more than 50 pixels count as too large for memory, and are cut into small parts."""

    def plan(model, image, memory, *, written):
        return replace(real_plan(model, image, memory, written=written), window=32, strip=32)

    monkeypatch.setattr(module, "max_pixels", lambda model, memory: 50)
    monkeypatch.setattr(module, "plan", plan)


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.asarray(Image.open(folder / name)) for name in contents(folder)}


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_parts_give_the_masks_of_whole_images(task, images, tmp_path, request):
    segmenter = model(task, 2 if task == "binary" else 3)
    tifffile.imwrite(images / "tiff.tif", np.asarray(Image.open(images / "prime.png")), tile=(16, 16))
    predict(images, segmenter, tmp_path / "whole", overlay=True, geotiff=True)
    request.getfixturevalue("small_parts")
    notes: list[str] = []
    result = predict(images, segmenter, tmp_path / "parts", overlay=True, geotiff=True, note=notes.append)
    assert result.exit_code == 0
    whole, parts = pixels(tmp_path / "whole"), pixels(tmp_path / "parts")
    assert whole.keys() == parts.keys() and len(whole) >= 3 * (len(SIZES) + 1)
    for name, mask in whole.items():
        np.testing.assert_array_equal(parts[name], mask, err_msg=name)
    rows = {Path(row["input"]).stem: row for row in report(tmp_path / "parts")}
    assert {name for name, row in rows.items() if row["mode"] == "in memory"} == {"one", "row", "column", "small"}
    assert {row["mode"] for row in report(tmp_path / "whole")} == {"in memory"}
    assert (rows["prime"]["height"], rows["prime"]["width"], rows["prime"]["status"]) == (97, 131, "done")
    assert rows["prime"]["temporary_bytes"] > rows["tiff"]["temporary_bytes"] > 97 * 131  # a PNG is copied
    assert len(notes) == 3 and all("bytes a pixel" in note for note in notes)


def test_georeference_is_kept_whole_and_in_parts(binary, tmp_path, request):
    place = {"crs": "EPSG:32633", "transform": Affine(2, 0, 500_000, 0, -3, 5_000_000), "nodata": 0}
    data = np.random.default_rng(0).integers(0, 256, (3, 70, 90), np.uint8)
    size = {"height": 70, "width": 90, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "x.tif", "w", driver="GTiff", **size, **place) as file:
        file.write(data)
    for folder in ("whole", "parts"):
        predict(tmp_path / "x.tif", binary, tmp_path / folder, geotiff=True)
        with rasterio.open(tmp_path / folder / "x.tif") as file:
            assert (file.crs, file.transform, file.nodata) == tuple(place.values())
            assert np.array_equal(file.read(1), np.asarray(Image.open(tmp_path / folder / "x.png")))
        request.getfixturevalue("small_parts")
    assert [row["mode"] for row in report(tmp_path / "parts")] == ["out of core"]


def test_zarr_folders_are_segmented(binary, images, tmp_path, small_parts):
    whole = np.asarray(Image.open(images / "prime.png"))
    folder = tmp_path / "in" / "deep" / "x.zarr"
    zarr.create_array(folder, shape=whole.shape, dtype="u1", chunks=(32, 32, 3))[...] = whole
    assert predict(images, binary, tmp_path / "out").exit_code == 0
    mask = np.asarray(Image.open(tmp_path / "out" / "deep" / "x.png"))
    np.testing.assert_array_equal(mask, segment(binary, whole).mask)


def test_what_cannot_be_done_in_parts_is_one_line(binary, images, tmp_path, small_parts):
    shutil.copy(images / "prime.png", tmp_path / "prime.png")
    Image.new("RGB", (60, 60)).save(tmp_path / "x.bmp")
    hilbert_model = model()
    hilbert_model.network.stages["context16_0"].module.mixer.sweeps.sweeps[0].order = hilbert
    for name, segmenter, options, reason in (
        ("x.bmp", binary, {}, "60x60 pixels are too large for memory, and BMP images cannot be read in parts; save"),
        ("prime.png", binary, {"probs": True}, "too large for memory, .*leave out --probs"),
        ("prime.png", binary, {"memory": 400_000_000}, "too large for memory: 131x97 pixels take 4.. MB even"),
        (
            "prime.png",
            hilbert_model,
            {},
            "too large for memory: SweepNet has sweeps in context16_0 that",
        ),
    ):
        lines: list[str] = []
        result = predict(tmp_path / name, segmenter, tmp_path / "out", say=lines.append, **options)
        assert result.exit_code == 4 and len(lines) == 1
        assert re.match(reason, result.failed[0].reason)
        assert contents(tmp_path / "out") == {}


def test_disk_that_would_not_hold_the_temporary_files_stops_before_any_work(
    binary, images, tmp_path, small_parts, monkeypatch
):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    monkeypatch.setattr(module, "segment_windows", None)  # not reached
    with pytest.raises(OutputError, match=r"takes .* GB of temporary files \(.* bytes a pixel\), but .* GB free"):
        predict(images / "prime.png", binary, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["report.jsonl"]


def test_disk_that_fills_up_stops_the_run_and_leaves_nothing_behind(binary, images, tmp_path, small_parts):
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, allowed[1]))  # bytes in one file
    try:
        with pytest.raises(OutputError, match="too large"):
            predict(images / "prime.png", binary, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert os.listdir(tmp_path / "out") == ["report.jsonl"]


def test_image_that_is_damaged_or_gives_nan_in_parts_is_refused_and_the_run_goes_on(
    binary, images, tmp_path, small_parts
):
    data = (images / "prime.png").read_bytes()
    (images / "cut.png").write_bytes(data[: len(data) // 2])
    result = predict(images, binary, tmp_path / "out")
    assert [error.path.stem for error in result.failed] == ["cut"] and len(result.done) == len(SIZES)
    broken = model()
    with torch.no_grad():
        broken.network.stages["head"].module.project.bias.fill_(torch.nan)
    result = predict(images / "prime.png", broken, tmp_path / "nan")
    assert result.exit_code == 4 and "non-finite" in result.failed[0].reason
    assert os.listdir(tmp_path / "nan") == ["report.jsonl"]


def test_parts_that_are_interrupted_while_written_leave_nothing_behind(
    binary, images, tmp_path, small_parts, monkeypatch
):
    def interrupted(result):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_masks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(images / "prime.png", binary, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["report.jsonl"]


def test_interrupted_parts_leave_nothing_behind(binary, images, tmp_path, small_parts, monkeypatch):
    def interrupted(*arguments, **options):
        with closing(segment_windows(*arguments, **options)) as parts:
            yield next(parts)
            assert len(list((tmp_path / "out").rglob("*"))) > 3  # report, mask, folder and maps
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "segment_windows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(images / "prime.png", binary, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["report.jsonl"]


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
