"""Tasks that say something of an image as a whole."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor

from .task import Task


class Answer(NamedTuple):
    """What a model says of an image.

    Attributes:
        text: The name of its class, or what it reads.
        probability: How sure the model is of it, 0 to 1.
    """

    text: str
    probability: float


class Recognition(Task):
    """A task whose answer for an image is a word.

    Attributes:
        column: What the answer is called in tables.
    """

    outlined = False
    default_loss = "cross_entropy"
    without = frozenset({"teacher", "consistency", "oversample_foreground", "cutmix", "clip_length"})
    column: ClassVar[str]

    @abstractmethod
    def answers(self, logits: Tensor, classes: Sequence[str]) -> list[Answer]:
        """The answer for each image of a batch of logits.

        Raises:
            ValueError: Logits of another shape, or not finite.
        """
