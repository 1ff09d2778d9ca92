import gc
import os
import signal
import traceback
from multiprocessing import active_children

import numpy as np
import pytest
import torch

from sweepseg.data import open_dataset
from sweepseg.errors import InputError, SweepsegError, UsageError
from sweepseg.tasks import Binary
from sweepseg.training import pictures as module
from sweepseg.training.augment import Augmentation
from sweepseg.training.pictures import Clips, Loader, Pictures, default_crop
from sweepseg.training.randomness import UNLABELLED_ORDER, Batches, order

from .harness import write_pictures, write_videos

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
WORKERS = pytest.mark.parametrize("workers", [0, 2])


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """How long torch waits for workers whose loader went down with an exception."""
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)
    yield
    gc.collect()


@pytest.fixture
def pictures(tmp_path):
    dataset = open_dataset(write_pictures(tmp_path, train=6, val=0))
    augmentation = Augmentation(
        (12, 14), (0.5, 2.0), flip=True, rotate=20.0, colour=0.5, blur=0.5, noise=0.1, oversample_foreground=0.5
    )
    return Pictures(dataset, 3, augmentation, seed=0)


def loader(pictures, workers, stop=6, start=0):
    return Loader(pictures, Batches(len(pictures), 4, seed=0, start=start, stop=stop), Binary().batch, workers)


def test_batches_are_stacked_channels_last(pictures):
    image, target = next(loader(pictures, 0))
    assert (image.shape, image.dtype, target.shape, target.dtype) == (
        (4, 3, 12, 14),
        torch.float32,
        (4, 12, 14),
        torch.int64,
    )
    assert image.is_contiguous(memory_format=torch.channels_last)


def test_views_are_the_same_whoever_reads_them_and_differ_between_epochs(pictures):
    here, there, later = loader(pictures, 0), loader(pictures, 2), loader(pictures, 1, start=2)
    batches = [next(here) for _ in range(6)]
    for other, start in ((there, 0), (later, 2)):
        for image, target in batches[start:]:
            same_image, same_target = next(other)
            assert torch.equal(image, same_image)
            assert image.stride() == same_image.stride()
            assert torch.equal(target, same_target)
    views = [pictures[(epoch, index)][0] for epoch in range(2) for index in range(6)]
    assert all(not torch.equal(a, b) for i, a in enumerate(views) for b in views[:i])


@pytest.fixture
def partly(pictures):
    """Two pictures with labels and four without."""
    dataset = pictures.dataset.keep_labels(1 / 3, np.random.default_rng(0))
    return Pictures(dataset, 3, pictures.augmentation, seed=0, unlabelled=True)


def loader_of_both(pictures, workers=0, mixing=0.0):
    batches = Batches(len(pictures), 4, seed=0, start=0, stop=6, unlabelled=len(pictures.unlabelled))
    return Loader(pictures, batches, Binary().batch, workers, mixing)


def test_pictures_without_labels_come_along_unmixed(partly):
    assert (len(partly), len(partly.unlabelled)) == (2, 4)
    alone, here, there = (
        loader(partly, 0), loader_of_both(partly), loader_of_both(partly, workers=2, mixing=1.0)
    )  # fmt: skip
    for batch in range(6):
        image, target, views, seen = next(here)
        for mine, other in zip((image, target), next(alone), strict=True):
            assert torch.equal(mine, other)
        mixed, _, same_views, same_seen = next(there)
        assert not torch.equal(mixed, image) and torch.equal(views, same_views) and torch.equal(seen, same_seen)
        assert views.shape == image.shape and views.stride() == image.stride()
        assert set(seen.unique().tolist()) <= {0, 255}
        if batch == 0:
            keys = [(0, 2 + index) for index in order(0, 0, 4, UNLABELLED_ORDER)]
            assert torch.equal(views, torch.stack([partly[key][0] for key in keys]))


def test_views_without_labels_are_seen_inside_of_the_picture_alone(partly):
    partly.augmentation = Augmentation((20, 20))  # a picture has 16 rows
    _, seen = partly[(0, 3)]
    assert [(rows == 0).all().item() for rows in seen].count(True) == 16 and (seen == 255).sum() == 4 * 20


def test_a_picture_without_labels_is_named_like_others(partly):
    batches = loader_of_both(partly)
    assert sorted(batches.names(0, 1).split(", ")) == [f"train{i}" for i in range(6)]
    partly.unlabelled[1].image.unlink()
    with pytest.raises(InputError, match=partly.unlabelled[1].image.name):
        next(batches)


@WORKERS
def test_picture_that_became_unreadable_is_named(pictures, workers):
    path = pictures.samples[2].image
    path.write_bytes(path.read_bytes()[:50])
    batches = loader(pictures, workers)
    with pytest.raises(InputError) as refused:
        for _ in range(6):
            next(batches)
    assert str(refused.value.path) == str(path)


def test_workers_end_with_their_loader_also_after_an_error(pictures, no_collection):
    pictures.samples[2].image.unlink()
    batches = loader(pictures, 2)
    try:
        for _ in range(6):
            next(batches)
    except InputError:
        assert len(active_children()) == 2
    del batches
    for worker in active_children():
        worker.join(5)  # on a busy machine it takes a moment to die
    assert active_children() == []


@WORKERS
def test_unexpected_exception_names_the_picture(pictures, workers, monkeypatch):
    read = module.read_pair

    def failing(dataset, sample, in_channels):
        if sample.name == "train3":
            raise ZeroDivisionError("of a kind nobody thought of")
        return read(dataset, sample, in_channels)

    monkeypatch.setattr(module, "read_pair", failing)
    with pytest.raises(ZeroDivisionError) as raised:
        batches = loader(pictures, workers)
        for _ in range(6):
            next(batches)
    assert f"while reading {pictures.samples[3].image}" in "".join(traceback.format_exception(raised.value))


def stopping(monkeypatch, how):
    read = module.read_pair

    def stop(dataset, sample, in_channels):
        if sample.name == "train3":
            how()
        return read(dataset, sample, in_channels)

    monkeypatch.setattr(module, "read_pair", stop)


@pytest.mark.parametrize(
    "how, words",
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"killed by signal|exited unexpectedly"),
        (signal.pause, r"timed out after 1 seconds"),
    ],
)
def test_lost_worker_ends_the_run_and_names_the_pictures(pictures, monkeypatch, no_collection, how, words):
    monkeypatch.setattr(module, "WORKER_TIMEOUT", 1)
    stopping(monkeypatch, how)
    with pytest.raises(SweepsegError, match=words) as refused:
        batches = loader(pictures, 1)
        with batches.naming_lost_workers():
            for _ in range(6):
                next(batches)
    assert refused.value.exit_code == 1
    assert "train3" in str(refused.value)


def test_other_runtime_errors_stay_what_they_are(pictures):
    with pytest.raises(RuntimeError, match="of the model"), loader(pictures, 0).naming_lost_workers():
        raise RuntimeError("of the model")


def test_names_are_listed_once_and_eight_at_most(pictures):
    batches = loader(pictures, 0)
    assert batches.names(0, 1).count("train") == 4
    assert sorted(batches.names(0, 6).split(", ")) == [f"train{i}" for i in range(6)]
    pictures.samples = pictures.samples * 4
    long = loader(pictures, 0)
    assert long.names(0, 6).count("train") == 8
    assert long.names(0, 6).endswith(" and 16 more")


@pytest.mark.parametrize("size, crop", [((40, 60), (40, 60)), ((1024, 2048), (512, 512)), ((360, 640), (360, 512))])
def test_default_crop(size, crop):
    assert default_crop(*size) == crop


def clips(root, length, stride=1, **options):
    return Clips(open_dataset(root), 3, Augmentation((16, 20), **options), seed=0, length=length, stride=stride)


def test_clips_are_stacked_and_the_same_whoever_reads_them(videos):
    made = clips(videos, 4, flip=True)
    assert len(made) == 4
    for image, target in (next(loader(made, 0)), next(loader(made, 2))):
        assert image.shape == (4, 4, 3, 16, 20) and target.shape == (4, 4, 16, 20)
    assert torch.equal(image, next(loader(made, 0))[0])


def test_frames_of_a_clip_follow_on_each_other(videos):
    """The square of the test videos moves by a column a frame."""
    for stride in (1, 2):
        _, target = clips(videos, 3, stride)[(0, 0)]
        left = [(frame == 1).any(0).nonzero().min().item() for frame in target]
        assert np.diff(left).tolist() == [stride, stride]


def test_frames_without_annotation_make_no_pictures(tmp_path):
    dataset = open_dataset(write_videos(tmp_path, train=1, val=0, frames=8, annotated=3))
    assert [sample.name for sample in Pictures(dataset, 3, Augmentation((4, 4)), 0).samples] == [
        f"train0/0000{i}" for i in (0, 3, 6)
    ]
    _, target = clips(tmp_path, 4)[(0, 1)]
    assert [(frame != 255).any().item() for frame in target] == [True, False, False, True]


def test_videos_that_are_too_short_are_refused(videos):
    with pytest.raises(UsageError, match="no clip of 5 frames, 2 apart, in 2 training videos, the longest of 8 frames"):
        clips(videos, 5, 2)
