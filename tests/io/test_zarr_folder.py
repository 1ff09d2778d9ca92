import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import Blosc, Delta

from sweepseg.errors import InputError
from sweepseg.io import zarr_folder
from sweepseg.io.windows import open_windows

from .corpus import DEEP_RGB, GREY, RGB


def save(path, pixels: np.ndarray, **options) -> None:
    options = {"chunks": tuple(min(16, size) for size in pixels.shape)} | options
    zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, **options)[...] = pixels


def save_ome(path, pixels: np.ndarray, axes: str, version: str, array: str = "0") -> None:
    attributes: dict = {"multiscales": [{"axes": [{"name": axis} for axis in axes], "datasets": [{"path": array}]}]}
    group = zarr.open_group(
        path,
        mode="w",
        zarr_format=2 if version == "0.4" else 3,
        attributes=attributes if version == "0.4" else {"ome": attributes},
    )
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, chunks=pixels.shape)[...] = pixels
    group.create_array("1", shape=(1, 1), dtype="u1", chunks=(1, 1))


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (GREY, {}),
        (RGB, {"zarr_format": 2}),
        (RGB, {"zarr_format": 2, "filters": [Delta("u1")], "compressors": Blosc()}),
        (DEEP_RGB, {"chunks": (8, 8, 3), "shards": (16, 16, 3)}),
        (DEEP_RGB.astype(">u2"), {}),
        (RGB.astype(np.float32), {}),
    ],
    ids=["grey", "v2", "filtered", "sharded", "big-endian", "float"],
)
def test_arrays(pixels, options, tmp_path):
    save(tmp_path / "x.zarr", pixels, **options)
    with open_windows(tmp_path / "x.zarr") as image:
        assert (image.height, image.width, image.channels) == (40, 48, 1 if pixels.ndim == 2 else 3)
        part = image.read(5, 31, 7, 48)
    assert part.dtype == pixels.dtype.newbyteorder("=") and part.dtype.isnative
    assert np.array_equal(part, pixels[5:31, 7:].reshape(26, 41, -1))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_images(version, tmp_path):
    save_ome(tmp_path / "x.zarr", np.moveaxis(DEEP_RGB, 2, 0)[None, :, None], "tczyx", version)
    with open_windows(tmp_path / "x.zarr") as image:
        assert np.array_equal(image.read(5, 31, 7, 48), DEEP_RGB[5:31, 7:])


def refused(path, reason: str) -> None:
    with pytest.raises(InputError, match=reason), open_windows(path) as image:
        image.read(0, image.height, 0, image.width)


def test_what_is_refused(tmp_path):
    for name, pixels, reason in (
        ("line", GREY[0], "an array .* give"),
        ("volume", RGB[None], "an array .* give"),
        ("double", GREY.astype(float), "float64"),
        ("empty", GREY[:0], "no image"),
    ):
        save(tmp_path / name, pixels, chunks=(1,) * pixels.ndim)
        refused(tmp_path / name, reason)
    save(tmp_path / "huge", np.zeros((1, 1), np.float32), chunks=(3000, 3000))
    refused(tmp_path / "huge", "pieces of 3000x3000 pixels take 36 MB each")
    save_ome(tmp_path / "film", np.stack([GREY, GREY]), "tyx", "0.5")
    refused(tmp_path / "film", "one plane")
    save_ome(tmp_path / "elsewhere", GREY, "yx", "0.5", array="../line")
    refused(tmp_path / "elsewhere", "cannot be read")
    zarr.open_group(tmp_path / "group", mode="w")
    refused(tmp_path / "group", "neither an array nor")
    (tmp_path / "nothing").mkdir()
    refused(tmp_path / "nothing", "cannot be read")


class Hostile:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


PICKLE = {"id": "pickle"}


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        (2, {"compressor": PICKLE}),
        (2, {"filters": [PICKLE]}),
        (2, {"filters": [{"id": "delta", "dtype": "|u1"}, PICKLE]}),
        (2, {"filters": [PICKLE], "dtype": "|O"}),
        (3, {"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}]}),
        (3, {"codecs": [{"name": "pickle"}]}),
    ],
)
def test_codecs_that_run_code_are_refused(version, changes, tmp_path):
    save(tmp_path / "x.zarr", GREY, zarr_format=version, chunks=(40, 48), compressors=None)
    about = tmp_path / "x.zarr" / (".zarray" if version == 2 else "zarr.json")
    about.write_text(json.dumps(json.loads(about.read_text()) | changes))
    (tmp_path / "x.zarr" / ("0.0" if version == 2 else "c/0/0")).write_bytes(pickle.dumps(Hostile(tmp_path / "made")))
    refused(tmp_path / "x.zarr", "cannot be read")
    assert not (tmp_path / "made").exists()


def test_damage_is_an_input_error(tmp_path):
    save(tmp_path / "x.zarr", GREY, chunks=(40, 48))
    (tmp_path / "x.zarr/c/0/0").write_bytes(b"not what was compressed")
    refused(tmp_path / "x.zarr", "cannot be read")


def test_without_zarr_the_package_is_named(tmp_path, monkeypatch):
    save(tmp_path / "x.zarr", GREY)
    monkeypatch.setattr(zarr_folder, "find_spec", lambda name: None)
    refused(tmp_path / "x.zarr", r'pip install "sweepseg\[zarr\]"')
