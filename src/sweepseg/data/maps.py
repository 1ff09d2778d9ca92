"""Data sets of images with maps of numbers, such as depths, heights or distances."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..errors import UsageError
from .classes import voc_palette
from .dataset import MapSet
from .layouts import SPLITS
from .listing import Listing, by_name, masks_by_name

LOOKED_FOR = "images/{train,val,test}/NAME.png and maps/{train,val,test}/NAME.tif or maps/{train,val,test}/NAME/MAP.tif"


def open_maps(root: Path, names: Sequence[str] | None = None) -> MapSet:
    """Open `images/SPLIT/NAME.png` with `maps/SPLIT/NAME.tif` or, for several maps, `maps/SPLIT/NAME/MAP.tif`.

    Where there is no `maps` but `instances`, as for the bundled nuclei and digits, the one map is the distance in
    pixels to the border of the object; see `distance.border_distance`.

    Args:
        root: Folder of the data set.
        names: The maps; by default those of the files where there are several, else "value".

    Raises:
        UsageError: There is no image with a map, or a package is missing.

    >>> from sweepseg.data import nuclei_sample
    >>> open_maps(nuclei_sample().root).classes
    ('distance',)
    """
    distances = not (root / "maps").is_dir()
    folder = root / ("instances" if distances else "maps")
    listing = Listing()
    for split in SPLITS:
        images = by_name(root / "images" / split)
        maps = masks_by_name(folder / split, images)
        if images or maps:
            listing.add(split, root / "images" / split, images, folder / split, maps)
    samples = {split: found for split, found in listing.splits.items() if found}
    annotated = [sample for found in samples.values() for sample in found if sample.mask is not None]
    if not annotated:
        raise UsageError(f"{root} holds no image with a map; looked for {LOOKED_FOR}")
    if distances:
        names = ["distance"]
        if find_spec("scipy") is None:
            raise UsageError(
                f"{root} has no maps; distances to the borders of its objects are measured by scipy: "
                'pip install "sweepseg[instances]"'
            )
    elif annotated[0].mask_files() != [annotated[0].mask]:
        names = names or sorted({path.stem for sample in annotated for path in sample.mask_files()})
    elif names is None or len(names) > 1:  # more are the classes of masks beside the maps
        names = ["value"]
    classes = tuple(names)
    return MapSet(
        root=root,
        layout="maps",
        task="regression",
        classes=classes,
        palette=voc_palette(len(classes) + 1)[1:],
        splits=samples,
        distances=distances,
        problems=tuple(listing.problems),
    )
