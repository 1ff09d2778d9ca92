"""COCO's panoptic format: a PNG of segment ids for each picture, and one JSON file that says what the segments are.

Source: https://cocodataset.org/#format-data, "Panoptic Segmentation".
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from .decode import decode, refusing
from .files import atomic_write, open_regular
from .images import encode_png

BYTES = np.array([1, 1 << 8, 1 << 16])  # what red, green and blue count in an id
MAX_JSON = 1 << 30  # bytes


@dataclass(frozen=True)
class Segment:
    """One object, or all of a kind of stuff, in a picture.

    Attributes:
        id: Its value in the PNG, 1 to 2**24 - 1.
        category_id: Id of its category.
        area: Its pixels.
        bbox: First column, first row, width, height.
        iscrowd: 1 where it holds several objects that nobody told apart.
    """

    id: int
    category_id: int
    area: int
    bbox: tuple[int, int, int, int]
    iscrowd: int = 0


@dataclass(frozen=True)
class Annotation:
    """The segments of a picture, of which ``file_name`` is the PNG; what belongs to none is void, id 0."""

    image_id: int | str
    file_name: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Panoptic:
    """What the JSON file says.

    Attributes:
        annotations: One for each picture.
        categories: With ``id``, ``name`` and ``isthing``, as they stand in the file.
        others: The other keys of the file as they stand there, such as ``images``, ``info`` and ``licenses``.
    """

    annotations: tuple[Annotation, ...]
    categories: tuple[Mapping[str, Any], ...]
    others: Mapping[str, Any] = field(default_factory=dict)


def read_panoptic(path: str | os.PathLike[str]) -> Panoptic:
    """Read the JSON file.

    Raises:
        InputError: It cannot be read, or is of another form; the message says where.
    """
    with open_regular(path) as file, refusing(path):
        data = file.read(MAX_JSON + 1)
        if len(data) > MAX_JSON:
            raise InputError(path, f"more than {MAX_JSON} bytes; split it")
        content = json.loads(data)
    place = "the file"
    try:
        others = {key: value for key, value in content.items() if key not in ("annotations", "categories")}
        categories = content["categories"]
        for number, one in enumerate(categories):
            place = f"category {number}"
            _ = int(one["id"]), str(one["name"]), int(one["isthing"])
        annotations = []
        for number, one in enumerate(content["annotations"]):
            place = f"annotation {number}"
            segments = tuple(_segment(segment) for segment in one["segments_info"])
            name = str(one["file_name"])
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"file_name is {name!r}, which leads out of the folder of the PNGs")
            annotations.append(Annotation(one["image_id"], name, segments))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        wanted = "annotations with image_id, file_name and segments_info, categories with id, name and isthing"
        raise InputError(path, f"{place} ({type(error).__name__}: {error}); wanted are {wanted}") from None
    return Panoptic(tuple(annotations), tuple(categories), others)


def _segment(one: Mapping[str, Any]) -> Segment:
    left, top, width, height = map(int, one["bbox"])
    crowd = int(one.get("iscrowd", 0))  # which results leave out
    return Segment(int(one["id"]), int(one["category_id"]), int(one["area"]), (left, top, width, height), crowd)


def write_panoptic(path: str | os.PathLike[str], panoptic: Panoptic) -> None:
    """Write the JSON file, atomically; `read_panoptic` gives the same back.

    Raises:
        OutputError: See `files.atomic_write`.
    """
    annotations = [
        {"image_id": one.image_id, "file_name": one.file_name, "segments_info": [*map(asdict, one.segments)]}
        for one in panoptic.annotations
    ]
    content = {**panoptic.others, "annotations": annotations, "categories": panoptic.categories}
    atomic_write(path, json.dumps(content).encode())


def read_ids(path: str | os.PathLike[str], segments: Sequence[Segment] | None = None) -> np.ndarray:
    """Read the ids of a picture's PNG, R + 256 G + 65536 B; with ``segments``, those that have to be in it.

    Returns:
        int64 (H, W); 0 is void.

    Raises:
        InputError: It cannot be read, is no RGB PNG of 8 bits, or has other segments or areas than the JSON file says.
    """
    picture = decode(path, 1 << 27)
    if (
        picture.lossy
        or picture.bits != 8
        or not isinstance(picture.pixels, Image.Image)
        or picture.pixels.mode != "RGB"
    ):
        raise InputError(path, "is no RGB PNG of 8 bits, in which ids are R + 256 G + 65536 B")
    ids = np.asarray(picture.pixels).astype(np.int64) @ BYTES
    if segments is not None:
        told = {segment.id: segment.area for segment in segments}
        found, areas = np.unique(ids[ids > 0], return_counts=True)
        there = dict(zip(found.tolist(), areas.tolist(), strict=True))
        for number in sorted(told.keys() | there.keys()):
            if told.get(number, 0) != there.get(number, 0):
                areas_of = f"{there.get(number, 0)} pixels here and {told.get(number, 0)} in the JSON file"
                raise InputError(path, f"segment {number} has {areas_of}; they belong to different versions")
    return ids


def write_ids(path: str | os.PathLike[str], ids: np.ndarray) -> None:
    """Write ids (H, W), 0 to 2**24 - 1, as an RGB PNG, atomically.

    Raises:
        ValueError: An id does not fit.
        OutputError: See `files.atomic_write`.
    """
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or ids.min(initial=0) < 0 or ids.max(initial=0) >= 1 << 24:
        raise ValueError(f"ids of {ids.dtype} {ids.shape} came; wanted are (H, W) integers in 0..{(1 << 24) - 1}")
    atomic_write(path, encode_png(Image.fromarray((ids[..., None] // BYTES % 256).astype(np.uint8))))


def planes_of(ids: np.ndarray, segments: Sequence[Segment], classes: Mapping[int, int]) -> np.ndarray:
    """Id, class and crowd of the segment of each pixel, int64 (3, H, W), for `metrics_panoptic`.

    Args:
        ids: (H, W), see `read_ids`.
        segments: Those of the ids.
        classes: Index of each category's id; void, and what is of another category, is of class -1.

    >>> planes_of(np.array([[0, 7, 7]]), [Segment(7, 184, 2, (1, 0, 2, 1))], {184: 3})[1]
    array([[-1,  3,  3]])
    """
    table = np.full((1 + len(segments), 3), (0, -1, 0), np.int64)  # void first
    known = sorted(segments, key=lambda segment: segment.id)
    for row, one in zip(table[1:], known, strict=True):
        row[:] = one.id, classes.get(one.category_id, -1), one.iscrowd
    place = np.searchsorted([segment.id for segment in known], ids, side="right")
    place[ids == 0] = 0
    return np.ascontiguousarray(np.moveaxis(table[place], -1, 0))


def segments_in(ids: np.ndarray, categories: Mapping[int, int]) -> tuple[Segment, ...]:
    """The segments of ids (H, W), of which ``categories`` tells the category of each.

    >>> segments_in(np.array([[0, 7, 7], [5, 0, 7]]), {5: 1, 7: 184})[1]
    Segment(id=7, category_id=184, area=3, bbox=(1, 0, 2, 2), iscrowd=0)
    """
    found = []
    for number in np.unique(ids[ids > 0]).tolist():
        rows, columns = np.nonzero(ids == number)
        top, left = int(rows.min()), int(columns.min())
        box = left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1
        found.append(Segment(number, categories[number], len(rows), box))
    return tuple(found)
