"""The ways data sets are laid out on disk: one function for each, and one table of them.

A layout function looks at a folder and answers with its `Listing`, or with None if the folder is laid out otherwise.
A further layout is one such function and one entry of `LAYOUTS`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import UsageError
from .classes import Label
from .dataset import Problem
from .labels import CAMVID, CITYSCAPES, COCO_STUFF_UNUSED, VOC
from .listing import Files, Listing, by_name, listed, masks_by_name, only, read_text
from .nnunet import nnunet

SPLITS = ("train", "val", "test")


def default(root: Path) -> Listing | None:
    """`images/train/NAME.png` with `masks/train/NAME.png`, or `train/images/NAME.png` with `train/masks/NAME.png`.

    A mask may be called NAME_mask, NAME_masks or NAME_label; for multilabel it is a folder NAME with one mask a class.
    Where there is `fov/train/NAME.png` or `train/fov/NAME.png`, pixels at which it is 0 are ignored.
    """
    for place in ("{part}/{split}", "{split}/{part}"):
        splits = [split for split in SPLITS if (root / place.format(part="images", split=split)).is_dir()]
        if splits:
            listing = Listing()
            for split in splits:
                image_folder, mask_folder, fov_folder = (
                    root / place.format(part=part, split=split) for part in ("images", "masks", "fov")
                )
                images = by_name(image_folder)
                masks, fov = masks_by_name(mask_folder, images), by_name(fov_folder)
                listing.add(split, image_folder, images, mask_folder, masks, fields_of_view=fov)
            return listing
    return None


def lists(root: Path) -> Listing | None:
    """`images/NAME.png` with `masks/NAME.png`, and the names of each split in `train.txt`, `val.txt` and `test.txt`.

    Where there is `fov/NAME.png`, pixels at which it is 0 are ignored.
    """
    image_folder, mask_folder = root / "images", root / "masks"
    if not (image_folder.is_dir() and mask_folder.is_dir() and _list_files(root)):
        return None
    listing = Listing()
    _add_by_lists(listing, root, image_folder, mask_folder, by_name(root / "fov"))
    return listing


def voc(root: Path) -> Listing | None:
    """`JPEGImages/NAME.jpg` with `SegmentationClass/NAME.png`, names in `ImageSets/Segmentation/{train,val,test}.txt`.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2012, development kit.
    """
    image_folder, mask_folder, list_folder = (
        root / part for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation")
    )
    if not (image_folder.is_dir() and mask_folder.is_dir()):
        return None
    if not _list_files(list_folder):
        raise UsageError(f"{list_folder} holds none of train.txt, val.txt and test.txt; write a name a line into them")
    listing = Listing(VOC)
    _add_by_lists(listing, list_folder, image_folder, mask_folder)
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
        images, masks = by_name(image_folder), by_name(mask_folder)
        if list_file.is_file():
            images = listed(listing, list_file, images)
            masks = only(images, masks)
        listing.add(split, image_folder, images, mask_folder, masks)
    return listing


def cityscapes(root: Path) -> Listing | None:
    """`leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png` with `gtFine/SPLIT/CITY/NAME_gtFine_labelTrainIds.png`.

    Where there are no train ids, which the official scripts make, the labelIds that are published serve as well.
    Source: Cordts et al., The Cityscapes Dataset, CVPR 2016; cityscapesScripts, `helpers/labels.py`.
    """
    return _cityscapes(root, "leftImg8bit", sparse=False)


def cityscapes_sequence(root: Path) -> Listing | None:
    """`leftImg8bit_sequence/SPLIT/CITY/NAME_leftImg8bit.png`, 30 frames a video, and `gtFine` for the 20th of each.

    Where the pictures of `leftImg8bit` lie beside it, the folder is a data set of pictures.
    Source: as `cityscapes`.
    """
    return _cityscapes(root, "leftImg8bit_sequence", sparse=True)


def davis(root: Path) -> Listing | None:
    """`JPEGImages/480p/VIDEO/00000.jpg` with `Annotations/480p/VIDEO/00000.png`: background and object.

    The videos of a split stand in `ImageSets/{480p,2017,2016}/SPLIT.txt` or `SPLIT.txt`, by name or by their frames;
    the folders of the resolution may be missing. All objects of DAVIS 2017 are one class, as in DAVIS 2016.
    Source: Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR 2016.
    """
    resolution = next((one for one in ("480p", "Full-Resolution") if (root / "JPEGImages" / one).is_dir()), "")
    image_folder, mask_folder = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    masks = by_name(mask_folder)
    if (root / "SegmentationClass").is_dir() or not image_folder.is_dir() or not masks:
        return None
    places = [root / "ImageSets" / one for one in ("480p", "2017", "2016")] + [root]
    list_folder = next((place for place in places if _list_files(place)), None)
    if list_folder is None:
        raise UsageError(f"{root} names no videos; write them into train.txt, val.txt and test.txt, one a line")
    listing, images = Listing((Label("background", 0), Label("object", 1, last=255))), by_name(image_folder)
    for split, list_file in _list_files(list_folder).items():
        lines = filter(None, map(str.strip, read_text(list_file).splitlines()))
        videos = dict.fromkeys(Path(line.split()[0]).parent.name or line for line in lines)
        chosen: Files = {}
        for video in videos:
            frames = {name: paths for name, paths in images.items() if name.startswith(f"{video}/")}
            if not frames:
                listing.problems.append(Problem(list_file, f"names {video}, which is no video in {image_folder}"))
            chosen |= frames
        listing.add(split, image_folder, chosen, mask_folder, only(chosen, masks))
    return listing


def ade20k(root: Path) -> Listing | None:
    """`images/training/NAME.jpg` with `annotations/training/NAME.png`, `validation` likewise: 0 = void, 1 to 150.

    The names of the classes are those of `objectInfo150.txt`, which comes with the pictures.
    Source: Zhou et al., Scene Parsing through ADE20K Dataset, CVPR 2017; github.com/CSAILVision/sceneparsing.
    """
    listing = _by_folders(root, {"train": "training", "val": "validation", "test": "testing"})
    if listing is not None:
        names = _numbered_names(root / "objectInfo150.txt", "\t")
        listing.labels = (Label("void", 0), *(Label(names.get(i, f"class {i}"), i) for i in range(1, 151)))
    return listing


def coco_stuff(root: Path) -> Listing | None:
    """`images/train2017/NAME.jpg` with `annotations/train2017/NAME.png` (the stuffthingmaps), `val2017` likewise.

    The names of the classes are those of the published `labels.txt`, where it lies beside the two folders.
    Source: Caesar et al., COCO-Stuff, CVPR 2018; github.com/nightrome/cocostuff.
    """
    listing = _by_folders(root, {"train": "train2017", "val": "val2017", "test": "test2017"})
    if listing is not None:
        names = _numbered_names(root / "labels.txt", ":")
        ids = [i for i in range(1, 183) if i not in COCO_STUFF_UNUSED]
        listing.labels = tuple(Label(names.get(i, f"class {i}"), i - 1) for i in ids)
    return listing


class Layout(NamedTuple):
    """A layout: its function and, for the message when none fits, the files it looks for."""

    find: Callable[[Path], Listing | None]
    looks_for: str


LAYOUTS = {
    "cityscapes": Layout(cityscapes, "leftImg8bit/{train,val,test}/CITY/NAME_leftImg8bit.png and gtFine/..."),
    "cityscapes_sequence": Layout(
        cityscapes_sequence, "leftImg8bit_sequence/{train,val,test}/CITY/NAME_leftImg8bit.png and gtFine/..."
    ),
    "davis": Layout(davis, "{JPEGImages,Annotations}/480p/VIDEO/00000.jpg and ImageSets/480p/{train,val}.txt"),
    "camvid": Layout(camvid, "{train,val,test}/NAME.png and {train,val,test}annot/NAME.png"),
    "voc": Layout(voc, "{JPEGImages,SegmentationClass}/NAME.png and ImageSets/Segmentation/{train,val,test}.txt"),
    "ade20k": Layout(ade20k, "{images,annotations}/{training,validation}/NAME.png"),
    "coco_stuff": Layout(coco_stuff, "{images,annotations}/{train2017,val2017}/NAME.png"),
    "nnunet": Layout(nnunet, "imagesTr/CASE_0000.png (or .nii.gz), labelsTr/CASE.png and dataset.json"),
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
    without_masks = "without masks, give task classification or sequence"
    raise UsageError(f"{root} is in no layout that is known; looked for {sought}; {without_masks}")


def _cityscapes(root: Path, folder: str, *, sparse: bool) -> Listing | None:
    splits = [split for split in SPLITS if (root / folder / split).is_dir()]
    if not splits:
        return None
    train_ids, ids = (
        {split: by_name(root / "gtFine" / split, f"_gtFine_{kind}") for split in splits}
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
        image_folder, mask_folder = root / folder / split, root / "gtFine" / split
        images = by_name(image_folder, "_leftImg8bit")
        listing.add(split, image_folder, images, mask_folder, masks[split], sparse=sparse)
    return listing


def _list_files(folder: Path) -> dict[str, Path]:
    """The list of names of each split that has one."""
    return {split: folder / f"{split}.txt" for split in SPLITS if (folder / f"{split}.txt").is_file()}


def _add_by_lists(
    listing: Listing, list_folder: Path, image_folder: Path, mask_folder: Path, fov: Files | None = None
) -> None:
    """Add the splits that `list_folder/{train,val,test}.txt` take from one folder of images."""
    every_image = by_name(image_folder)
    every_mask = masks_by_name(mask_folder, every_image)
    seen: dict[str, str] = {}  # the list that has named an image
    for split, list_file in _list_files(list_folder).items():
        images = listed(listing, list_file, every_image)
        for name in sorted(images.keys() & seen.keys()):
            listing.problems.append(Problem(list_file, f"names {name}, as {seen[name]} does; keep it in one of them"))
        seen |= dict.fromkeys(images, list_file.name)
        masks, fields = only(images, every_mask), only(images, fov or {})
        listing.add(split, image_folder, images, mask_folder, masks, fields_of_view=fields)


def _by_folders(root: Path, folders: Mapping[str, str]) -> Listing | None:
    """`images/FOLDER/NAME.jpg` with `annotations/FOLDER/NAME.png`, where a split has a folder of another name."""
    if not any((root / "images" / folder).is_dir() for folder in folders.values()):
        return None
    listing = Listing()
    for split, folder in folders.items():
        image_folder, mask_folder = root / "images" / folder, root / "annotations" / folder
        if image_folder.is_dir():
            listing.add(split, image_folder, by_name(image_folder), mask_folder, by_name(mask_folder))
    return listing


def _numbered_names(path: Path, separator: str) -> dict[int, str]:
    """The name in the last column, less its synonyms, for the number in the first; none without the file."""
    if not path.is_file():
        return {}
    rows = [line.split(separator) for line in read_text(path).splitlines()]
    return {int(row[0]): row[-1].split(",")[0].strip() for row in rows if row[0].strip().isdecimal()}
