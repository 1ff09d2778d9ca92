"""The ways data sets are laid out on disk: one function for each, and one table of them.

A layout function looks at a folder and answers with its `Listing`, or with None if the folder is laid out otherwise.
A further layout is one such function and one entry of `LAYOUTS`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import UsageError
from ..io.files import find_images
from .classes import Label
from .dataset import Problem, Sample

SPLITS = ("train", "val", "test")
MASK_SUFFIXES = ("_mask", "_masks", "_label")

Files = dict[str, list[Path]]  # the files of each name; more than one is a problem


@dataclass
class Listing:
    """What a layout function found: samples by split, and the labels where the layout itself defines them."""

    labels: tuple[Label, ...] | None = None
    ignored: Iterable[int] = ()  # mask values without a label whose pixels are not to be learned, besides 255
    splits: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, split: str, image_folder: Path, images: Files, mask_folder: Path, masks: Files) -> None:
        """Pair the images and masks of one name; what cannot be paired is a problem."""
        problems = [] if images else [Problem(image_folder, "holds no image")]
        for paths in (*images.values(), *masks.values()):
            problems += [Problem(path, f"has the same name as {paths[0].name}; keep one of them") for path in paths[1:]]
        if masks or split != "test":  # the annotations of a test split may be withheld, all of them
            for name in images.keys() - masks.keys():
                problems.append(Problem(images[name][0], f"has no mask in {mask_folder}; add it or remove the image"))
        for name in masks.keys() - images.keys():
            problems.append(Problem(masks[name][0], f"has no image in {image_folder}; add it or remove the mask"))
        self.problems += sorted(problems, key=lambda problem: str(problem.path))
        self.splits[split] = tuple(
            Sample(name, paths[0], masks[name][0] if name in masks else None) for name, paths in images.items()
        )


def default(root: Path) -> Listing | None:
    """`images/train/NAME.png` with `masks/train/NAME.png`, or `train/images/NAME.png` with `train/masks/NAME.png`.

    A mask may be called NAME_mask, NAME_masks or NAME_label; for multilabel it is a folder NAME with one mask a class.
    """
    for place in ("{part}/{split}", "{split}/{part}"):
        splits = [split for split in SPLITS if (root / place.format(part="images", split=split)).is_dir()]
        if splits:
            listing = Listing()
            for split in splits:
                image_folder, mask_folder = (root / place.format(part=p, split=split) for p in ("images", "masks"))
                images = _by_name(image_folder)
                listing.add(split, image_folder, images, mask_folder, _masks_by_name(mask_folder, images))
            return listing
    return None


def lists(root: Path) -> Listing | None:
    """`images/NAME.png` with `masks/NAME.png`, and the names of each split in `train.txt`, `val.txt` and `test.txt`."""
    image_folder, mask_folder = root / "images", root / "masks"
    splits = [split for split in SPLITS if (root / f"{split}.txt").is_file()]
    if not (image_folder.is_dir() and mask_folder.is_dir() and splits):
        return None
    listing = Listing()
    every_image = _by_name(image_folder)
    every_mask = _masks_by_name(mask_folder, every_image)
    for split in splits:
        images = _listed(listing, root / f"{split}.txt", every_image)
        listing.add(split, image_folder, images, mask_folder, _only(images, every_mask))
    return listing


def camvid(root: Path) -> Listing | None:
    """`train/NAME.png` with `trainannot/NAME.png` (0..10 and 11 = void), and perhaps the names in `train.txt`.

    Source: Badrinarayanan et al., SegNet, PAMI 2017: the grouping of CamVid into 11 classes, and their colours.
    """
    if not any((root / f"{split}annot").is_dir() for split in SPLITS):
        return None
    listing = Listing(CAMVID)
    for split in (split for split in SPLITS if (root / split).is_dir()):
        image_folder, mask_folder, list_file = root / split, root / f"{split}annot", root / f"{split}.txt"
        images, masks = _by_name(image_folder), _by_name(mask_folder)
        if list_file.is_file():
            images = _listed(listing, list_file, images)
            masks = _only(images, masks)
        listing.add(split, image_folder, images, mask_folder, masks)
    return listing


def cityscapes(root: Path) -> Listing | None:
    """`leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png` with `gtFine/SPLIT/CITY/NAME_gtFine_labelTrainIds.png`.

    Where there are no train ids, which the official scripts make, the labelIds that are published serve as well.
    Source: Cordts et al., The Cityscapes Dataset, CVPR 2016; cityscapesScripts, `helpers/labels.py`.
    """
    splits = [split for split in SPLITS if (root / "leftImg8bit" / split).is_dir()]
    if not splits:
        return None
    train_ids, ids = (
        {split: _by_name(root / "gtFine" / split, f"_gtFine_{kind}") for split in splits}
        for kind in ("labelTrainIds", "labelIds")
    )
    if any(train_ids.values()):
        listing = Listing(tuple(Label(name, value, color) for value, (name, _, color) in enumerate(CITYSCAPES)))
        masks = train_ids
    else:
        labels = tuple(Label(name, value, color) for name, value, color in CITYSCAPES)
        listing = Listing(labels, ignored=set(range(34)) - {label.value for label in labels})
        masks = ids
    for split in splits:
        image_folder, mask_folder = root / "leftImg8bit" / split, root / "gtFine" / split
        listing.add(split, image_folder, _by_name(image_folder, "_leftImg8bit"), mask_folder, masks[split])
    return listing


class Layout(NamedTuple):
    """A layout: its function and, for the message when none fits, the files it looks for."""

    find: Callable[[Path], Listing | None]
    looks_for: str


LAYOUTS = {
    "cityscapes": Layout(cityscapes, "leftImg8bit/{train,val,test}/CITY/NAME_leftImg8bit.png and gtFine/..."),
    "camvid": Layout(camvid, "{train,val,test}/NAME.png and {train,val,test}annot/NAME.png"),
    "default": Layout(default, "{images,masks}/{train,val,test}/NAME.png or {train,val,test}/{images,masks}/NAME.png"),
    "lists": Layout(lists, "{images,masks}/NAME.png and {train,val,test}.txt"),
}


def recognise(root: Path) -> tuple[str, Listing]:
    """The name of the first layout that fits ``root``, and what it found.

    Raises:
        UsageError: None fits.
    """
    for name, layout in LAYOUTS.items():
        listing = layout.find(root)
        if listing is not None:
            return name, listing
    sought = "; ".join(f"{name}: {layout.looks_for}" for name, layout in LAYOUTS.items())
    raise UsageError(f"{root} is in no layout that is known; looked for {sought}")


def _by_name(folder: Path, suffix: str = "") -> Files:
    """The image files under ``folder`` whose stem ends with ``suffix``, by relative path without suffix."""
    files: Files = {}
    try:
        images = find_images(folder, follow_links=True)
    except UsageError:  # no such folder, or no image in it: what that means depends on the folder
        return files
    for found in images:
        name = found.relative.with_suffix("").as_posix()
        if name.endswith(suffix):
            files.setdefault(name.removesuffix(suffix), []).append(found.path)
    return files


def _masks_by_name(folder: Path, images: Files) -> Files:
    """The masks under ``folder`` by the name of their image: equal to it or with one of `MASK_SUFFIXES` behind.

    Where images have folders of their name, these folders are the masks (multilabel).
    """
    masks: Files = {}
    if any((folder / name).is_dir() for name in images):
        for paths in _by_name(folder).values():
            masks[paths[0].parent.relative_to(folder).as_posix()] = [paths[0].parent]
        return masks
    for name, paths in _by_name(folder).items():
        candidates = (name, *(name.removesuffix(suffix) for suffix in MASK_SUFFIXES))
        masks.setdefault(next((c for c in candidates if c in images), name), []).extend(paths)
    return masks


def _listed(listing: Listing, list_file: Path, images: Files) -> Files:
    """The images that ``list_file`` names, one a line.

    Lines are looked up among the images found and never opened, so no line leads out of the folder. A line may also be
    a path written on another machine, with the path of the mask behind it, as in SegNet's lists.
    """
    chosen: Files = {}
    try:
        lines = list_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{list_file}: {error}") from None
    for line in filter(None, map(str.strip, lines)):
        candidates = (line, Path(line).with_suffix("").as_posix(), Path(line.split()[0]).stem)
        name = next((candidate for candidate in candidates if candidate in images), None)
        if name is None:
            listing.problems.append(Problem(list_file, f"names {line}, which is not among the images"))
        else:
            chosen[name] = images[name]
    return chosen


def _only(images: Files, masks: Files) -> Files:
    return {name: paths for name, paths in masks.items() if name in images}


CAMVID = (
    Label("Sky", 0, (128, 128, 128)),
    Label("Building", 1, (128, 0, 0)),
    Label("Pole", 2, (192, 192, 128)),
    Label("Road", 3, (128, 64, 128)),
    Label("Pavement", 4, (60, 40, 222)),
    Label("Tree", 5, (128, 128, 0)),
    Label("SignSymbol", 6, (192, 128, 128)),
    Label("Fence", 7, (64, 64, 128)),
    Label("Car", 8, (64, 0, 128)),
    Label("Pedestrian", 9, (64, 64, 0)),
    Label("Bicyclist", 10, (0, 128, 192)),
    Label("Unlabelled", 11, (0, 0, 0)),
)

# name, id in the published labelIds, colour; the order is that of the train ids
CITYSCAPES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
