"""What differs between problems: channels, loss, decoding and metric; one task a file."""

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
}

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
    "Task",
    "TextLine",
    "class_weights",
]
