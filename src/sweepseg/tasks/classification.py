"""Every image has exactly one of K classes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..errors import UsageError
from ..metrics import percent
from ..metrics_recognition import ClassMatrix
from .checks import check_finite
from .recognition import Answer, Recognition
from .task import Rows


@dataclass(frozen=True)
class Classification(Recognition):
    """One class out of ``num_classes`` for each image, through a softmax over as many logits (B, num_classes).

    Args:
        num_classes: Number of classes, at least 2.
        ignore_index: Target label of images that do not count.

    Raises:
        UsageError: ``num_classes`` is less than 2.

    >>> import torch
    >>> Classification(3).answers(torch.tensor([[0.0, 9.0, 0.0]]), ["ant", "bee", "fly"])[0].text
    'bee'
    """

    num_classes: int
    ignore_index: int = -1
    name = "classification"
    family = "classification"
    column = "class"
    scores: ClassVar = {"accuracy": "accuracy", "error": "error", "mean_class_accuracy": "mean class accuracy"}

    def __post_init__(self):
        if self.num_classes < 2:
            raise UsageError(f"{self.num_classes} classes for task classification; name at least two")

    def decode(self, logits: Tensor) -> Tensor:
        """The most likely class of each image, int64 (B,); the lower one of equals.

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_finite(logits, ("batch", self.num_logits))
        return logits.argmax(1)

    def answers(self, logits: Tensor, classes: Sequence[str]) -> list[Answer]:
        """The name of the most likely class and its probability."""
        found, sure = self.decode(logits).tolist(), self.probabilities(logits).amax(1).tolist()
        return [Answer(classes[label], probability) for label, probability in zip(found, sure, strict=True)]

    def loss(
        self, terms: Mapping[str, float], class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """``losses.combined`` of images as if they were pixels; ``class_weights`` (num_classes,)."""
        of_pixels = super().loss(terms, class_weights, label_smoothing)
        return lambda logits, target: of_pixels(logits[..., None, None], target[..., None, None])

    def metric(self) -> ClassMatrix:
        """The metric that takes what ``decode`` returns and the target."""
        return ClassMatrix(self.num_classes, self.ignore_index)

    def report(self, scores: Mapping[str, Tensor], classes: Sequence[str]) -> list[Rows | str]:
        """Class by class, the confusion matrix where it has at most 20 classes, and the top-1 accuracy."""
        columns = ("class_accuracy", "precision")
        rows = zip(classes, *(scores[column].tolist() for column in columns), strict=True)
        by_class = [["class", *columns], *([name, *map(percent, values)] for name, *values in rows)]
        counts = scores["matrix"].tolist()
        rows_of_matrix = ([name, *map(str, row)] for name, row in zip(classes, counts, strict=True))
        matrix = [["is \\ taken for", *classes], *rows_of_matrix]
        accuracy, error = (100 * scores[name].item() for name in ("accuracy", "error"))
        return [by_class, *([matrix] if len(classes) <= 20 else []), f"accuracy {accuracy:.2f}, error {error:.2f}"]
