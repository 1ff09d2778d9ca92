"""Every image is a line of text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..errors import UsageError
from ..metrics_recognition import TextErrors
from .checks import check_finite
from .recognition import Answer, Recognition
from .task import Rows


@dataclass(frozen=True)
class TextLine(Recognition):
    """A sequence of characters for each image, by connectionist temporal classification (CTC).

    A network says for each of T places along the line which of the K characters stands there, or none: logits
    (B, K + 1, T), the blank last. Equal neighbours are one character, and blanks part them.

    Source: Graves et al. 2006, Connectionist Temporal Classification, ICML; section 3.2 (best path decoding).

    Args:
        num_classes: Number of characters, at least 1.
        ignore_index: What fills up the targets of a batch, (B, L), to one length.

    Raises:
        UsageError: ``num_classes`` is less than 1.

    >>> logits = 9.0 * F.one_hot(torch.tensor([[0, 0, 2, 0, 1]]), 3).transpose(1, 2)  # a a - a b
    >>> TextLine(2).answers(logits, "ab")[0].text
    'aab'
    """

    num_classes: int
    ignore_index: int = -1
    name = "sequence"
    family = "sequence"
    column = "text"
    scores: ClassVar = {"string_accuracy": "string accuracy", "character_error_rate": "character error rate"}
    without = Recognition.without | {
        *("crop", "scale", "flip", "flip_vertical", "loss", "class_weights", "label_smoothing")
    }

    def __post_init__(self):
        if self.num_classes < 1:
            raise UsageError(f"{self.num_classes} characters for task sequence; name at least one")

    @property
    def num_logits(self) -> int:
        """One for each character, and one for the blank."""
        return self.num_classes + 1

    def decode(self, logits: Tensor) -> Tensor:
        """The characters of the most likely path, int64 (B, L), short ones filled up with ``ignore_index``.

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
        check_finite(logits, ("batch", self.num_logits, "places"))
        path = logits.argmax(1)  # (B, T)
        kept = path != self.num_classes
        kept[:, 1:] &= path[:, 1:] != path[:, :-1]
        texts = [labels[chosen] for labels, chosen in zip(path, kept, strict=True)]
        return pad_sequence(texts, batch_first=True, padding_value=self.ignore_index)

    def answers(self, logits: Tensor, classes: Sequence[str]) -> list[Answer]:
        """What the most likely path reads, and its probability."""
        sure = self.probabilities(logits).amax(1).prod(1).tolist()
        texts = ["".join(classes[label] for label in row if label >= 0) for row in self.decode(logits).tolist()]
        return [*map(Answer, texts, sure)]

    def loss(
        self, terms: Mapping[str, float], class_weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """`torch.nn.CTCLoss`: cross-entropy over all ways to lay a text along the line, by character of the text."""

        def ctc(logits: Tensor, target: Tensor) -> Tensor:
            log_p = logits.float().log_softmax(1).permute(2, 0, 1)  # (T, B, K + 1)
            lengths = (target != self.ignore_index).sum(1)
            places = torch.full_like(lengths, len(log_p))
            return F.ctc_loss(log_p, target.clamp_min(0), places, lengths, blank=self.num_classes, zero_infinity=True)

        return ctc

    def metric(self) -> TextErrors:
        """The metric that takes what ``decode`` returns and the target."""
        return TextErrors(self.ignore_index)

    def batch(self, images: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Lines side by side: narrower ones are continued by their last column, shorter texts by ``ignore_index``."""
        width = max(image.shape[-1] for image in images)
        wide = [F.pad(image, (0, width - image.shape[-1], 0, 0), mode="replicate") for image in images]
        return torch.stack(wide), pad_sequence([*targets], batch_first=True, padding_value=self.ignore_index)

    def report(self, scores: Mapping[str, Tensor], classes: Sequence[str]) -> list[Rows | str]:
        """String accuracy and character error rate."""
        return [", ".join(f"{label} {100 * scores[name].item():.2f}" for name, label in self.scores.items())]
