"""NIfTI files, with nibabel, which is not ours, as the judge of what they hold."""

import gzip
import sys

import numpy as np
import pytest

from sweepseg.errors import InputError, UsageError
from sweepseg.io import nifti
from sweepseg.io.masks import read_mask
from sweepseg.io.nifti import read_affine, read_labels, read_volume, standardised, write_labels

nibabel = pytest.importorskip("nibabel")

ODD = np.array([[0.1, -1.9, 0.2, 7], [0.05, 0.1, -2.9, -40], [1.2, 0.1, 0.05, 3], [0, 0, 0, 1]])  # axes: up, left, back
RAS = np.diag([1.0, 2, 3, 1])
SHAPE = (4, 5, 6)


def values(*shape):
    return np.random.default_rng(0).normal(100, 30, shape or SHAPE).astype(np.float32)


@pytest.fixture
def save(tmp_path):
    """Writes a volume with nibabel and returns its path."""

    def save(data, affine=RAS, name="v.nii.gz", kind=nibabel.Nifti1Image):
        kind(data, affine).to_filename(tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("affine", [RAS, ODD], ids=["ras", "odd"])
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "V.NII.GZ"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_every_voxel_is_read_where_nibabel_says_that_it_lies(save, affine, name, kind):
    data = values()
    path = save(data, affine, name, kind)
    volume, place = read_volume(path), read_affine(path)
    assert volume.dtype == np.float32 and volume.flags.c_contiguous
    for index in np.ndindex(*SHAPE):
        where = np.linalg.solve(place, affine @ [*index, 1])[:3]  # (x, y, z) of ours
        x, y, z = np.rint(where).astype(int)
        np.testing.assert_allclose(where, (x, y, z), atol=1e-5)  # the file holds float32
        assert volume[z, y, x, 0] == data[index]
    assert (place[:3, :3].diagonal() > 0).all()  # to the right, to the front, upwards


@pytest.mark.parametrize("affine", [RAS, ODD], ids=["ras", "odd"])
@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_labels_go_back_to_the_voxels_they_came_from(save, tmp_path, affine, name):
    source = nibabel.Nifti1Image(values(), affine)
    source.header.set_xyzt_units("mm", "sec")
    source.header["cal_max"] = 200
    source.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a name"))
    source.set_sform(affine, 2)
    source.to_filename(tmp_path / "v.nii.gz")
    volume = read_volume(tmp_path / "v.nii.gz")
    write_labels(tmp_path / name, (volume[..., 0] > 100).astype(np.uint8), tmp_path / "v.nii.gz")
    written = nibabel.load(tmp_path / name)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), values() > 100)
    np.testing.assert_array_equal(written.affine, nibabel.load(tmp_path / "v.nii.gz").affine)
    header = written.header
    assert (header.get_data_dtype(), header.get_xyzt_units(), int(header["sform_code"])) == ("uint8", ("mm", "sec"), 2)
    assert header["cal_max"] == 0 and not header.extensions
    np.testing.assert_array_equal(read_labels(tmp_path / name), volume[..., 0] > 100)


def test_labels_are_the_same_bytes_again(save, tmp_path):
    path = save(values())
    for name in ("a.nii.gz", "b.nii.gz"):
        write_labels(tmp_path / name, np.ones(SHAPE[::-1], np.uint8), path)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, ">i2"])
def test_values_are_scaled_as_the_header_says(save, tmp_path, dtype):
    image = nibabel.Nifti1Image(np.arange(120).reshape(SHAPE).astype(dtype), RAS)
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / "v.nii")
    wanted = nibabel.load(tmp_path / "v.nii").get_fdata()
    assert wanted[0, 0, 2] == 0.5 * 2 - 3
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nii")[..., 0].T, wanted)


def test_a_fourth_axis_holds_channels(save):
    data = values(*SHAPE, 2)
    np.testing.assert_array_equal(read_volume(save(data)), data.transpose(2, 1, 0, 3))


def test_masks_are_read_by_read_mask_and_whole_floats_count(save):
    labels = np.arange(120).reshape(SHAPE) % 4
    for dtype in (np.uint8, np.float32):
        mask = read_mask(save(labels.astype(dtype)))
        assert mask.dtype == np.int32
        np.testing.assert_array_equal(mask, labels.T)


@pytest.mark.parametrize("wrong", [0.5, -1.0, 1e9])
def test_masks_of_other_numbers_are_refused(save, wrong):
    data = np.zeros(SHAPE, np.float32)
    data[1, 2, 3] = wrong
    with pytest.raises(InputError, match=f"holds {wrong:g}; class indices are whole numbers".replace("+", r"\+")):
        read_labels(save(data))


def test_masks_of_channels_are_refused(save):
    with pytest.raises(InputError, match="2 channels; a mask has one"):
        read_labels(save(values(*SHAPE, 2)))


def nan():
    data = values()
    data[1, 2, 3] = np.nan
    return data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (nan(), r"non-finite value at \(1, 2, 3\)"),
        (np.full(SHAPE, 1e300), r"non-finite value at \(0, 0, 0\)"),
        (values(4, 5), "holds 4x5 numbers; give a volume of three axes"),
        (values(4, 5, 6, 1, 2), "holds 4x5x6x1x2 numbers"),
        (values(90, 90, 90), r"90x90x90 voxels are too large for memory: 0\.5 M are allowed"),
        (np.zeros(SHAPE, np.complex64), "values of type complex64; a volume holds numbers"),
    ],
    ids=["nan", "infinite in float32", "two axes", "five axes", "too large", "complex"],
)
def test_what_cannot_serve_is_refused_in_words(save, data, reason):
    with pytest.raises(InputError, match=reason):
        read_volume(save(data), max_voxels=500_000)


BROKEN = {
    "empty": (lambda data: b"", "empty file"),
    "text": (lambda data: b"just some text " * 60, "not a NIfTI file"),
    "short": (lambda data: data[:100], "not a NIfTI file"),
    "cut": (lambda data: data[:500], "cut short: 500 bytes of"),
    "gzip cut": (lambda data: gzip.compress(data)[:-300], "cannot be read"),
    "gzip damaged": (lambda data: gzip.compress(data)[:-6] + bytes(6), "cannot be read: CRC"),
    "gzip of text": (lambda data: gzip.compress(b"text" * 99), "not a NIfTI file"),
    "unknown type": (lambda data: data[:70] + b"\x07\x00" + data[72:], "cannot be read"),
    "no volume": (lambda data: data[:108] + np.float32(1e9).tobytes() + data[112:], "cannot be read|cut short"),
    "header and voxels apart": (lambda data: data[:344] + b"ni1\0" + data[348:], "not a NIfTI file of one part"),
}


@pytest.mark.parametrize(("harm", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_in_words(save, harm, reason):
    path = save(values(8, 9, 10), name="v.nii")
    assert read_volume(path).any()  # its good twin
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(InputError, match=reason):
        read_volume(path)


def test_a_bomb_is_refused_before_it_goes_off(save):
    path = save(np.zeros((2, 2, 2), np.uint8), name="v.nii")
    data = path.read_bytes()
    huge = data[:42] + np.int16([30000] * 3).tobytes() + data[48:]
    path.with_suffix(".nii.gz").write_bytes(gzip.compress(huge))
    with pytest.raises(InputError, match="30000x30000x30000 voxels are too large"):
        read_volume(path.with_suffix(".nii.gz"))


def test_an_affine_that_leaves_out_a_direction_is_refused(save):
    path = save(values(), name="v.nii")
    image = nibabel.load(path)
    image.header["sform_code"], image.header["srow_x"] = 1, 0
    data = image.header.binaryblock + path.read_bytes()[348:]
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be read"):
        read_volume(path)


def test_other_names_are_no_volumes(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"not a volume; NIfTI files are read: \.nii and \.nii\.gz"):
        read_volume(tmp_path / "a.png")


def test_standardised_is_numpys_and_leaves_constants_at_0():
    volume = np.concatenate([values(*SHAPE, 1), np.full((*SHAPE, 1), 7, np.float32)], axis=3)
    result = standardised(volume)
    wanted = (volume[..., 0] - volume[..., 0].mean()) / volume[..., 0].std()
    np.testing.assert_allclose(result[..., 0], wanted, atol=1e-5)
    assert not result[..., 1].any()


def test_without_nibabel_says_how_to_get_it(save, monkeypatch):
    path = save(values())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(UsageError, match=r'by nibabel; pip install "sweepseg\[volumes\]"'):
        nifti.read_volume(path)
