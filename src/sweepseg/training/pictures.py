"""Training pictures as a torch data set: read, augmented and batched, in this process or in workers, with one result."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data.dataset import SegmentationSet
from ..data.pairs import read_pair
from ..errors import InputError
from .augment import Augmentation
from .randomness import AUGMENTATION, Batches, generator

WORKER_TIMEOUT = 300  # seconds without a batch after which a hanging worker is an error


class Pictures(Dataset):
    """Views of the training pictures, indexed by (epoch, index).

    Args:
        dataset: Its "train" split is used.
        in_channels: Channels of the images.
        augmentation: Draws the views.
        seed: Seed of the views.
    """

    def __init__(self, dataset: SegmentationSet, in_channels: int, augmentation: Augmentation, seed: int):
        self.dataset, self.in_channels, self.augmentation, self.seed = dataset, in_channels, augmentation, seed
        self.samples = dataset.splits["train"]

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor] | InputError:
        epoch, index = key
        try:
            image, target = read_pair(self.dataset, self.samples[index], self.in_channels)
        except InputError as error:  # handed over as a value: a worker's exception would lose its type
            return error
        draw = generator(self.seed, AUGMENTATION, epoch, index)
        return self.augmentation(torch.from_numpy(image), torch.from_numpy(target), draw)

    def names(self, members: list[tuple[int, int]]) -> str:
        """The pictures of a batch, for messages."""
        return ", ".join(self.samples[index].name for _, index in members)


def load_batches(pictures: Pictures, batches: Batches, workers: int) -> DataLoader:
    """Batches of images (B, C, h, w), channels-last in memory, and targets."""
    return DataLoader(
        pictures,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate,
        timeout=WORKER_TIMEOUT if workers else 0,
    )


def _collate(items: list) -> tuple[Tensor, Tensor] | InputError:
    for item in items:
        if isinstance(item, InputError):
            return item
    images, targets = zip(*items, strict=True)
    return torch.stack(images).contiguous(memory_format=torch.channels_last), torch.stack(targets)


def default_crop(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of training crops for pictures of this (C, H, W): their own size, at most 512."""
    height, width = np.minimum(shape[-2:], 512)
    return int(height), int(width)
