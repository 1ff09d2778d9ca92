"""Listing the samples of a data set: which image goes with which mask, and what goes with nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError
from ..io.files import find_images, without_suffix
from .classes import Label
from .dataset import MissingMask, Problem, Sample

MASK_SUFFIXES = ("_mask", "_masks", "_label")

Files = dict[str, list[Path]]  # the files of each name; more than one is a problem


@dataclass
class Listing:
    """What a layout function found: samples by split, and the labels where the layout itself defines them."""

    labels: tuple[Label, ...] | None = None
    ignored: Iterable[int] = ()  # mask values without a label whose pixels are not to be learned, besides 255
    splits: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(
        self,
        split: str,
        image_folder: Path,
        images: Files,
        mask_folder: Path,
        masks: Files,
        *,
        channels: Mapping[str, tuple[Path, ...]] | None = None,
        fields_of_view: Files | None = None,
        sparse: bool = False,
    ) -> None:
        """Pair the images and masks of one name; what cannot be paired is a problem, except, if ``sparse``, images."""
        channels, fields_of_view = channels or {}, fields_of_view or {}
        problems = [] if images else [Problem(image_folder, "holds no image")]
        for paths in (*images.values(), *masks.values(), *fields_of_view.values()):
            problems += [Problem(path, f"has the same name as {paths[0].name}; keep one of them") for path in paths[1:]]
        if not sparse and (masks or split != "test"):  # the annotations of a test split may be withheld, all of them
            for name in images.keys() - masks.keys():
                reason = f"has no mask in {mask_folder}; add it or remove the image"
                problems.append(MissingMask(images[name][0], reason))
        for name in masks.keys() - images.keys():
            problems.append(Problem(masks[name][0], f"has no image in {image_folder}; add it or remove the mask"))
        if fields_of_view:
            for name in images.keys() - fields_of_view.keys():
                problems.append(Problem(images[name][0], "has no field of view in fov, as others have; add it"))
        self.problems += sorted(problems, key=lambda problem: str(problem.path))
        self.splits[split] = tuple(
            Sample(
                name,
                paths[0],
                masks[name][0] if name in masks else None,
                channels.get(name, ()),
                fields_of_view[name][0] if name in fields_of_view else None,
            )
            for name, paths in images.items()
        )


def by_name(folder: Path, suffix: str = "") -> Files:
    """The image files under ``folder`` whose stem ends with ``suffix``, by relative path without suffix."""
    files: Files = {}
    try:
        images = find_images(folder, follow_links=True)
    except UsageError:  # no such folder, or no image in it: what that means depends on the folder
        return files
    for found in images:
        name = without_suffix(found.relative).as_posix()
        if name.endswith(suffix):
            files.setdefault(name.removesuffix(suffix), []).append(found.path)
    return files


def masks_by_name(folder: Path, images: Files) -> Files:
    """The masks under ``folder`` by the name of their image: equal to it or with one of `MASK_SUFFIXES` behind.

    Where images have folders of their name, these folders are the masks (multilabel).
    """
    masks: Files = {}
    if any((folder / name).is_dir() for name in images):
        for paths in by_name(folder).values():
            masks[paths[0].parent.relative_to(folder).as_posix()] = [paths[0].parent]
        return masks
    for name, paths in by_name(folder).items():
        candidates = (name, *(name.removesuffix(suffix) for suffix in MASK_SUFFIXES))
        masks.setdefault(next((c for c in candidates if c in images), name), []).extend(paths)
    return masks


def listed(listing: Listing, list_file: Path, images: Files) -> Files:
    """The images that ``list_file`` names, one a line.

    Lines are looked up among the images found and never opened, so no line leads out of the folder. A line may also be
    a path written on another machine, with the path of the mask behind it, as in SegNet's lists.
    """
    chosen: Files = {}
    for line in filter(None, map(str.strip, read_text(list_file).splitlines())):
        candidates = (line, without_suffix(Path(line)).as_posix(), Path(line.split()[0]).stem)
        name = next((candidate for candidate in candidates if candidate in images), None)
        if name is None:
            listing.problems.append(Problem(list_file, f"names {line}, which is not among the images"))
        else:
            chosen[name] = images[name]
    return chosen


def only(images: Files, masks: Files) -> Files:
    """The masks that have an image."""
    return {name: paths for name, paths in masks.items() if name in images}


def read_text(path: Path) -> str:
    """The text of a list or description; what cannot be read is a `UsageError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
