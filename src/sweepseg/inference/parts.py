"""Segmenting and writing one image in parts, after what an earlier run may have left."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import torch

from ..errors import InputError, OutputError, printable
from ..io.files import Found, reason
from ..io.image_windows import Windows
from ..io.mask_windows import Color, geotiff_windows, png_windows
from ..models.segmenter import ModelConfig, Segmenter
from ..tasks import task_for
from .map_files import Box, MapFile, cut
from .memory import check_tile, plan
from .out_of_core import OutOfCore
from .segment import to_input
from .segmentation import mask_files, paint
from .tiles import Tiles
from .windows import Copy, bands, count_masks, segment_windows
from .work_folder import WorkFolder, used_bytes, work_folder


@dataclass(frozen=True)
class Targets:
    """What is written for one input: the mask (a folder for multilabel), and what else was asked for."""

    mask: Path
    overlay: Path | None
    probs: Path | None
    geotiffs: list[Path]
    files: list[Path]


class Parts:
    """Segments and writes images in parts; see `predict` for the arguments.

    Raises:
        OutputError: What earlier runs left cannot be removed.
    """

    def __init__(
        self,
        model: Segmenter,
        output: Path,
        memory: int,
        *,
        tile: int | None,
        overlap: float,
        resume: bool,
        note: Callable[[str], None],
        listen: Callable[[str, int, int], None],
    ):
        self.model, self.output, self.memory, self.tile, self.overlap = model, output, memory, tile, overlap
        self.resume, self.note, self.listen = resume, note, listen
        if not resume:
            for left in output.glob(_work_name("*")):  # by a run that was stopped
                shutil.rmtree(left, ignore_errors=True)

    @cached_property
    def fingerprint(self) -> str:
        """That of the model, which all images share."""
        return self.model.fingerprint()

    def write(self, found: Found, digest: str, image: Windows, target: Targets) -> dict[str, object]:
        """Segment and write one image.

        Args:
            found: The image.
            digest: What changes with its content.
            image: The image, open.
            target: What is written.

        Returns:
            What the report says about it.

        Raises:
            InputError: The image is damaged, or cannot be segmented in parts.
            OutputError: The disk is full or would be.
        """
        path, name = found.path, printable(found.path)
        if target.probs:
            raise InputError(path, "too large for memory, so its probabilities cannot be written; leave out --probs")
        runner = self._runner(path, image, target)
        folder = self.output / _work_name(hashlib.sha256(os.fsencode(found.relative)).hexdigest()[:16])
        needed = self._check_disk(name, image, runner, used_bytes(folder) if self.resume else 0)
        key = {"image": digest, "model": self.fingerprint, "parts": repr(runner), "version": _version()}

        def listen(done: int, total: int) -> None:
            self.listen(path.name, done, total)

        with (
            work_folder(folder, key, resume=self.resume, note=self.note, listen=listen) as work,
            refusing(path, image.height, image.width),
        ):
            if work.finished:
                self.note(f"{name}: goes on after step {work.finished} of an earlier run")
            boxes = [*cut(image.height, image.width, *runner.window)]
            work.total = len(bands(image)) + runner.steps + len(boxes)
            image = Copy(image, work) if image.from_top else image
            masks = segment_windows(self.model, image, runner, work)
            self._write(image, masks, boxes, target, work)
        mode = "out of core" if isinstance(runner, OutOfCore) else "tiles"
        return {"mode": mode, "height": image.height, "width": image.width, "temporary_bytes": needed}

    def _runner(self, path: Path, image: Windows, target: Targets) -> OutOfCore | Tiles:
        written = count_masks(self.model) + len(target.geotiffs) + 3 * bool(target.overlay)
        try:
            if self.tile is None:
                return plan(self.model, image, self.memory, written=written)
            check_tile(self.model, image.width, self.memory, tile=self.tile, written=written)
        except ValueError as error:
            raise InputError(path, f"too large for memory: {error}") from None
        except OSError as error:
            raise OutputError(f"temporary files: {reason(error)}") from error
        task = task_for(self.model.config)
        size = (image.height, image.width)
        return Tiles(self.model.network, task.num_logits, *size, tile=self.tile, overlap=self.overlap)

    def _check_disk(self, name: str, image: Windows, runner: OutOfCore | Tiles, used: int) -> int:
        """Refuse an image whose temporary files do not fit on the disk; how many bytes they take at most."""
        pixels = image.height * image.width
        copy = pixels * image.channels * image.dtype.itemsize if image.from_top else 0
        needed = copy + runner.temporary_bytes(count_masks(self.model))
        files = f"{needed / 1e9:.3g} GB of temporary files ({needed / pixels:.3g} bytes a pixel)"
        free = shutil.disk_usage(self.output).free + used
        if needed > free:
            raise OutputError(f"{name} takes {files}, but {self.output} has {free / 1e9:.3g} GB free")
        self.note(f"{name}: {image.width}x{image.height} pixels in parts, with {files}")
        return needed

    def _write(self, image: Windows, masks: MapFile, boxes: list[Box], target: Targets, work: WorkFolder) -> None:
        """Write the masks, and what is drawn from them."""
        config, size = self.model.config, (image.height, image.width)
        palette = palette_of(config)
        with ExitStack() as stack:
            pngs = [stack.enter_context(png_windows(file, *size, palette)) for file in mask_files(target.mask, config)]
            geotiffs = [
                stack.enter_context(geotiff_windows(file, *size, palette, image.georeference))
                for file in target.geotiffs
            ]
            overlay = stack.enter_context(png_windows(target.overlay, *size)) if target.overlay else None
            for box in work.again(boxes):
                mask = masks.read(box)[0].numpy()
                for writers in (pngs, geotiffs):
                    for write, one in zip(writers, mask, strict=False):  # no GeoTIFFs, or one for each mask
                        write(box.left, one)
                if overlay:
                    overlay(box.left, paint(to_input(self.model, image.read(*box)), mask, config))


@contextmanager
def refusing(path: Path, height: int, width: int) -> Iterator[None]:
    """Turn what segmenting raises for reasons that lie in the image into `InputError`."""
    try:
        yield
    except ValueError as error:
        raise InputError(path, str(error)) from None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error).lower():
            raise
        raise InputError(path, f"{width}x{height} pixels are too large for memory; cut the image into parts") from None


def palette_of(config: ModelConfig) -> Sequence[Color]:
    """The colours of a mask file."""
    return ((0, 0, 0), (255, 255, 255)) if config.task == "multilabel" else config.palette


def _work_name(word: str) -> str:
    return f".sweepseg-{word}.parts"


def _version() -> str:
    """What else the bits of a mask may depend on."""
    return f"sweepseg {version('sweepseg')}, torch {torch.__version__}"
