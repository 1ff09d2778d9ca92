"""The suite of models: each recurrent model beside its control without recurrence, one picture at a time."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from ..layers.stages import LAYOUT
from ..models import CONTROLS, MODELS, VOLUME_SEGMENTERS
from .case import Case, Row, Run, comparison
from .memory import MISSING, peak_bytes
from .runs import network_run
from .timing import Timer

NUM_CLASSES = 11
CHANNELS = {2: 3, 3: 1}  # of a colour picture and of a scan, by their dimensions


def cases(quick: bool) -> list[Case]:
    """All cases, on pictures of 256 x 256 or, if ``quick``, 32 x 32 pixels, and volumes of about as many voxels."""
    side = 32 if quick else 256
    found = []
    for model, control in CONTROLS.items():
        size = "x".join(map(str, size_of(model, side)))
        for way in ("inference", "training step"):
            row = Row(f"{model} {way}", size, f"{control} {way}")
            found.append(Case([row], comparison(partial(_runs, [row.name, row.against], [model, control], side))))
        memory = Row(f"{model} training memory", size, f"{control} training memory", quantity="bytes")
        found.append(Case([memory], partial(_measure_memory, [model, control], side), missing=MISSING))
    return found


def _runs(names: Sequence[str], models: Sequence[str], side: int) -> dict[str, Run]:
    return {name: run(model, side, "training" in name) for name, model in zip(names, models, strict=True)}


def run(model: str, side: int, training: bool) -> Run:
    """A pass of a model over one random picture or volume."""
    size = size_of(model, side)
    network = MODELS[model](num_classes=NUM_CLASSES, in_channels=CHANNELS[len(size)])
    picture = torch.randn(1, CHANNELS[len(size)], *size).to(memory_format=LAYOUT[len(size)])
    return network_run(network, picture, training=training)


def size_of(model: str, side: int) -> tuple[int, ...]:
    """A picture of ``side`` rows and columns, or the cube of about as many voxels that a model for volumes takes."""
    dimensions = 3 if model in VOLUME_SEGMENTERS else 2
    return (round(side ** (2 / dimensions)),) * dimensions


def _measure_memory(models: Sequence[str], side: int, timer: Timer, rows: Sequence[Row]) -> list[Row]:
    ours, theirs = peak_bytes([partial(run, model, side, True) for model in models])
    return [replace(rows[0], value=theirs / ours, ours=ours, theirs=theirs, repeats=1)]
