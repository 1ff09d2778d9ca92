"""Segmenting files: every input gets a mask or one line that says why not, and a bad one never stops the others."""

import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import InputError, OutputError, UsageError, printable
from ..io.files import (
    Found,
    atomic_write,
    find_images,
    is_zarr,
    open_regular,
    remove_stale_temporaries,
    temporary_folder,
)
from ..io.header import exceeds
from ..io.image_windows import Windows
from ..io.images import read_image, write_image
from ..io.mask_windows import Color, geotiff_windows, png_windows
from ..io.raster import read_georeference
from ..io.windows import open_windows
from ..models.segmenter import ModelConfig, Segmenter
from .memory import max_pixels, plan
from .segment import Segmentation, mask_files, segment
from .windows import segment_windows


@dataclass
class Predicted:
    """What became of the inputs.

    Attributes:
        done: Inputs whose mask was written.
        skipped: Inputs whose outputs were there already.
        failed: Inputs that could not be segmented.
    """

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[InputError] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some inputs failed, 4 all failed."""
        if not self.failed:
            return 0
        return 3 if self.done or self.skipped else 4


def predict(
    source: str | Path,
    model: Segmenter,
    output: str | Path,
    *,
    overlay: bool = False,
    probs: bool = False,
    geotiff: bool = False,
    skip_existing: bool = False,
    memory: int = 4_000_000_000,
    say: Callable[[str], None] = lambda line: None,
    note: Callable[[str], None] = lambda line: None,
    progress: Callable[[list[Found]], Iterable[Found]] = iter,
) -> Predicted:
    """Segment an image or a folder of images, each by itself, so that no mask depends on what else is in the folder.

    Images that do not fit in memory, and Zarr folders, are read and segmented in parts, with the whole image's result.

    Args:
        source: An image file, a Zarr folder, or a folder that is searched with its subfolders.
        model: What `sweepseg.load` returned.
        output: Folder for the masks; they keep the relative path and stem of their image: `<stem>.png`, or
            `<stem>/<class>.png` for multilabel. `report.jsonl` says for each input what became of it.
        overlay: Also write `<stem>.overlay.png`.
        probs: Also write `<stem>.probs.npz` with float16 probabilities (K, H, W), which are refused for images that do
            not fit in memory.
        geotiff: Also write the mask as `<stem>.tif` with the coordinate reference system, the transform and, where a
            byte can hold it, the value of missing pixels of the image. Missing pixels are segmented like others.
        skip_existing: Leave out inputs whose outputs are there; each is written whole, so this continues a run.
        memory: The most bytes of memory that the process may take.
        say: Called with one line for each bad input.
        note: Called with one line for each image that does not fit in memory.
        progress: Hands the inputs on and may draw a bar.

    Raises:
        UsageError: No image found, an output would overwrite an input or another output, the memory does not even hold
            the model, or a package is missing.
        OutputError: The output cannot be written, or temporary files would not fit on its disk.

    >>> import sweepseg, tempfile
    >>> images = sweepseg.nuclei_sample().root / "images" / "val"
    >>> with tempfile.TemporaryDirectory() as output:
    ...     result = predict(images, sweepseg.load(sweepseg.bundled_model()), output)
    >>> len(result.done), result.exit_code
    (4, 0)
    """
    source, output = Path(source), Path(output)
    inputs = find_images(source)
    if geotiff and find_spec("rasterio") is None:
        raise UsageError('GeoTIFFs are written by rasterio; pip install "sweepseg[geo]"')
    allowed = max_pixels(model, memory)
    targets = [_targets(found, output, model.config, overlay, probs, geotiff) for found in inputs]
    _refuse_overwriting(source, inputs, output, targets)
    report = output / "report.jsonl"
    atomic_write(report, b"")  # shows before any work that the folder takes files
    remove_stale_temporaries(output)
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
                    if not zarr:
                        with open_regular(found.path) as file:
                            row |= {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}  # type: ignore[arg-type]
                    if zarr or exceeds(found.path, allowed):
                        with open_windows(found.path) as windows:
                            row |= {"mode": "out of core", "height": windows.height, "width": windows.width}
                            row |= _write_in_parts(model, windows, target, output, memory, note)
                    else:
                        image = read_image(found.path, max_pixels=allowed)
                        row |= {"mode": "in memory", "height": image.shape[0], "width": image.shape[1]}
                        _write(_segment(model, image, found.path), target, found.path)
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


@dataclass(frozen=True)
class _Targets:
    """What is written for one input: the mask (a folder for multilabel), and what else was asked for."""

    mask: Path
    overlay: Path | None
    probs: Path | None
    geotiffs: list[Path]
    files: list[Path]


def _targets(found: Found, output: Path, config: ModelConfig, overlay: bool, probs: bool, geotiff: bool) -> _Targets:
    stem = output / found.relative.with_suffix("")
    mask = stem if config.task == "multilabel" else _named(stem, ".png")
    extra = _named(stem, ".overlay.png") if overlay else None, _named(stem, ".probs.npz") if probs else None
    masks = mask_files(mask, config)
    geotiffs = [path.with_suffix(".tif") for path in masks] if geotiff else []
    return _Targets(mask, *extra, geotiffs, files=[*masks, *filter(None, extra), *geotiffs])


def _named(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _refuse_overwriting(source: Path, inputs: list[Found], output: Path, targets: list[_Targets]) -> None:
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


@contextmanager
def _refusing(path: Path, height: int, width: int) -> Iterator[None]:
    """Turn what segmenting raises for reasons that lie in the image into `InputError`."""
    try:
        yield
    except ValueError as error:
        raise InputError(path, str(error)) from None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error).lower():
            raise
        raise InputError(path, f"{width}x{height} pixels are too large for memory; cut the image into parts") from None


def _segment(model: Segmenter, image: np.ndarray, path: Path) -> Segmentation:
    with _refusing(path, *image.shape[:2]):
        return segment(model, image)


def _write(result: Segmentation, target: _Targets, path: Path) -> None:
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
            with geotiff_windows(file, height, width, _palette(result.config), georeference) as write:
                write(0, mask)


def _write_in_parts(
    model: Segmenter, image: Windows, target: _Targets, output: Path, memory: int, note: Callable[[str], None]
) -> dict[str, object]:
    """Segment and write an image that is larger than memory; what the report says about it."""
    path, size = Path(image.path), (image.height, image.width)
    if target.probs:
        raise InputError(path, "too large for memory, so its probabilities cannot be written; leave out --probs")
    masks = mask_files(target.mask, model.config)
    with temporary_folder(output) as folder, _refusing(path, *size), ExitStack() as stack:
        bands = len(masks) + len(target.geotiffs) + 3 * bool(target.overlay)
        try:
            parts = plan(model, image, memory, written=bands)
        except ValueError as error:
            raise InputError(path, f"too large for memory: {error}") from None
        needed, free = parts.temporary_bytes, shutil.disk_usage(folder).free
        files = f"{needed / 1e9:.3g} GB of temporary files ({needed / math.prod(size):.3g} bytes a pixel)"
        if needed > free:
            raise OutputError(f"{printable(path)} takes {files}, but {output} has {free / 1e9:.3g} GB free")
        note(f"{printable(path)}: {image.width}x{image.height} pixels in parts, with {files}")
        palette = _palette(model.config)
        pngs = [stack.enter_context(png_windows(file, *size, palette)) for file in masks]
        geotiffs = [
            stack.enter_context(geotiff_windows(file, *size, palette, image.georeference)) for file in target.geotiffs
        ]
        overlay = stack.enter_context(png_windows(target.overlay, *size)) if target.overlay else None
        windows = segment_windows(model, image, folder, window=parts.window, strip=parts.strip)
        for box, result in stack.enter_context(closing(windows)):
            for writers in (pngs, geotiffs):
                for write, mask in zip(writers, _masks(result), strict=False):  # no GeoTIFFs, or one for each mask
                    write(box.left, mask)
            if overlay:
                overlay(box.left, result.overlay())
    return {"temporary_bytes": needed}


def _masks(result: Segmentation) -> np.ndarray:
    """One mask for each file, (N, H, W)."""
    return result.mask if result.mask.ndim == 3 else result.mask[None]


def _palette(config: ModelConfig) -> Sequence[Color]:
    return ((0, 0, 0), (255, 255, 255)) if config.task == "multilabel" else config.palette
