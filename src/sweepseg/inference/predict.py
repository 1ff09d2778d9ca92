"""Segmenting files: every input gets a mask or one line that says why not, and a bad one never stops the others."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError, UsageError
from ..io.files import Found, atomic_write, find_images, open_regular, remove_stale_temporaries
from ..io.images import MAX_PIXELS, read_image, write_image
from ..models.segmenter import ModelConfig, Segmenter
from .segment import Segmentation, mask_files, segment


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
    skip_existing: bool = False,
    max_pixels: int = MAX_PIXELS,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[list[Found]], Iterable[Found]] = iter,
) -> Predicted:
    """Segment an image or a folder of images, each by itself, so that no mask depends on what else is in the folder.

    Args:
        source: An image file, or a folder that is searched with its subfolders.
        model: What `sweepseg.load` returned.
        output: Folder for the masks; they keep the relative path and stem of their image: `<stem>.png`, or
            `<stem>/<class>.png` for multilabel. `report.jsonl` says for each input what became of it.
        overlay: Also write `<stem>.overlay.png`.
        probs: Also write `<stem>.probs.npz` with float16 probabilities (K, H, W).
        skip_existing: Leave out inputs whose outputs are there; each is written whole, so this continues a run.
        max_pixels: Images with more are refused, one line each.
        say: Called with one line for each bad input.
        progress: Hands the inputs on and may draw a bar.

    Raises:
        UsageError: No image found, or an output would overwrite an input or another output.
        OutputError: The output cannot be written.

    >>> import sweepseg, tempfile
    >>> images = sweepseg.nuclei_sample().root / "images" / "val"
    >>> with tempfile.TemporaryDirectory() as output:
    ...     result = predict(images, sweepseg.load(sweepseg.bundled_model()), output)
    >>> len(result.done), result.exit_code
    (4, 0)
    """
    source, output = Path(source), Path(output)
    inputs = find_images(source)
    targets = [_targets(found, output, model.config, overlay=overlay, probs=probs) for found in inputs]
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
                    with open_regular(found.path) as file:
                        row |= {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}  # type: ignore[arg-type]
                    image = read_image(found.path, max_pixels=max_pixels)
                    row |= {"height": image.shape[0], "width": image.shape[1]}
                    _write(_segment(model, image, found.path), target)
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
    files: list[Path]


def _targets(found: Found, output: Path, config: ModelConfig, *, overlay: bool, probs: bool) -> _Targets:
    stem = output / found.relative.with_suffix("")
    mask = stem if config.task == "multilabel" else _named(stem, ".png")
    extra = _named(stem, ".overlay.png") if overlay else None, _named(stem, ".probs.npz") if probs else None
    return _Targets(mask, *extra, files=[*mask_files(mask, config), *filter(None, extra)])


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


def _segment(model: Segmenter, image: np.ndarray, path: Path) -> Segmentation:
    """Segment an image that was read from ``path``; whatever is wrong with it becomes an `InputError`."""
    try:
        return segment(model, image)
    except ValueError as error:
        raise InputError(path, str(error)) from None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error).lower():
            raise
        height, width = image.shape[:2]
        raise InputError(path, f"{width}x{height} pixels are too large for memory; cut the image into parts") from None


def _write(result: Segmentation, target: _Targets) -> None:
    result.save(target.mask)
    if target.overlay:
        write_image(target.overlay, result.overlay())
    if target.probs:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, probabilities=result.probabilities.astype(np.float16))
        atomic_write(target.probs, buffer.getvalue())
