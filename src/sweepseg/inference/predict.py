"""Segmenting files: every input gets a mask or one line that says why not, and a bad one never stops the others."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError, UsageError
from ..io.files import Found, atomic_write, find_images, remove_stale_temporaries, same_output_names
from ..io.images import read_image, write_image
from ..io.masks import write_mask
from ..models.segmenter import Segmenter
from .segment import Segmentation, segment


@dataclass
class Predicted:
    """What became of the inputs.

    Attributes:
        done: Inputs whose mask was written.
        skipped: Inputs whose mask was there already.
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
    max_pixels: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[list[Found]], Iterable[Found]] = iter,
) -> Predicted:
    """Segment an image or a folder of images, each by itself, so that no mask depends on what else is in the folder.

    Args:
        source: An image file, or a folder that is searched with its subfolders.
        model: What `sweepseg.load` returned.
        output: Folder for the masks; they keep the relative path and stem of their image: `<stem>.png`, or
            `<stem>/<class>.png` for multilabel. `report.jsonl` lists every input.
        overlay: Also write `<stem>.overlay.png`.
        probs: Also write `<stem>.probs.npz` with float16 probabilities (K, H, W).
        skip_existing: Leave out inputs whose mask is there; masks are written whole, so this continues a run.
        max_pixels: Images with more are refused, one line each.
        say: Called with one line for each bad input.
        progress: Hands the inputs on and may draw a bar.

    Raises:
        UsageError: No image found, two images would give one mask, or the output folder lies in the input folder.
        OutputError: The output cannot be written.
    """
    source, output = Path(source), Path(output)
    inputs = find_images(source)
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"the output folder {output} lies inside the input folder {source}; name another --output")
    clashes = same_output_names(inputs)
    if clashes:
        names = "; ".join(" and ".join(str(found.path) for found in group) for group in clashes)
        raise UsageError(f"these would be written to one mask: {names}; rename them or segment them apart")
    output.mkdir(parents=True, exist_ok=True)
    remove_stale_temporaries(output)
    result, lines = Predicted(), []
    for found in progress(inputs):
        target = output / found.relative.with_suffix("")
        row: dict[str, object] = {"input": str(found.path)}
        if skip_existing and _is_written(target, model):
            result.skipped.append(found.path)
            row |= {"status": "skipped"}
        else:
            try:
                image = read_image(found.path, **({} if max_pixels is None else {"max_pixels": max_pixels}))
                _write(segment_or_refuse(model, image, found.path), target, overlay=overlay, probs=probs)
                result.done.append(found.path)
                row |= {"status": "done", "height": image.shape[0], "width": image.shape[1]}
            except InputError as error:
                result.failed.append(error)
                row |= {"status": "failed", "reason": error.reason}
                say(str(error))
        lines.append(json.dumps(row))
    atomic_write(output / "report.jsonl", ("\n".join(lines) + "\n").encode())
    return result


def segment_or_refuse(model: Segmenter, image: np.ndarray, path: Path) -> Segmentation:
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


def _write(result: Segmentation, target: Path, *, overlay: bool, probs: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if result.mask.ndim == 3:
        target.mkdir(exist_ok=True)
        for name, mask in zip(result.classes, result.mask, strict=True):
            write_mask(target / f"{name}.png", mask, ((0, 0, 0), (255, 255, 255)))
    else:
        write_mask(_named(target, ".png"), result.mask, result.palette)
    if overlay:
        write_image(_named(target, ".overlay.png"), result.overlay())
    if probs:
        import io

        buffer = io.BytesIO()
        np.savez_compressed(buffer, probabilities=result.probabilities.astype(np.float16))
        atomic_write(_named(target, ".probs.npz"), buffer.getvalue())


def _is_written(target: Path, model: Segmenter) -> bool:
    if model.config.task == "multilabel":
        return all((target / f"{name}.png").exists() for name in model.config.classes)
    return _named(target, ".png").exists()


def _named(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)
