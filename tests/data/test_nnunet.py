import json

import numpy as np
import pytest

from sweepseg.data import channel_stats, check, open_dataset, read_pair
from sweepseg.data.layouts import recognise
from sweepseg.errors import InputError, UsageError


def description(**changes):
    plain = {
        "channel_names": {"0": "T2", "1": "ADC"},
        "labels": {"background": 0, "tumour": 1, "ignore": 2},
        "numTraining": 2,
        "file_ending": ".png",
    }
    return json.dumps(plain | changes)


@pytest.fixture
def two_channels(save, tmp_path):
    """Two cases of two channels with labels 0, 1 and 2, and one to test on."""
    for case in ("a", "b_2"):
        save(f"imagesTr/{case}_0000.png", np.full((2, 3), 51, np.uint8))
        save(f"imagesTr/{case}_0001.png", np.full((2, 3), 102, np.uint8))
        save(f"labelsTr/{case}.png", np.array([[0, 1, 2], [0, 0, 1]], np.uint8))
    save("imagesTs/c_0000.png", np.zeros((2, 3), np.uint8))
    save("imagesTs/c_0001.png", np.zeros((2, 3), np.uint8))
    save("dataset.json", description())
    return tmp_path


def test_channels_are_stacked_in_their_order_and_labels_are_those_of_the_json(two_channels):
    dataset = open_dataset(two_channels)
    assert (dataset.layout, dataset.task, dataset.classes) == ("nnunet", "binary", ("background", "tumour"))
    assert {split: [sample.name for sample in samples] for split, samples in dataset.splits.items()} == {
        "train": ["a", "b_2"],
        "test": ["c"],
    }
    image, target = read_pair(dataset, dataset.splits["train"][0], in_channels=2)
    np.testing.assert_allclose(image, np.broadcast_to([[[0.2]], [[0.4]]], (2, 2, 3)), rtol=1e-6)
    assert target.tolist() == [[0, 1, 255], [0, 0, 1]]
    report = check(dataset)
    assert report.problems == () and report.splits["train"].channels == {2: 2}


def test_a_colour_file_holds_all_its_channels(save, tmp_path):
    save("imagesTr/a_0000.png", np.zeros((2, 3, 3), np.uint8))
    save("labelsTr/a.png", np.zeros((2, 3), np.uint8))
    save("dataset.json", description(channel_names={"0": "R", "1": "G", "2": "B"}))
    dataset = open_dataset(tmp_path)
    assert read_pair(dataset, dataset.splits["train"][0], in_channels=3)[0].shape == (3, 2, 3)


def test_files_of_another_type_are_left_alone(save, two_channels):
    save("imagesTr/a_0000.tif", np.zeros((2, 3), np.uint8))
    save("labelsTr/preview.bmp", np.zeros((2, 3), np.uint8))
    assert not recognise(two_channels)[1].problems


@pytest.mark.parametrize(
    ("change", "path", "reason"),
    [
        ("-imagesTr/a_0001.png", "imagesTr/a_0000.png", "has no channel a_0001 beside it"),
        ("-imagesTr/a_0000.png", "imagesTr/a_0001.png", "has no channel a_0000 beside it"),
        ("-labelsTr/a.png", "imagesTr/a_0000.png", "has no mask"),
        ("+labelsTr/x.png", "labelsTr/x.png", "has no image"),
        ("+imagesTr/x.png", "imagesTr/x.png", "ends with no channel, such as _0000"),
    ],
)
def test_what_cannot_be_paired_is_one_problem(save, two_channels, change, path, reason):
    if change[0] == "-":
        (two_channels / change[1:]).unlink()
    else:
        save(change[1:], np.zeros((2, 3), np.uint8))
    (problem,) = recognise(two_channels)[1].problems
    assert problem.path == two_channels / path and reason in problem.reason


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((3, 3), np.uint8), "is 3x3 uint8 but a_0000.png is 3x2 uint8; convert one of them"),
        (np.zeros((2, 3), np.uint16), "is 3x2 uint16 but a_0000.png is 3x2 uint8; convert one of them"),
    ],
)
def test_channels_that_do_not_fit_together_are_found_by_check(save, two_channels, pixels, reason):
    save("imagesTr/a_0001.png", pixels)
    (problem,) = check(open_dataset(two_channels)).problems
    assert (problem.path.name, problem.reason) == ("a_0001.png", reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (description(file_ending=".mha"), r"file_ending is \.mha; what is read ends in .*\.nii\.gz, .*\.png"),
        (description(labels={"whole": [1, 2], "core": 2}), r"mask value \[1, 2\] is not an integer"),
        (description(labels={"a": 1, "b": 1}), "value 1 stands there twice"),
        (description(labels={"0": "background"}), "mask value background is not an integer"),
        ('{"labels": {"a": 0}}', "is not that of an nnU-Net data set; write"),
        ("[]", "is not that of an nnU-Net data set; write"),
        ("{", "dataset.json: Expecting"),
        (None, "dataset.json: .*No such file"),
    ],
)
def test_a_description_that_cannot_serve_is_refused_in_one_line(save, two_channels, text, reason):
    (two_channels / "dataset.json").unlink()
    if text is not None:
        save("dataset.json", text)
    with pytest.raises(UsageError, match=reason) as refused:
        open_dataset(two_channels)
    assert "dataset.json" in str(refused.value) and "\n" not in str(refused.value)


@pytest.fixture
def save_volume(tmp_path):
    nibabel = pytest.importorskip("nibabel")

    def save_volume(name, data, affine=None):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        nibabel.Nifti1Image(data, np.eye(4) if affine is None else affine).to_filename(tmp_path / name)

    return save_volume


LABELS = np.arange(24, dtype=np.uint8).reshape(4, 3, 2) % 3  # (x, y, z)


@pytest.mark.parametrize("decathlon", [False, True])
def test_volumes_of_nnunet_and_of_the_decathlon(save_volume, save, tmp_path, decathlon):
    values = np.random.default_rng(0).normal(200, 50, (4, 3, 2, 2)).astype(np.float32)
    for case in ("a", "b"):
        save_volume(f"labelsTr/{case}.nii.gz", LABELS)
        if decathlon:
            save_volume(f"imagesTr/{case}.nii.gz", values)
        else:
            for channel in (0, 1):
                save_volume(f"imagesTr/{case}_000{channel}.nii.gz", values[..., channel])
    if decathlon:
        save("imagesTr/._a.nii.gz", "left by macOS")
        save("dataset.json", json.dumps({"modality": {"0": "T1"}, "labels": {"0": "background", "2": "b", "1": "a"}}))
    else:
        save("dataset.json", description(file_ending=".nii.gz", labels={"background": 0, "a": 1, "b": 2}))
    dataset = open_dataset(tmp_path)
    assert dataset.volumes and [sample.name for sample in dataset.splits["train"]] == ["a", "b"]
    assert check(dataset).problems == () and dataset.remap[2] == dataset.classes.index("b")
    image, target = read_pair(dataset, dataset.splits["train"][0], in_channels=2)
    assert image.shape == (2, 2, 3, 4) and target.shape == (2, 3, 4)
    np.testing.assert_array_equal(np.take(dataset.classes, target.T), np.take(["background", "a", "b"], LABELS))
    wanted = (values - values.mean((0, 1, 2))) / values.std((0, 1, 2))
    np.testing.assert_allclose(image.T, wanted, atol=1e-5)
    assert channel_stats(dataset, 2) == ((0, 0), (1, 1))


@pytest.mark.parametrize(
    ("shape", "affine", "reason"),
    [
        ((4, 3, 3), np.eye(4), "mask a.nii.gz is 4x3x3 but its image is 4x3x2; resize one of them"),
        ((4, 3, 2), np.diag([-1, 1, 1, 1]), "lies elsewhere than a_0000.nii.gz: their affines differ"),
    ],
)
def test_a_mask_that_is_not_of_its_volume_is_found_by_check(save_volume, save, tmp_path, shape, affine, reason):
    save_volume("imagesTr/a_0000.nii.gz", np.ones((4, 3, 2), np.float32))
    save_volume("labelsTr/a.nii.gz", np.ones(shape, np.uint8), affine)
    save("dataset.json", description(file_ending=".nii.gz", labels={"background": 0, "a": 1}))
    dataset = open_dataset(tmp_path)
    (problem,) = check(dataset).errors
    assert problem.path.name == "a.nii.gz" and reason in problem.reason
    if shape != (4, 3, 2):
        with pytest.raises(InputError, match=reason):
            read_pair(dataset, dataset.splits["train"][0], in_channels=1)


def test_volumes_among_images_are_found_by_check(save_volume, make_files, tmp_path):
    make_files(["images/train/a.png", "masks/train/a.png", "classes.txt:x\ny\n"])
    for part, values in (("images", np.ones((4, 3, 2), np.float32)), ("masks", np.ones((4, 3, 2), np.uint8))):
        save_volume(f"{part}/train/b.nii.gz", values)
    (problem,) = check(open_dataset(tmp_path)).errors
    assert (problem.path.name, problem.reason) == ("b.nii.gz", "is a volume among images; keep one kind")
