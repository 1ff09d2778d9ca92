"""Segmenting videos frame by frame: memory does not grow with their length, and a bad frame never stops the others."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ..data.clips import frame_key
from ..errors import InputError, OutputError, UsageError, printable
from ..io.files import find_images, only_run, reason, remove_stale_temporaries
from ..io.images import read_image
from ..io.video import FRAME_RATE, Frame, open_video, video_writer
from ..models.segmenter import Segmenter
from ..models.video import State
from .memory import max_pixels
from .parts import refusing
from .segment import as_batch, as_input, decoded
from .segmentation import Segmentation, answer_path
from .video_state import check_state, load_state, save_state

CUT = 0.5  # distance of two frames' histograms, 0 to 1, from which on they are of different scenes
BINS = 16

Opened = tuple[Iterator[tuple[str, Frame]], Fraction]  # named frames, and how many a second


class VideoSegmenter:
    """Segments the frames of a video as they come, from a state that is all it keeps of those before.

    Args:
        model: What `sweepseg.load` returned; one without memory takes each frame by itself.
        cuts: Whether to forget the state where `is_cut` sees a new scene.
        state: Where to go on, such as ``state`` of another one.

    Attributes:
        state: After the last frame; None at the beginning of a video.
        began: Whether the last frame began afresh: the first one, one after a cut, or one of another size.

    >>> import sweepseg
    >>> segmenter = VideoSegmenter(sweepseg.load(sweepseg.bundled_model()))
    >>> [result.mask.shape for result in map(segmenter.push, np.zeros((3, 20, 30), np.uint8))]
    [(20, 30), (20, 30), (20, 30)]
    """

    def __init__(self, model: Segmenter, *, cuts: bool = False, state: State | None = None):
        if model.volumes:
            raise UsageError(f"{model.config.builder} takes volumes, not frames; use a model for images")
        self.model, self.cuts, self.state = model, cuts, state
        self.began = True
        self._last: np.ndarray | None = None
        self._given = state is not None  # and not yet checked against a frame

    def reset(self) -> None:
        """Begin a new video."""
        self.state = self._last = None
        self._given = False

    def push(self, image: np.ndarray) -> Segmentation:
        """Segment the next frame.

        Args:
            image: As `segment` takes it.

        Raises:
            ValueError: As `segment`; it is as if the frame had not come.
            ModelFileError: The state to go on from is of another model or of frames of another size.
        """
        unit = as_input(self.model, image)
        fresh = self._last is not None and (unit.shape != self._last.shape or (self.cuts and is_cut(self._last, unit)))
        before = None if fresh else self.state
        with torch.inference_mode():
            clip = as_batch(self.model, unit)[:, None]
            if self._given and before is not None:
                check_state(before, like=self.model.run(clip)[1])
            logits, after = self.model.run(clip, before)
            result = decoded(self.model, unit, logits[:, 0])
        self.state, self.began, self._last, self._given = after, before is None, unit, False
        return result


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two frames (H, W, C) in [0, 1] are of different scenes, by their colours wherever they stand.

    Half of the sum of the differences of their histograms of 16 bins, averaged over the channels, is above 0.5: more
    than half of the pixels have changed their colour. Fades are not seen, flashes are taken for cuts.

    Source: Zhang, Kankanhalli & Smoliar 1993, "Automatic partitioning of full-motion video", Multimedia Systems 1(1).
    """
    distances = [
        np.abs(np.subtract(*(np.histogram(frame[..., channel], BINS, (0, 1))[0] for frame in (before, after)))).sum()
        for channel in range(before.shape[2])
    ]
    return float(np.mean(distances)) / (2 * before[..., 0].size) > CUT


@dataclass
class Counts:
    """What became of the frames.

    Attributes:
        done: Frames whose mask was written.
        failed: Frames, or whole videos, that could not be segmented.
    """

    done: int = 0
    failed: int = 0

    @property
    def exit_code(self) -> int:
        """0 all done, 3 some failed, 4 all failed."""
        return (3 if self.done else 4) if self.failed else 0


def predict_video(
    source: str | Path,
    model: Segmenter,
    output: str | Path,
    *,
    overlay: bool = False,
    cuts: bool = False,
    state: str | Path | None = None,
    save: str | Path | None = None,
    memory: int = 4_000_000_000,
    say: Callable[[str], None] = lambda line: None,
    listen: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """Segment a video file, or the videos in a folder of frames, in memory that does not grow with their length.

    Args:
        source: A video file; or a folder of pictures, where those of one folder whose names differ in their last
            digits only are a video, in the order of these numbers.
        model: What `sweepseg.load` returned.
        output: Folder for the masks: `<stem>/<frame>.png`, numbered from 000000, for a file; for a folder they keep
            the relative path and stem of their frame. `report.jsonl` says of each frame what became of it.
        overlay: Also write `<video>.overlay.webm`, the frames with their classes painted over them.
        cuts: Forget the state where `is_cut` sees a new scene.
        state: A file that an earlier call saved, from which the first video goes on.
        save: File for the state after the last frame.
        memory: The most bytes of memory that the process may take; larger frames are refused.
        say: Called with one line for each bad frame.
        listen: Called with the counts after each frame.

    Raises:
        UsageError: Nothing to segment, an output would overwrite an input or another output, the memory does not hold
            the model, or PyAV is missing.
        ModelFileError: The state cannot be read or does not fit.
        OutputError: The output cannot be written.
    """
    source, output = Path(source), Path(output)
    allowed = max_pixels(model, memory)
    videos = _videos(source, output, allowed)
    segmenter = VideoSegmenter(model, cuts=cuts, state=None if state is None else load_state(state))
    counts = Counts()
    with only_run(output), _report(output) as record:
        remove_stale_temporaries(output)
        for place, (name, opened) in enumerate(videos):
            if place:
                segmenter.reset()
            try:
                with contextlib.ExitStack() as stack:
                    frames, rate = stack.enter_context(opened)
                    write = None
                    if overlay:
                        target = output / name.with_name(f"{name.name}.overlay.webm")
                        write = stack.enter_context(video_writer(target, rate))
                    for frame_name, frame in frames:
                        record(_segment(segmenter, frame_name, frame, output, write, counts, say))
                        listen(counts)
            except InputError as error:
                counts.failed += 1
                say(str(error))
                record({"frame": None, "status": "failed", "reason": error.reason})
    if save is not None and segmenter.state is not None:
        save_state(save, segmenter.state)
    return counts


def _segment(
    segmenter: VideoSegmenter,
    name: str,
    frame: Frame,
    output: Path,
    write: Callable[[np.ndarray], None] | None,
    counts: Counts,
    say: Callable[[str], None],
) -> dict[str, object]:
    """Segment and write one frame; what the report says about it."""
    row: dict[str, object] = {"frame": name, "seconds": frame.seconds}
    try:
        if frame.problem is not None:
            raise frame.problem
        assert frame.image is not None
        with refusing(Path(name), *frame.image.shape[:2]):
            result = segmenter.push(frame.image)
        result.save(answer_path(output / name, segmenter.model.config))
        if write is not None:
            write(result.overlay())
    except InputError as error:
        counts.failed += 1
        say(str(error))
        return row | {"status": "failed", "reason": error.reason}
    counts.done += 1
    height, width = result.mask.shape[-2:]
    return row | {"status": "done", "height": height, "width": width, "began": segmenter.began}


def _videos(source: Path, output: Path, allowed: int) -> list[tuple[Path, AbstractContextManager[Opened]]]:
    """Each video with its path below the output folder."""
    if not os.path.lexists(source):
        raise UsageError(f"{printable(source)} does not exist; name a video or a folder of frames")
    if not source.is_dir():
        return [(Path(source.stem), _numbered(source, allowed))]
    if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(source)):
        raise UsageError(f"the output folder {output} lies inside the input folder {source}; name another --output")
    videos: dict[str, list[tuple[str, Path]]] = {}
    taken: dict[str, Path] = {}
    found = [(one.relative.with_suffix("").as_posix(), one.path) for one in find_images(source)]
    for name, path in sorted(found, key=lambda one: frame_key(one[0])):
        if taken.setdefault(name, path) != path:
            raise UsageError(f"{path} and {taken[name]} would have the same output {name}.png; rename one")
        videos.setdefault(frame_key(name)[0].removesuffix("/"), []).append((name, path))
    return [
        (Path(name or source.resolve().name), contextlib.nullcontext((_read(frames, allowed), FRAME_RATE)))
        for name, frames in videos.items()
    ]


@contextlib.contextmanager
def _numbered(source: Path, allowed: int) -> Iterator[Opened]:
    with open_video(source, max_pixels=allowed) as (frames, rate):
        yield ((f"{source.stem}/{number:06}", frame) for number, frame in enumerate(frames)), rate


def _read(frames: list[tuple[str, Path]], allowed: int) -> Iterator[tuple[str, Frame]]:
    for name, path in frames:
        try:
            yield name, Frame(read_image(path, max_pixels=allowed))
        except InputError as error:
            yield name, Frame(None, problem=error)


@contextlib.contextmanager
def _report(output: Path) -> Iterator[Callable[[dict[str, object]], None]]:
    """`report.jsonl`, a line a frame as it is done, so that it is there whatever ends the run."""
    path = output / "report.jsonl"
    try:
        with open(path, "w", encoding="utf-8", buffering=1) as file:
            yield lambda row: print(json.dumps(row), file=file)
    except OSError as error:
        raise OutputError(f"{printable(path)}: {reason(error)}") from error
