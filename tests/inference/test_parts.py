"""Images that do not fit in memory."""

import errno
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import tifffile
import torch
import zarr
from inference.models import model
from inference.outputs import SIZES, contents, report
from PIL import Image
from rasterio import Affine

from sweepseg.errors import OutputError
from sweepseg.inference import parts as module
from sweepseg.inference import predict as predict_module
from sweepseg.inference import work_folder
from sweepseg.inference.memory import plan as real_plan
from sweepseg.inference.predict import predict
from sweepseg.inference.segment import segment
from sweepseg.models.segmenter import Segmenter
from sweepseg.orders import hilbert


@pytest.fixture
def small_parts(monkeypatch) -> None:
    """Images of more than 50 pixels count as too large for memory, and are cut into small parts."""

    def plan(model, image, memory, *, written):
        runner = real_plan(model, image, memory, written=written)
        runner.window, runner.strip = (32, 32), 32
        return runner

    monkeypatch.setattr(predict_module, "max_pixels", lambda model, memory: 50)
    monkeypatch.setattr(module, "plan", plan)


def assert_same(mask: np.ndarray, other: np.ndarray) -> None:
    """But for a pixel that is as likely of one class as of another; in overlays it has three values."""
    assert mask.shape == other.shape and np.count_nonzero(mask != other) <= 3
    assert mask.size < 1000 or len(np.unique(mask)) > 1  # or anything would do


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
        assert_same(parts[name], mask)
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
    assert_same(mask, segment(binary, whole).mask)


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
            "too large for memory: SweepNet has sweeps in context16_0 that need the whole .*; --tile 512 segments it",
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


# Runs that end early


class Stopped(BaseException):
    pass


def runs_until(step: int) -> Callable[[str, int, int], None]:
    def listen(name: str, done: int, total: int) -> None:
        if done == step:
            raise Stopped

    return listen


OPTIONS = {"overlay": True, "geotiff": True}


@pytest.fixture
def each_step_on_record(monkeypatch) -> None:
    monkeypatch.setattr(work_folder, "SECONDS", 0)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # takes time


@pytest.mark.parametrize("tile", [None, 40])
def test_resumed_run_writes_the_same_bytes_and_does_the_rest(
    tile, binary, images, tmp_path, small_parts, each_step_on_record
):
    source, options = images / "prime.png", {"overlay": True, "geotiff": True, "tile": tile}
    told: list[tuple[int, int]] = []
    predict(source, binary, tmp_path / "whole", listen=lambda name, *steps: told.append(steps), **options)
    total = max(told)[1]
    assert told == [(done, total) for done in range(total + 1)]
    written = {None: 4 * 5, 40: 3 * 4}[tile]  # windows that are written at one go
    for step in (0, total // 2, total - 1):
        out = tmp_path / str(step)
        with pytest.raises(Stopped):
            predict(source, binary, out, listen=runs_until(step), **options)
        assert report(out) == [] and not [*out.glob("prime*")]
        notes: list[str] = []
        predict(source, binary, out, resume=True, note=notes.append, **options)
        assert contents(out) == contents(tmp_path / "whole")
        (last,) = re.findall("goes on after step ([0-9]+) of an earlier run", " ".join(notes)) or [0]
        assert int(last) == min(step, total - written)


PREDICT = """
import sys
from inference.models import model
from sweepseg.inference.predict import predict

predict(sys.argv[1], model(), sys.argv[2], memory=450_000_000, resume=True)
"""


@pytest.mark.slow
def test_killed_process_is_taken_up(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)).save(tmp_path / "x.png")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}

    def start(output: str) -> subprocess.Popen:
        command = [sys.executable, "-c", PREDICT, str(tmp_path / "x.png"), str(tmp_path / output)]
        return subprocess.Popen(command, env=environment)

    assert start("whole").wait() == 0
    process = start("out")
    while not [*(tmp_path / "out").glob(".*/record.json")]:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not [*(tmp_path / "out").glob("*.png")]
    assert start("out").wait() == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def other_image(images: Path, segmenter: Segmenter) -> dict:
    pixels = np.asarray(Image.open(images / "prime.png")).copy()
    pixels[-1, -1] ^= 1
    Image.fromarray(pixels).save(images / "prime.png")
    return {}


def other_weights(images: Path, segmenter: Segmenter) -> dict:
    with torch.no_grad():
        segmenter.network.stages["head"].module.project.bias += 0.5
    return {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_image, "had another image;"),
        (other_weights, "had another model;"),
        (lambda images, segmenter: {"tile": 40}, "had another parts;"),
    ],
    ids=["image", "model", "parts"],
)
def test_what_was_done_for_something_else_is_not_taken_up(
    change, said, images, tmp_path, small_parts, each_step_on_record
):
    segmenter, notes = model(), []
    with pytest.raises(Stopped):
        predict(images / "prime.png", segmenter, tmp_path / "out", listen=runs_until(30))
    options = change(images, segmenter)
    predict(images / "prime.png", segmenter, tmp_path / "out", resume=True, note=notes.append, **options)
    predict(images / "prime.png", segmenter, tmp_path / "whole", **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert sum(said in note for note in notes) == 1


def test_run_without_resume_removes_what_others_left(binary, images, tmp_path, small_parts):
    notes: list[str] = []
    with pytest.raises(Stopped):
        predict(images / "prime.png", binary, tmp_path / "out", listen=runs_until(9), note=notes.append)
    (left,) = (tmp_path / "out").glob(".*")
    assert notes[-1] == f"what is done stays in {left}: --resume goes on there, a run without it removes it"
    predict(images / "small.png", binary, tmp_path / "out", resume=True)
    assert left.exists()
    predict(images / "small.png", binary, tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["report.jsonl", "small.png"]


@pytest.mark.parametrize(
    ("limit", "options"),
    [(60_000, {}), (30_000, {}), (20_000, {"tile": 40, "overlay": True})],
    ids=["map", "copy of the image", "overlay"],
)
def test_disk_that_fills_up_stops_the_run_which_goes_on_when_there_is_room(
    limit, options, binary, images, tmp_path, small_parts
):
    source = tmp_path / ("x.tif" if options else "x.png")
    pixels = np.asarray(Image.open(images / "prime.png"))
    tifffile.imwrite(source, pixels, tile=(32, 32)) if options else Image.fromarray(pixels).save(source)
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, allowed[1]))  # bytes in one file
    try:
        with pytest.raises(OutputError, match="too large"):
            predict(source, binary, tmp_path / "out", **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    (left,) = (tmp_path / "out").glob(".*")
    assert sorted(os.listdir(tmp_path / "out")) == [left.name, "report.jsonl"]
    predict(source, binary, tmp_path / "out", resume=True, **options)
    predict(source, binary, tmp_path / "whole", **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_disk_without_room_to_measure_the_memory_is_an_output_error(binary, images, tmp_path, small_parts, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "plan", full)
    with pytest.raises(OutputError, match="temporary files: no space left"):
        predict(images / "prime.png", binary, tmp_path / "out")


# Tiles


def test_tiles_segment_images_of_any_size_with_any_model(images, tmp_path, request):
    """In memory or, with a model that has to see the whole image otherwise, from windows of files."""
    segmenter = model("multilabel", 2)
    segmenter.network.stages["context16_0"].module.mixer.sweeps.sweeps[0].order = hilbert
    Image.open(images / "prime.png").save(images / "webp.webp", lossless=True)
    options = {"overlay": True, "geotiff": True, "tile": 40}
    assert predict(images, segmenter, tmp_path / "whole", **options).exit_code == 0
    assert {row["mode"] for row in report(tmp_path / "whole")} == {"tiles"}
    (images / "webp.webp").unlink()
    request.getfixturevalue("small_parts")
    assert predict(images, segmenter, tmp_path / "parts", **options).exit_code == 0
    whole, parts = pixels(tmp_path / "whole"), pixels(tmp_path / "parts")
    assert parts.keys() == {name for name in whole if "webp" not in name}
    for name, mask in parts.items():
        np.testing.assert_array_equal(mask, whole[name], err_msg=name)
    for name in ("row", "small"):
        mask = np.asarray(Image.open(tmp_path / "parts" / name / "class1.png"))
        np.testing.assert_array_equal(mask, segment(segmenter, images / f"{name}.png").mask[1])


def test_tiles_that_do_not_fit_are_one_line(binary, images, tmp_path):
    result = predict(images / "prime.png", binary, tmp_path / "out", tile=4096, memory=600_000_000)
    assert result.exit_code == 4 and "tiles of 4096x4096 pixels take" in result.failed[0].reason
