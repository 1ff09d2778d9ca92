"""What differs between segmentation problems: channels, loss, decoding and metric; one task a file."""

from .binary import Binary
from .class_weights import class_weights
from .multiclass import Multiclass
from .multilabel import Multilabel

Task = Binary | Multiclass | Multilabel
TASKS: dict[str, type[Task]] = {"binary": Binary, "multiclass": Multiclass, "multilabel": Multilabel}

__all__ = ["TASKS", "Binary", "Multiclass", "Multilabel", "Task", "class_weights"]
