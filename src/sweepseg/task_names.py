"""The names of the tasks: what a data set is for and what a model does."""

from typing import Literal

TaskName = Literal[
    "binary",
    "multiclass",
    "multilabel",
    "classification",
    "sequence",
    "generation",
    "instances",
    "detection",
    "referring",
    "regression",
]
