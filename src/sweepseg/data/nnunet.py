"""The layouts of nnU-Net, in which each channel of an image may be a file, and of the Decathlon, from which it came."""

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

    The labels are those of `dataset.json`, for pictures and volumes. That of the Medical Segmentation Decathlon, which
    names no file ending, serves as well: `imagesTr/CASE.nii.gz`, with channels along the fourth axis.
    Source: Isensee et al., nnU-Net, Nature Methods 18, 2021; github.com/MIC-DKFZ/nnUNet, dataset-format.md; Antonelli
    et al., The Medical Segmentation Decathlon, Nature Communications 13, 2022.
    """
    if not (root / "imagesTr").is_dir():
        return None
    labels, ending, numbered = _read_description(root / "dataset.json")
    listing = Listing(labels)
    for split, part in (("train", "Tr"), ("test", "Ts")):
        image_folder, mask_folder = root / f"images{part}", root / f"labels{part}"
        if image_folder.is_dir():
            files = _of_type(by_name(image_folder), ending)
            cases = _by_case(listing, files) if numbered else files
            images = {case: paths[:1] for case, paths in cases.items()}
            channels = {case: tuple(paths[1:]) for case, paths in cases.items()}
            masks = _of_type(by_name(mask_folder), ending)
            listing.add(split, image_folder, images, mask_folder, masks, channels=channels)
    return listing


def _read_description(path: Path) -> tuple[tuple[Label, ...], str, bool]:
    """The labels in a `dataset.json`, how the names of its files end, and whether those of images number channels."""
    try:
        described = json.loads(read_text(path))
        labels, decathlon = described["labels"], "file_ending" not in described and "modality" in described
        ending = ".nii.gz" if decathlon else described["file_ending"]
        if ending not in IMAGE_SUFFIXES:
            known = ", ".join(sorted(IMAGE_SUFFIXES))
            raise UsageError(f"{path}: file_ending is {ending}; what is read ends in {known}")
        named = {name: int(value) for value, name in labels.items()} if decathlon else labels
        entries = ({"name": name, "value": value} for name, value in named.items())
        return checked(parse_entries(entries), path), ending, not decathlon
    except (AttributeError, KeyError, TypeError):
        wanted = '{"file_ending": ".png", "labels": {"background": 0, ...}, ...}'
        raise UsageError(f"{path} is not that of an nnU-Net data set; write {wanted}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


def _of_type(files: Files, ending: str) -> Files:
    """The files that end so, without the `._` files that macOS puts beside others and into archives."""
    chosen = {
        name: [path for path in paths if path.name.endswith(ending) and not path.name.startswith("._")]
        for name, paths in files.items()
    }
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
