"""A network together with what is needed to use it: its classes, its normalisation, how it was built."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from ..layers.stages import LAYOUT, dimensions_of
from ..task_names import TaskName
from .video import State, VideoModel


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What `config.json` of a model folder says.

    Args:
        builder: Key of `MODELS`.
        arguments: Keyword arguments of the builder; plain values.
        task: Key of `tasks.TASKS`.
        task_arguments: What the task takes beside the number of classes; plain values.
        classes: Names of the K classes; for binary those of background and object, for sequences the characters,
            for generation the values of a channel.
        palette: K colours (red, green, blue), 0 to 255.
        mean: Mean of each input channel, in units of the input range.
        std: Standard deviation of each input channel.
        input_range: The values of images that become 0 and 1; None for the whole range of integers, [0, 1] for floats.
        words: The words that it knows, in the order of their numbers in `data.words`; none where it is told nothing.
    """

    builder: str
    arguments: dict = field(default_factory=dict)
    task: TaskName
    task_arguments: dict = field(default_factory=dict)
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_range: tuple[float, float] | None = None
    words: tuple[str, ...] = ()


class Segmenter(nn.Module):
    """A network that takes images as they are, in [0, 1]; the normalisation is part of it and of every export.

    Args:
        network: Maps normalised images (B, C, H, W) to logits (B, num_classes, H, W); those of a classifier are
            (B, num_classes), those of a reader of lines (B, num_classes, T), those of a generator
            (B, num_classes, C, H, W), those of a detector (B, T, num_classes, H, W). One for volumes has
            ``dimensions = 3`` and maps (B, C, D, H, W), each standardised, to (B, num_classes, D, H, W). One that is
            told what to find takes the words of sentences (B, L) too.
        config: What it was built and trained for.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, config: ModelConfig):
        super().__init__()
        self.network, self.config = network, config
        pixel = (-1, *(1,) * self.dimensions)
        self.register_buffer("mean", torch.tensor(config.mean).view(pixel), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(pixel), persistent=False)

    @property
    def dimensions(self) -> int:
        """2 where it takes images, 3 where it takes volumes."""
        return dimensions_of(self.network)

    @property
    def volumes(self) -> bool:
        """Whether it takes volumes (B, C, D, H, W) and no images."""
        return self.dimensions == 3

    def forward(self, image: Tensor, *told: Tensor) -> Tensor:
        """Logits of images (B, C, H, W) in [0, 1], or of volumes (B, C, D, H, W), and of what the network is told."""
        normalised = self.normalised(image)
        return self.network(normalised.contiguous(memory_format=LAYOUT[3]) if self.volumes else normalised, *told)

    def normalised(self, image: Tensor) -> Tensor:
        """Images (..., C, H, W) in [0, 1] as the network takes them."""
        return (image - self.mean) / self.std

    def fingerprint(self) -> str:
        """What tells it from other models: a digest of its config and weights."""
        return digest(json.dumps(asdict(self.config), sort_keys=True), self.network.state_dict())

    @property
    def remembers(self) -> bool:
        """Whether what it says of a frame depends on earlier ones."""
        return isinstance(self.network, VideoModel) and self.network.remembers

    def run(self, clip: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Segment the next frames of videos; a network without recurrence over time takes each frame by itself.

        Args:
            clip: (B, T, C, H, W) in [0, 1]; T = 1 for frame by frame.
            state: What the call for the frames before returned; None where a video begins.

        Returns:
            Logits (B, T, num_classes, H, W) and the state after the clip.
        """
        frames = self.normalised(clip).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        if isinstance(self.network, VideoModel):
            return self.network.run(frames.unflatten(0, clip.shape[:2]), state)
        return self.network(frames).unflatten(0, clip.shape[:2]), {}


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a text and of tensors: their names, types, shapes and values."""
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\0{name} {tensor.dtype} {[*tensor.shape]}\0".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
