"""What differs between problems: channels, loss, decoding and metric; one task a file."""

from ..errors import ModelFileError, UsageError
from ..models.segmenter import ModelConfig
from .binary import Binary
from .class_weights import class_weights
from .classification import Classification
from .detection import Detection
from .generation import Generation
from .instances import Instances
from .multiclass import Multiclass
from .multilabel import Multilabel
from .numbered import Numbered
from .recognition import Answer, Recognition
from .referring import Referring
from .regression import Regression
from .sequence import TextLine
from .task import Task

TASKS: dict[str, type[Task]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "multilabel": Multilabel,
    "classification": Classification,
    "sequence": TextLine,
    "generation": Generation,
    "instances": Instances,
    "detection": Detection,
    "referring": Referring,
    "regression": Regression,
}


def task_for(config: ModelConfig) -> Task:
    """The task of a model.

    Raises:
        ModelFileError: It does not take what the config says of it.
    """
    try:
        return TASKS[config.task](len(config.classes), **config.task_arguments)
    except (TypeError, ValueError, UsageError) as error:
        raise ModelFileError(f"task {config.task} does not take {config.task_arguments}: {error}") from None


__all__ = [
    "TASKS",
    "Answer",
    "Binary",
    "Classification",
    "Detection",
    "Generation",
    "Instances",
    "Multiclass",
    "Multilabel",
    "Numbered",
    "Recognition",
    "Referring",
    "Regression",
    "Task",
    "TextLine",
    "class_weights",
    "task_for",
]
