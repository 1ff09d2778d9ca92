"""Training pictures and clips as a torch data set: read, augmented and batched, here or in workers, with one result."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data.clips import Clip, clips, read_clip, sequences
from ..data.dataset import DataSet, Sample
from ..data.pairs import read_pair, read_told, read_unlabelled
from ..errors import InputError, SweepsegError, UsageError, printable
from .augment import Augmentation
from .augment_volume import VolumeAugmentation
from .cutmix import cutmix
from .randomness import AUGMENTATION, MIXING, Batches, generator

WORKER_TIMEOUT = 300  # seconds without a batch after which a hanging worker is an error
PREFETCH = 2  # batches that each worker reads ahead

Batching = Callable[..., tuple[Tensor, ...]]


class Pictures(Dataset):
    """Views of the training pictures, indexed by (epoch, index).

    Args:
        dataset: Its "train" split is used.
        in_channels: Channels of the images.
        augmentation: Draws the views.
        seed: Seed of the views.
        unlabelled: Whether the pictures without annotation can be had too, by the indices from ``len()`` on.
    """

    def __init__(
        self,
        dataset: DataSet,
        in_channels: int,
        augmentation: Augmentation | VolumeAugmentation,
        seed: int,
        *,
        unlabelled: bool = False,
    ):
        self.dataset, self.in_channels, self.augmentation, self.seed = dataset, in_channels, augmentation, seed
        self.samples = [sample for sample in dataset.splits["train"] if sample.annotated]
        self.unlabelled = [sample for sample in dataset.splits["train"] if unlabelled and not sample.annotated]

    def __len__(self) -> int:
        return len(self.samples)

    def first(self, index: int) -> Sample:
        """The picture of a view."""
        return self.samples[index] if index < len(self) else self.unlabelled[index - len(self)]

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The picture and its target, before augmentation; see `read_pair` and `read_unlabelled`."""
        read = read_pair if index < len(self) else read_unlabelled
        return read(self.dataset, self.first(index), self.in_channels)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, ...] | InputError:
        epoch, index = key
        try:
            image, target = self.read(index)
            draw = generator(self.seed, AUGMENTATION, epoch, index)
            view = self.augmentation(torch.from_numpy(image), torch.from_numpy(target), draw)
            return *view, *map(torch.from_numpy, read_told(self.dataset, self.first(index)))
        except InputError as error:  # handed over as a value: a worker's exception would lose its type
            return error
        except Exception as error:
            error.add_note(f"while reading {printable(self.first(index).image)}")
            raise


class Clips(Pictures):
    """Views of clips of the training videos, indexed by (epoch, index).

    Args:
        dataset: See `Pictures`.
        in_channels: Channels of the frames.
        augmentation: Draws the views, one for all frames of a clip.
        seed: Seed of the views.
        length: Frames in a clip.
        stride: Frames from one to the next.

    Raises:
        UsageError: No training video is long enough.
    """

    def __init__(
        self,
        dataset: DataSet,
        in_channels: int,
        augmentation: Augmentation,
        seed: int,
        *,
        length: int,
        stride: int,
    ):
        super().__init__(dataset, in_channels, augmentation, seed)
        videos = sequences(dataset.splits["train"]).values()
        self.clips: list[Clip] = [clip for video in videos for clip in clips(video, length, stride)]
        if not self.clips:
            raise UsageError(
                f"no clip of {length} frames, {stride} apart, in {len(videos)} training videos, the longest of "
                f"{max(map(len, videos))} frames; give a smaller clip_length or clip_stride"
            )

    def __len__(self) -> int:
        return len(self.clips)

    def first(self, index: int) -> Sample:
        """The first frame of a clip."""
        return self.clips[index][0]

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The clip and its targets, before augmentation; see `read_clip`."""
        return read_clip(self.dataset, self.clips[index], self.in_channels)


class Loader:
    """The batches of a run from the first to the last, read ahead by workers.

    Args:
        pictures: What the batches are made of.
        batches: Which pictures each batch holds.
        batching: Makes one batch of views and their targets; see `Task.batch`.
        workers: Number of processes; 0 reads in this one.
        mixing: Probability that a view gets a rectangle from the next one of its batch.
    """

    def __init__(self, pictures: Pictures, batches: Batches, batching: Batching, workers: int, mixing: float = 0.0):
        self.pictures, self.batches, self.position = pictures, batches, batches.start
        self.mixing = mixing
        self.ahead = max(1, workers * PREFETCH)  # batches that are being read at a time
        self._batches = iter(
            DataLoader(
                pictures,
                batch_sampler=batches,
                num_workers=workers,
                collate_fn=partial(_collate, batching),
                worker_init_fn=_leave_process_group,
                timeout=WORKER_TIMEOUT if workers else 0,
                prefetch_factor=PREFETCH if workers else None,
            )
        )

    def __next__(self) -> tuple[Tensor, ...]:
        """The next images (B, C, h, w), channels-last in memory, or clips (B, T, C, h, w), their targets, what is told.

        Behind them those of the pictures without labels, if the batches hold any.

        Raises:
            InputError: A picture cannot be read.
        """
        try:
            batch = next(self._batches)
        except (ConnectionError, EOFError):  # the line to a killed worker breaks a moment before its death is noticed,
            time.sleep(5)  # which ends this pause with torch's own error
            raise
        if isinstance(batch, InputError):
            raise InputError(batch.path, batch.reason)  # the same object would be a cycle that keeps the workers alive
        unlabelled: tuple[Tensor, ...] = ()
        if self.batches.unlabelled:
            batch, unlabelled = zip(*(part.split(self.batches.batch_size) for part in batch), strict=True)
        if self.mixing:
            images, targets = batch
            batch = cutmix(images, targets, generator(self.pictures.seed, MIXING, self.position), self.mixing)
        self.position += 1
        return (*batch, *unlabelled)

    def names(self, first: int, last: int) -> str:
        """The pictures in a range of batches, for messages; eight at most."""
        indices = [index for batch in range(first, last) for _, index in self.batches.members(batch)]
        names = [printable(self.pictures.first(index).name) for index in dict.fromkeys(indices)]
        return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")

    @contextmanager
    def naming_lost_workers(self) -> Iterator[None]:
        """Turn the death or silence of a worker into an error that names the pictures then being read.

        The block is the whole loop, because torch reports a dead worker wherever its signal arrives.

        Raises:
            SweepsegError: A worker was killed or hangs.
        """
        try:
            yield
        except RuntimeError as error:
            if not str(error).startswith("DataLoader"):
                raise
            names = self.names(self.position, min(self.position + self.ahead, self.batches.stop))
            raise SweepsegError(
                f"a worker stopped while one of these pictures was read: {names} ({printable(error)}); "
                "continue with --resume, with fewer --workers if memory ran out"
            ) from error


def default_crop(*size: int) -> tuple[int, ...]:
    """Size of training crops for pictures of this height and width: their own, at most 512; for volumes at most 96.

    >>> default_crop(360, 640), default_crop(40, 200, 200)
    ((360, 512), (40, 96, 96))
    """
    return tuple(min(length, 512 if len(size) == 2 else 96) for length in size)


def _collate(batching: Batching, items: list) -> tuple[Tensor, ...] | InputError:
    for item in items:
        if isinstance(item, InputError):
            return item
    image, *others = batching(*zip(*items, strict=True))
    if image.dim() == 4:
        image = image.contiguous(memory_format=torch.channels_last)
    return image, *others


def _leave_process_group(worker: int) -> None:
    """Keep Ctrl-C and other signals to the group away from workers: the run needs them to finish its step."""
    if os.name == "posix":
        os.setpgid(0, 0)
