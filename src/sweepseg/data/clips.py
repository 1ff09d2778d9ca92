"""Videos as sequences of frames, and the clips of them that a network is trained on."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from ..errors import InputError
from .dataset import DataSet, Sample
from .pairs import read_input, read_pair

Clip = tuple[Sample, ...]


def frame_key(name: str) -> tuple[str, int]:
    """The sequence and the number of a frame: its name up to the last digits, and these; -1 where there are none.

    >>> frame_key("aachen/aachen_000000_000019"), frame_key("blackswan/00007"), frame_key("0016E5_07959")
    (('aachen/aachen_000000_', 19), ('blackswan/', 7), ('0016E5_', 7959))
    """
    digits = re.search(r"[0-9]*$", name)
    assert digits is not None
    return name[: digits.start()], int(digits[0] or -1)


def sequences(samples: Iterable[Sample]) -> dict[str, Clip]:
    """The frames of each video in their order; a video ends where a frame is missing.

    Frames are counted in the smallest step that is most frequent in their video, so every second or 30th frame is a
    video too. A video is called what its frames' names share; what follows a gap is one of its own, named by its first
    frame.
    """
    videos: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: frame_key(sample.name)):
        videos.setdefault(frame_key(sample.name)[0], []).append(sample)
    parts: dict[str, Clip] = {}
    for name, frames in videos.items():
        numbers = [frame_key(frame.name)[1] for frame in frames]
        steps = [second - first for first, second in pairwise(numbers)]
        usual = min(Counter(steps).most_common(), key=lambda one: (-one[1], one[0]), default=(1, 0))[0]
        cuts = [0, *(place for place, step in enumerate(steps, 1) if step > usual), len(frames)]
        for first, last in pairwise(cuts):
            short = name.rstrip("/_-")
            parts[frames[first].name if first or short in parts else short] = tuple(frames[first:last])
    return parts


def clips(frames: Sequence[Sample], length: int, stride: int = 1) -> list[Clip]:
    """Clips of one video such that each annotated frame lies within one; none if the video is too short.

    They are laid from the end: each ends with the last annotated frame that no later clip reaches, so where few frames
    are annotated the network has seen those before. Where all are, one clip follows on the other, and only the first
    two may overlap.

    Args:
        frames: The video.
        length: Frames in a clip.
        stride: Frames from one to the next.

    >>> from pathlib import Path
    >>> video = [Sample(str(i), Path(f"{i}.png"), Path(f"mask{i}.png")) for i in range(7)]
    >>> [[frame.name for frame in clip] for clip in clips(video, 3)]
    [['0', '1', '2'], ['1', '2', '3'], ['4', '5', '6']]
    """
    return [clip for offset in range(stride) for clip in _laid(frames[offset::stride], length)]


def _laid(frames: Sequence[Sample], length: int) -> list[Clip]:
    found: list[Clip] = []
    reached = len(frames)  # the first frame of the clip that was laid last
    for place in reversed(range(len(frames) if len(frames) >= length else 0)):
        if place < reached and frames[place].mask is not None:
            reached = max(place + 1 - length, 0)
            found.append(tuple(frames[reached : reached + length]))
    return found[::-1]


def read_clip(dataset: DataSet, clip: Clip, in_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the frames of a clip; one without annotation is ignored, all of it.

    Returns:
        Frames, float32 (T, C, H, W) in [0, 1], and targets, int64 (T, H, W) or, for multilabel, (T, K, H, W).

    Raises:
        InputError: As `pairs.read_pair`, or the frames differ in size.
    """
    images: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    labels = (len(dataset.classes),) if dataset.task == "multilabel" else ()
    for sample in clip:
        if not sample.annotated:
            image = read_input(sample, in_channels, input_range=dataset.input_range)
            target = np.full((*labels, *image.shape[1:]), dataset.ignore_index, np.int64)
        else:
            image, target = read_pair(dataset, sample, in_channels)
        if images and image.shape != images[0].shape:
            (_, *size), (_, *first) = image.shape, images[0].shape
            sizes = f"is {size[1]}x{size[0]} but {clip[0].image.name} is {first[1]}x{first[0]}"
            raise InputError(sample.image, f"{sizes}; the frames of a video are of one size: resize one of them")
        images.append(image)
        targets.append(target)
    return np.stack(images), np.stack(targets)
