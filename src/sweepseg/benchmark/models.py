"""The suite of models: each recurrent model beside its control without recurrence, one picture at a time."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from ..models import CONTROLS, MODELS
from .case import Case, Row, Run, comparison
from .memory import MISSING, peak_bytes
from .runs import network_run
from .timing import Timer

NUM_CLASSES = 11


def cases(quick: bool) -> list[Case]:
    """All cases, on pictures of 256 x 256 or, if ``quick``, 32 x 32 pixels."""
    side = 32 if quick else 256
    size = f"{side}x{side}"
    found = []
    for model, control in CONTROLS.items():
        for way in ("inference", "training step"):
            row = Row(f"{model} {way}", size, f"{control} {way}")
            found.append(Case([row], comparison(partial(_runs, [row.name, row.against], [model, control], side))))
        memory = Row(f"{model} training memory", size, f"{control} training memory", quantity="bytes")
        found.append(Case([memory], partial(_measure_memory, [model, control], side), missing=MISSING))
    return found


def _runs(names: Sequence[str], models: Sequence[str], side: int) -> dict[str, Run]:
    return {name: run(model, side, "training" in name) for name, model in zip(names, models, strict=True)}


def run(model: str, side: int, training: bool) -> Run:
    """A pass of a model over one random picture."""
    network = MODELS[model](num_classes=NUM_CLASSES)
    picture = torch.randn(1, 3, side, side).to(memory_format=torch.channels_last)
    return network_run(network, picture, training=training)


def _measure_memory(models: Sequence[str], side: int, timer: Timer, rows: Sequence[Row]) -> list[Row]:
    ours, theirs = peak_bytes([partial(run, model, side, True) for model in models])
    return [replace(rows[0], value=theirs / ours, ours=ours, theirs=theirs, repeats=1)]
