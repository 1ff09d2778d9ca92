"""The layout of nnU-Net, in which each channel of an image may be a file."""

import json
import re
from pathlib import Path

from ..errors import UsageError
from ..io.files import IMAGE_SUFFIXES
from .classes import Label, checked, parse_entries
from .dataset import Problem
from .listing import Files, Listing, by_name, read_text


def nnunet(root: Path) -> Listing | None:
    """`imagesTr/CASE_0000.png` (further channels: `_0001`, ...) with `labelsTr/CASE.png`, and `imagesTs` to test on.

    The labels are those of `dataset.json`. Volumes are not read yet.
    Source: Isensee et al., nnU-Net, Nature Methods 18, 2021; github.com/MIC-DKFZ/nnUNet, dataset-format.md.
    """
    if not (root / "imagesTr").is_dir():
        return None
    labels, ending = _read_description(root / "dataset.json")
    listing = Listing(labels)
    for split, part in (("train", "Tr"), ("test", "Ts")):
        image_folder, mask_folder = root / f"images{part}", root / f"labels{part}"
        if image_folder.is_dir():
            cases = _by_case(listing, _of_type(by_name(image_folder), ending))
            images = {case: paths[:1] for case, paths in cases.items()}
            channels = {case: tuple(paths[1:]) for case, paths in cases.items()}
            masks = _of_type(by_name(mask_folder), ending)
            listing.add(split, image_folder, images, mask_folder, masks, channels=channels)
    return listing


def _read_description(path: Path) -> tuple[tuple[Label, ...], str]:
    """The labels in a `dataset.json`, and how the names of its images and masks end."""
    try:
        described = json.loads(read_text(path))
        ending, labels = described["file_ending"], described["labels"]
        if ending not in IMAGE_SUFFIXES:
            raise UsageError(f"{path}: file_ending is {ending}; pictures are read, such as .png; volumes come later")
        return checked(parse_entries({"name": name, "value": value} for name, value in labels.items()), path), ending
    except (AttributeError, KeyError, TypeError):
        wanted = '{"file_ending": ".png", "labels": {"background": 0, ...}, ...}'
        raise UsageError(f"{path} is not that of an nnU-Net data set; write {wanted}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


def _of_type(files: Files, ending: str) -> Files:
    chosen = {name: [path for path in paths if path.suffix == ending] for name, paths in files.items()}
    return {name: paths for name, paths in chosen.items() if paths}


def _by_case(listing: Listing, files: Files) -> Files:
    """The files of the channels of each case, in their order; every case needs the channels that any has."""
    cases: dict[str, dict[str, Path]] = {}
    for name, (path,) in files.items():
        numbered = re.fullmatch(r"(.+)_(\d{4})", name)
        if numbered:
            cases.setdefault(numbered[1], {})[numbered[2]] = path
        else:
            listing.problems.append(Problem(path, "ends with no channel, such as _0000; rename it"))
    numbers = {number for channels in cases.values() for number in channels}
    for case, channels in cases.items():
        for number in sorted(numbers - channels.keys()):
            first = next(iter(channels.values()))
            listing.problems.append(Problem(first, f"has no channel {case}_{number} beside it, as others have; add it"))
    return {case: [*channels.values()] for case, channels in cases.items()}
