"""Volumes as arrays: NIfTI files read in one orientation, and label files written that lie where their volume lies."""

import gzip
import math
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, UsageError
from .decode import refusing
from .files import atomic_write, is_volume, open_regular

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

MAX_VOXELS = 1 << 28  # 645 x 645 x 645
MAX_HEADER = 1 << 20  # bytes before the voxels
MAX_LABEL = 1 << 24  # to which float32 holds every whole number


def read_volume(path: str | os.PathLike[str], *, max_voxels: int = MAX_VOXELS) -> np.ndarray:
    """Read a NIfTI volume (`.nii`, `.nii.gz`) as its numbers mean, that is scaled as its header says.

    Whatever order and direction the axes have in the file, those of the result run from the feet to the head, from
    back to front and from left to right, as nearly as the affine lets them (the closest canonical orientation, RAS+,
    last axis first).

    Args:
        path: A regular file of three axes, or of four, the last of which holds channels.
        max_voxels: Larger volumes are refused from their header.

    Returns:
        (D, H, W, C) float32.

    Raises:
        InputError: The file cannot be used, for the reason that it names.
        UsageError: nibabel is not installed.
    """
    image = _open(path, max_voxels)
    with refusing(path), np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, which is refused
        image = _nibabel().as_closest_canonical(image)
        values = image.get_fdata(dtype=np.float32)  # (x, y, z) or (x, y, z, channel)
        if not np.isfinite(values).all():
            x, y, z, *_ = np.argwhere(~np.isfinite(values))[0].tolist()
            raise InputError(path, f"non-finite value at ({x}, {y}, {z}), axes turned to RAS+")
        values = values if values.ndim == 4 else values[..., None]
        return np.ascontiguousarray(values.transpose(2, 1, 0, 3))


def read_labels(path: str | os.PathLike[str], *, max_voxels: int = MAX_VOXELS) -> np.ndarray:
    """Read the labels of a volume, in the orientation of `read_volume`; floats count if they are whole numbers.

    Returns:
        (D, H, W) int32.

    Raises:
        InputError: As `read_volume`, or a value is no whole number from 0 to `MAX_LABEL`.
    """
    values = read_volume(path, max_voxels=max_voxels)
    if values.shape[3] != 1:
        raise InputError(path, f"{values.shape[3]} channels; a mask has one")
    wrong = (values != np.rint(values)) | (values < 0) | (values > MAX_LABEL)
    if wrong.any():
        raise InputError(path, f"holds {values[wrong][0]:g}; class indices are whole numbers from 0")
    return values[..., 0].astype(np.int32)


def read_affine(path: str | os.PathLike[str]) -> np.ndarray:
    """Where the voxels of `read_volume` lie, in millimetres: (4, 4), from (x, y, z), its W, H and D axes."""
    with refusing(path):
        return _nibabel().as_closest_canonical(_open(path, MAX_VOXELS)).affine


def write_labels(path: str | os.PathLike[str], labels: np.ndarray, like: str | os.PathLike[str]) -> None:
    """Write labels as NIfTI, atomically, with the header, affine and order of axes of the volume that they belong to.

    Args:
        path: Where to; `.nii.gz` is compressed.
        labels: (D, H, W) uint8 in the orientation of `read_volume`.
        like: The file of the volume.

    Raises:
        OutputError: See `files.atomic_write`.
        InputError: The volume's file cannot be read again.
    """
    orientations = _nibabel().orientations
    volume = _open(like, MAX_VOXELS)
    with refusing(like):
        canonical = [[0, 1], [1, 1], [2, 1]]
        turn = orientations.ornt_transform(canonical, orientations.io_orientation(volume.affine))
        header = volume.header.copy()
        header.extensions.clear()  # what they say is about the volume, and may name the patient
        header.set_data_dtype(np.uint8)
        header.set_slope_inter(1, 0)
        header["cal_min"] = header["cal_max"] = 0  # the window of grey values in which to show the volume
        voxels = orientations.apply_orientation(labels.T, turn)
        data = type(volume)(voxels, volume.affine, header).to_bytes()
    atomic_write(path, gzip.compress(data, mtime=0) if str(path).lower().endswith(".gz") else data)


def standardised(volume: np.ndarray) -> np.ndarray:
    """A volume whose channels have mean 0 and standard deviation 1, each by itself; constant ones become 0.

    Intensities of magnetic resonance have no unit, so each volume is its own scale; for X-ray computed tomography,
    whose numbers mean the same everywhere, this gives some of that away.

    Args:
        volume: (D, H, W, C) of any type.

    Returns:
        (D, H, W, C) float32.

    >>> standardised(np.array([[[[1.0], [3.0]]]])).ravel().tolist()
    [-1.0, 1.0]
    """
    mean = volume.mean((0, 1, 2), dtype=np.float64)
    deviation = volume.std((0, 1, 2), dtype=np.float64)
    return ((volume - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def _open(path: str | os.PathLike[str], max_voxels: int) -> "Nifti1Image":
    """The file as nibabel's image; its size is checked before its voxels are unpacked."""
    nibabel = _nibabel()
    if not is_volume(Path(path)):
        raise InputError(path, "not a volume; NIfTI files are read: .nii and .nii.gz")
    with open_regular(path) as file, refusing(path):
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        with gzip.GzipFile(fileobj=file) if packed else file as content:
            start = content.read(1024)
            kinds = (nibabel.Nifti1Image, nibabel.Nifti2Image)
            kind = next((kind for kind in kinds if kind.header_class.may_contain_header(start)), None)
            if kind is None or len(start) < kind.header_class.sizeof_hdr:
                raise InputError(path, "not a NIfTI file of one part, header and voxels together")
            header = kind.header_class(start[: kind.header_class.sizeof_hdr], check=False)
            dtype = header.get_data_dtype()
            if not header["magic"].item().startswith(kind.header_class.single_magic):
                raise InputError(path, "not a NIfTI file of one part, header and voxels together")
            if dtype.kind not in "iuf":
                raise InputError(path, f"values of type {dtype}; a volume holds numbers")
            shape = header.get_data_shape()
            sizes, count = "x".join(map(str, shape)), math.prod(map(int, shape))
            if len(shape) not in (3, 4) or min(shape) < 1:
                raise InputError(path, f"holds {sizes} numbers; give a volume of three axes, or of four with channels")
            if count > max_voxels:
                raise InputError(path, f"{sizes} voxels are too large for memory: {max_voxels / 1e6:.4g} M are allowed")
            end = min(header.get_data_offset(), MAX_HEADER) + count * dtype.itemsize
            data = start + content.read(max(end - len(start), 0) + 1)  # past the end, where gzip checks its sum
            if len(data) < end:
                raise InputError(path, f"cut short: {len(data)} bytes of {end}")
        return kind.from_bytes(data)


def _nibabel() -> ModuleType:
    try:
        import nibabel
    except ImportError:
        raise UsageError('volumes are read and written by nibabel; pip install "sweepseg[volumes]"') from None
    return nibabel
