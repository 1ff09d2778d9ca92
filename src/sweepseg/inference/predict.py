"""Segmenting files: every input gets a mask or one line that says why not, and a bad one never stops the others."""

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np

from ..data.words import unknown_words
from ..errors import InputError, UsageError, printable
from ..io.files import (
    Found,
    atomic_write,
    find_images,
    is_zarr,
    only_run,
    open_regular,
    remove_stale_temporaries,
    without_suffix,
)
from ..io.header import exceeds
from ..io.images import write_image
from ..io.mask_windows import geotiff_windows
from ..io.raster import read_georeference
from ..io.windows import open_windows
from ..layers.stages import StagedModel
from ..models.segmenter import ModelConfig, Segmenter
from ..tasks import TASKS, Numbered, Recognition
from .memory import max_pixels
from .outcome import Predicted
from .parts import Parts, Targets, palette_of, refusing
from .recognise import predict_answers
from .segment import as_told, read, segment, task_of
from .segmentation import Segmentation, answer_path, mask_files
from .windows import Array

LARGE = 1_000_000  # pixels that take some seconds


def predict(
    source: str | Path,
    model: Segmenter,
    output: str | Path,
    *,
    text: str | None = None,
    overlay: bool = False,
    probs: bool = False,
    geotiff: bool = False,
    skip_existing: bool = False,
    resume: bool = False,
    memory: int = 4_000_000_000,
    tile: int | None = None,
    overlap: float = 0.25,
    say: Callable[[str], None] = lambda line: None,
    note: Callable[[str], None] = lambda line: None,
    progress: Callable[[list[Found]], Iterable[Found]] = iter,
    listen: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Predicted:
    """Segment an image or a folder of images, each by itself, so that no mask depends on what else is in the folder.

    Images that do not fit in memory, and Zarr folders, are read and segmented in parts, with the whole image's result.
    With a model for volumes the inputs are NIfTI files, which are segmented whole. A model that says one thing of a
    whole image gives a table instead; see `recognise.predict_answers`. One that finds objects numbers them in the mask,
    of 16 bits, and writes `<stem>.json` beside it; see `objects.FoundObjects`. Maps of numbers are `<stem>.tif` of
    float32, several `<stem>/<map>.tif`.

    Args:
        source: An image file, a Zarr folder, or a folder that is searched with its subfolders.
        model: What `sweepseg.load` returned.
        output: Folder for the masks; they keep the relative path and stem of their image: `<stem>.png`, or
            `<stem>/<class>.png` for multilabel, or `<stem>.nii.gz` with the affine of the volume. `report.jsonl` says
            for each input what became of it.
        text: What to find, for a model of task referring.
        overlay: Also write `<stem>.overlay.png`.
        probs: Also write `<stem>.probs.npz` with float16 probabilities (K, H, W), which are refused for images that do
            not fit in memory; of volumes (K, D, H, W) in the orientation of `io.nifti.read_volume`.
        geotiff: Also write the mask as `<stem>.tif` with the coordinate reference system, the transform and, where a
            byte can hold it, the value of missing pixels of the image. Missing pixels are segmented like others.
        skip_existing: Leave out inputs whose outputs are there; each is written whole, so this continues a run.
        resume: Go on within an image that an earlier run segmented in parts until it was killed or interrupted, or the
            disk was full. Without it what such a run left in ``output`` is removed.
        memory: The most bytes of memory that the process may take.
        tile: Cut every image into overlapping tiles of so many rows and columns, each segmented by itself, and blend
            their logits. Any model can do this with images of any size, but where tiles meet the result is another.
        overlap: Share of a tile that the next one sees too, 0 to 0.9.
        say: Called with one line for each bad input, and on words of the text that the model does not know.
        note: Called with one line for each image that does not fit in memory, and on what is left of earlier runs.
        progress: Hands the inputs on and may draw a bar.
        listen: Called within a large image with its name, the steps that are done and their number.

    Raises:
        UsageError: No image found, an output would overwrite an input or another output, the memory does not even hold
            the model, a tile cannot be had, a package is missing, or the text is (not) wanted or not understood.
        OutputError: The output cannot be written, or temporary files would not fit on its disk.

    >>> import sweepseg, tempfile
    >>> images = sweepseg.nuclei_sample().root / "images" / "val"
    >>> with tempfile.TemporaryDirectory() as output:
    ...     result = predict(images, sweepseg.load(sweepseg.bundled_model()), output)
    >>> len(result.done), result.exit_code
    (4, 0)
    """
    source, output = Path(source), Path(output)
    task = TASKS[model.config.task]
    if not task.in_parts or issubclass(task, Recognition):
        for_masks = {"probs": probs, "geotiff": geotiff, "tile": tile, "resume": resume}
        for_masks |= {"overlay": overlay, "skip_existing": skip_existing} if issubclass(task, Recognition) else {}
        for name, value in for_masks.items():
            if value:
                raise UsageError(f"{name} is for masks, the model is for task {task.name}; leave it out")
    as_told(model, text)  # refuses what is not wanted or not understood before anything is read
    for word in unknown_words(text, model.config.words) if text is not None else ():
        say(f"the model does not know the word {printable(word)!r} and passes over it")
    if issubclass(task, Recognition):
        return predict_answers(source, model, output, say=say, progress=progress)
    task_of(model)
    inputs = find_images(source)
    if geotiff and find_spec("rasterio") is None:
        raise UsageError('GeoTIFFs are written by rasterio; pip install "sweepseg[geo]"')
    _check_tiles(tile, overlap, probs)
    if model.volumes and (overlay or geotiff or tile):
        raise UsageError("volumes are segmented whole into NIfTI labels; leave out overlay, geotiff and tile")
    allowed = max_pixels(model, memory)
    targets = [_targets(found, output, model.config, overlay, probs, geotiff, model.volumes) for found in inputs]
    _refuse_overwriting(source, inputs, output, targets)
    with only_run(output):
        report = output / "report.jsonl"
        atomic_write(report, b"")  # shows before any work that the folder takes files
        remove_stale_temporaries(output)
        parts = Parts(model, output, memory, tile=tile, overlap=overlap, resume=resume, note=note, listen=listen)
        target_of = dict(zip(inputs, targets, strict=True))
        result, rows = Predicted(), []
        try:
            for found in progress(inputs):
                row: dict[str, object] = {"input": str(found.path)}
                target = target_of[found]
                if skip_existing and all(map(os.path.exists, target.files)):
                    result.skipped.append(found.path)
                    row |= {"status": "skipped"}
                else:
                    try:
                        zarr = is_zarr(found.path) and found.path.is_dir()
                        if zarr:
                            digest = _digest_folder(found.path)
                        else:
                            with open_regular(found.path) as file:
                                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
                            row |= {"sha256": digest}
                        if not model.volumes and (zarr or exceeds(found.path, allowed)):
                            if not task.in_parts:
                                what = f"does not fit in memory, and task {task.name} takes images as a whole; cut it"
                                raise InputError(found.path, what)
                            with open_windows(found.path) as windows:
                                row |= parts.write(found, digest, windows, target)
                        else:
                            image = read(model, found.path, max_pixels=allowed)
                            if tile:
                                row |= parts.write(found, digest, Array(image, found.path), target)
                            else:
                                row |= {"mode": "in memory", **_size(image)}
                                with _listening(model, image, found.path.name, listen):
                                    _write(_segment(model, image, found.path, text), target, found.path)
                        result.done.append(found.path)
                        row |= {"status": "done"}
                    except InputError as error:  # kept without its traceback, which would keep the image
                        result.failed.append(InputError(found.path, error.reason))
                        row |= {"status": "failed", "reason": error.reason}
                        say(str(result.failed[-1]))
                rows.append(json.dumps(row))
        finally:
            atomic_write(report, "".join(f"{row}\n" for row in rows).encode())
        return result


def _targets(
    found: Found, output: Path, config: ModelConfig, overlay: bool, probs: bool, geotiff: bool, volumes: bool
) -> Targets:
    stem = output / without_suffix(found.relative)
    mask = answer_path(stem, config, volumes=volumes)
    extra = _named(stem, ".overlay.png") if overlay else None, _named(stem, ".probs.npz") if probs else None
    objects = _named(stem, ".json") if issubclass(TASKS[config.task], Numbered) else None
    masks = mask_files(mask, config)
    geotiffs = [path.with_suffix(".tif") for path in masks] if geotiff else []
    return Targets(mask, *extra, geotiffs, files=[*masks, *filter(None, (*extra, objects)), *geotiffs])


def _named(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _refuse_overwriting(source: Path, inputs: list[Found], output: Path, targets: list[Targets]) -> None:
    if source.is_dir() and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(source)):
        raise UsageError(f"the output folder {output} lies inside the input folder {source}; name another --output")
    writers = {os.path.realpath(found.path): found for found in inputs}
    for found, target in zip(inputs, targets, strict=True):
        for path in target.files:
            other = writers.setdefault(os.path.realpath(path), found)
            if other is not found or os.path.realpath(path) == os.path.realpath(found.path):
                raise UsageError(
                    f"{path}, the output for {found.path}, would overwrite {other.path} or its output; "
                    "rename one, or segment them into another --output"
                )


def _segment(model: Segmenter, image: np.ndarray, path: Path, text: str | None) -> Segmentation:
    with refusing(path, *image.shape[-3:-1]):
        result = segment(model, image, text)
    return replace(result, volume=path) if model.volumes else result


def _size(image: np.ndarray) -> dict[str, object]:
    """The size of an image (H, W, C) or volume (D, H, W, C), for the report."""
    return dict(zip(("width", "height", "depth"), image.shape[-2::-1], strict=False))


@contextmanager
def _listening(
    model: Segmenter, image: np.ndarray, name: str, listen: Callable[[str, int, int], None]
) -> Iterator[None]:
    """Have the stages of a model tell when they are done with an image that takes some seconds."""
    told = isinstance(model.network, StagedModel) and math.prod(image.shape[:-1]) > LARGE
    stages = [*cast(StagedModel, model.network).stages.values()] if told else []
    done = 0

    def listen_once_more(*_: object) -> None:
        nonlocal done
        done += 1
        listen(name, done, len(stages))

    with ExitStack() as stack:
        for stage in stages:
            stack.callback(stage.register_forward_hook(listen_once_more).remove)
        yield


def _write(result: Segmentation, target: Targets, path: Path) -> None:
    result.save(target.mask)
    if target.overlay:
        write_image(target.overlay, result.overlay())
    if target.probs:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, probabilities=result.probabilities.astype(np.float16))
        atomic_write(target.probs, buffer.getvalue())
    if target.geotiffs:
        height, width = result.mask.shape[-2:]
        georeference = read_georeference(path)
        for file, mask in zip(target.geotiffs, _masks(result), strict=True):
            with geotiff_windows(file, height, width, palette_of(result.config), georeference) as write:
                write(0, mask)


def _check_tiles(tile: int | None, overlap: float, probs: bool) -> None:
    if tile is not None and tile < 1:
        raise UsageError(f"tile is {tile}; give at least 1")
    if not 0 <= overlap <= 0.9:
        raise UsageError(f"overlap is {overlap}; give 0 to 0.9")
    if tile is not None and probs:
        raise UsageError("probabilities are not written of tiles; leave out --probs or --tile")


def _masks(result: Segmentation) -> np.ndarray:
    """One mask for each file, (N, H, W)."""
    return result.mask if result.mask.ndim == 3 else result.mask[None]


def _digest_folder(folder: Path) -> str:
    """A digest of the names, sizes and times of all files of a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        digest.update(os.fsencode(path.relative_to(folder)) + f" {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
