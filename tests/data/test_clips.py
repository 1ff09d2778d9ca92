"""Videos and clips out of data sets, and how their frames are read."""

from pathlib import Path

import numpy as np
import pytest

from sweepseg.data import open_dataset, read_pair
from sweepseg.data.clips import clips, read_clip, sequences
from sweepseg.data.dataset import Sample
from sweepseg.errors import InputError


def video(numbers, annotated=None, name="bear/{:05}"):
    named = [name.format(number) for number in numbers]
    wanted = numbers if annotated is None else annotated
    return [
        Sample(one, Path(one), Path(one) if number in wanted else None)
        for one, number in zip(named, numbers, strict=True)
    ]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (video([2, 0, 1]), {"bear": 3}),
        (video([9, 10, 8], name="bear/frame{}"), {"bear/frame": 3}),  # by number, not by letter
        (video([30, 60, 90, 150, 180], name="0006R0_{:05}"), {"0006R0": 3, "0006R0_00150": 2}),
        (video([0, 1]) + video([0, 1], name="car/{:05}"), {"bear": 2, "car": 2}),
        (video([7], name="{}"), {"": 1}),
        (video([0, 1], name="a/{}") + video([0, 1, 2], name="a_{}"), {"a": 2, "a_0": 3}),  # no frame is lost
    ],
)
def test_videos_are_ordered_and_end_at_gaps(samples, expected):
    found = sequences(samples)
    assert {name: len(frames) for name, frames in found.items()} == expected
    numbers = [[int("".join(filter(str.isdigit, frame.name[-5:]))) for frame in frames] for frames in found.values()]
    assert numbers == [sorted(part) for part in numbers]


@pytest.mark.parametrize(
    ("count", "annotated", "length", "stride", "expected"),
    [
        (6, None, 3, 1, [[0, 1, 2], [3, 4, 5]]),
        (7, None, 3, 1, [[0, 1, 2], [1, 2, 3], [4, 5, 6]]),
        (2, None, 3, 1, []),
        (30, [19], 4, 1, [[16, 17, 18, 19]]),  # Cityscapes
        (30, [1], 4, 1, [[0, 1, 2, 3]]),
        (8, None, 2, 3, [[0, 3], [3, 6], [1, 4], [4, 7], [2, 5]]),
        (3, None, 1, 1, [[0], [1], [2]]),
    ],
)
def test_clips_hold_every_annotated_frame_and_end_with_one_where_they_can(count, annotated, length, stride, expected):
    frames = video(range(count), annotated)
    assert [[int(frame.name[-5:]) for frame in clip] for clip in clips(frames, length, stride)] == expected


@pytest.fixture
def cityscapes(save, tmp_path):
    """A video of three frames, the second annotated."""
    draw = np.random.default_rng(0)
    for number in (18, 19, 20):
        image = draw.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        save(f"leftImg8bit_sequence/train/ulm/ulm_000000_0000{number}_leftImg8bit.png", image)
    save("gtFine/train/ulm/ulm_000000_000019_gtFine_labelTrainIds.png", np.full((4, 6), 3, np.uint8))
    return tmp_path


def test_frames_without_annotation_are_ignored(cityscapes):
    dataset = open_dataset(cityscapes)
    ((_, frames),) = sequences(dataset.splits["train"]).items()
    images, targets = read_clip(dataset, frames, 3)
    assert images.shape == (3, 3, 4, 6) and images.dtype == np.float32
    assert (targets[[0, 2]] == 255).all() and (targets[1] == 3).all()
    assert np.array_equal(images[1], read_pair(dataset, frames[1], 3)[0])


def test_frames_of_different_sizes_are_refused(cityscapes, save):
    name = "leftImg8bit_sequence/train/ulm/ulm_000000_000020_leftImg8bit.png"
    save(name, np.zeros((5, 6, 3), np.uint8))
    dataset = open_dataset(cityscapes)
    with pytest.raises(InputError, match=r"is 6x5 but ulm_000000_000018_leftImg8bit\.png is 6x4"):
        read_clip(dataset, sequences(dataset.splits["train"])["ulm/ulm_000000"], 3)


def test_real_videos(shared):
    davis = sequences(open_dataset(shared("davis2016_sub")).splits["train"])
    assert {name: len(frames) for name, frames in davis.items()} == {
        "blackswan": 50,
        "car-shadow": 40,
        "kite-surf": 50,
        "scooter-black": 43,
    }
    camvid = sequences(open_dataset(shared("camvid")).splits["val"])
    assert {name: len(frames) for name, frames in camvid.items()} == {"0016E5": 101}
