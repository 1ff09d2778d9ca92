"""What a task is: all that the training loop, `val` and `predict` leave to it; the defaults are those of masks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torchmetrics import Metric

from ..data.dataset import DataSet
from ..data.statistics import Progress
from ..losses import LOSSES, Channels, combined
from ..metrics import table

Rows = list[list[str]]  # a table, its head first


@dataclass(frozen=True)
class Task(ABC):
    """A problem: what logits mean, what they should be, and how right they are.

    What is read as the target of a sample stands in `data.pairs.TARGETS`. The augmentation cuts and turns a target that
    has rows and columns along with the image and leaves any other as it is; `batch` is the place for what is derived
    from it afterwards.

    Attributes:
        name: Key of `TASKS`.
        family: Key of `models.FAMILIES`: the networks whose logits have the shape that it wants; on volumes
            it is "volumes".
        outlined: Whether each pixel has one label, so that boundaries and videos can be measured.
        in_parts: Whether the answer is made pixel by pixel, so that large images can be taken in parts and views of one
            averaged.
        losses: What the loss may be made of, by name.
        default_loss: What it is made of where nothing is chosen.
        scores: Those of the metric's scores that a run logs, with their names for people. More is better in the first,
            which decides when to stop early.
        without: Settings of a run that have no meaning here; the augmentation does without them.
        channels: What the channels of the logits mean to the losses.
        num_classes: Number of classes.
        ignore_index: Target label that does not count.
    """

    name: ClassVar[str]
    family: ClassVar[str] = "segmentation"
    outlined: ClassVar[bool] = True
    in_parts: ClassVar[bool] = True
    losses: ClassVar[Mapping[str, Callable[..., Tensor]]] = LOSSES
    default_loss: ClassVar[str] = "cross_entropy + dice"  # without dice thin and rare classes take long to appear
    scores: ClassVar[Mapping[str, str]] = {
        "mean_iou": "mIoU",
        "global_accuracy": "global accuracy",
        "mean_class_accuracy": "mean class accuracy",
    }
    without: ClassVar[frozenset[str]] = frozenset()
    channels: ClassVar[Channels] = "multiclass"
    num_classes: int
    ignore_index: int = 255

    def fitted(self, dataset: DataSet, progress: Progress = iter) -> Self:
        """The task with what it has to know of the data set before training, which `arguments` then holds."""
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """What it takes beside the number of classes; a model folder keeps it, and `task_for` hands it back."""
        known = {"num_classes", "ignore_index"}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in known}

    @property
    def num_logits(self) -> int:
        """Channels of the logits, one for each class."""
        return self.num_classes

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities in float32, of the shape of the logits (B, num_logits, ...); here those of a softmax."""
        return logits.float().softmax(1)

    @abstractmethod
    def decode(self, logits: Tensor) -> Tensor:
        """What the logits say, in the form of the target."""

    def loss(
        self, terms: Mapping[str, float], class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss as a function of logits and target; here `losses.combined`, ``class_weights`` (num_classes,)."""
        return combined(
            terms,
            task=self.channels,
            ignore_index=self.ignore_index,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
        )

    @abstractmethod
    def metric(self) -> Metric:
        """The metric that takes what ``decode`` returns and the target."""

    def batch(self, images: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Views (C, h, w) or clips (T, C, h, w) and their targets as one batch of both.

        Where `data.pairs.read_told` gives more than the image, that comes third, and goes out third.
        """
        return torch.stack([*images]), torch.stack([*targets])

    def report(self, scores: Mapping[str, Tensor], classes: Sequence[str]) -> list[Rows | str]:
        """Scores of the metric for people, in percent: tables and lines, in their order."""
        return [table(scores, classes), f"global accuracy {100 * scores['global_accuracy'].item():.1f}"]

    @classmethod
    def headline(cls, scores: Mapping[str, float]) -> str:
        """The first of the logged scores in percent, such as "mIoU 83.1"; nothing if it is not there."""
        name, label = next(iter(cls.scores.items()))
        return f"{label} {100 * scores[name]:.1f}" if name in scores else ""
