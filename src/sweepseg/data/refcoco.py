"""The files of RefCOCO, RefCOCO+ and RefCOCOg: `instances.json` with the objects, `refs(SPLITTER).p` with sentences.

The latter is a pickle, and a pickle can run any program. It is read by an unpickler that knows nothing but containers,
texts and numbers of Python itself; whatever else a file asks for is refused before anything is called.
"""

import io
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..errors import UsageError
from ..io.files import open_regular
from .dataset import Problem, Sample
from .listing import by_name
from .outlines import Outline

SPLITTERS = ("unc", "umd", "google")  # who divided the sentences; the first that is there counts
SPLITS = {"train": "train", "val": "val", "test": "test", "testA": "test", "testB": "test"}


class PlainUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists, tuples, texts, bytes, numbers, truth values and None, and refuses all that is code."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse.

        Raises:
            UnpicklingError: Always.
        """
        raise pickle.UnpicklingError(f"asks for {module}.{name}, but only containers, texts and numbers are read")


def read_refcoco(root: Path) -> tuple[Mapping[str, Sequence[Sample]], list[Problem]]:
    """The samples of each split, one for each sentence, with names such as `testA/REF/SENTENCE`, and their problems.

    The images of COCO, `train2014/COCO_train2014_000000000009.jpg`, may lie in any folder below ``root``. testA and
    testB are "test" together.

    Raises:
        UsageError: A file is missing or cannot be understood.

    Source: Yu et al. 2016, Modeling Context in Referring Expressions, arXiv:1608.00272; github.com/lichengunc/refer.
    """
    found = [path for path in (root / f"refs({by}).p" for by in SPLITTERS) if path.is_file()]
    if not found:
        raise UsageError(f"{root} has instances.json but no refs(unc).p, refs(umd).p or refs(google).p beside it")
    source = root / "instances.json"
    files = {path.name: path for paths in by_name(root).values() for path in paths}
    try:
        pictures, objects = _pictures_and_objects(_read(source))
    except Exception as error:  # whatever json or a wrong shape of its values raises
        raise UsageError(f"{source} is not COCO's: {_told(error)}") from None
    splits: dict[str, list[Sample]] = {}
    problems: list[Problem] = []
    try:
        for ref in PlainUnpickler(io.BytesIO(_read(found[0])), encoding="utf-8").load():
            split, (file, height, width) = SPLITS[ref["split"]], pictures[ref["image_id"]]
            try:
                outline = Outline.parsed(objects[ref["ann_id"]], height, width)
            except ValueError as error:
                problems.append(Problem(source, f"the outline of annotation {ref['ann_id']} {error}"))
                continue
            if file not in files:
                problems.append(Problem(found[0], f"speaks of {file}, which lies nowhere below {root}"))
                continue
            for said in ref["sentences"]:
                name = f"{ref['split']}/{ref['ref_id']}/{said['sent_id']}"
                sample = Sample(name, files[file], source, sentence=str(said["sent"]), outline=outline)
                splits.setdefault(split, []).append(sample)
    except Exception as error:  # damaged pickles raise nearly anything
        raise UsageError(f"{found[0]} is not RefCOCO's: {_told(error)}") from None
    return splits, problems


def _pictures_and_objects(text: bytes) -> tuple[dict[int, tuple[str, int, int]], dict[int, Any]]:
    """The file and size of each picture, and what "segmentation" says of each object."""
    data = json.loads(text)
    pictures = {one["id"]: (str(one["file_name"]), int(one["height"]), int(one["width"])) for one in data["images"]}
    return pictures, {one["id"]: one["segmentation"] for one in data["annotations"]}


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read()


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
