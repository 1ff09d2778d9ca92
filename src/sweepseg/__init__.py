"""Image segmentation with recurrent layers that sweep over the picture.

>>> import sweepseg
>>> model = sweepseg.load(sweepseg.bundled_model())
>>> sweepseg.segment(model, "cells.png").save("mask.png")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what editors and type checkers see of the names below
    from .data import nuclei_sample, open_dataset
    from .inference.generate import generate
    from .inference.predict import predict
    from .inference.recognise import recognise
    from .inference.segment import segment
    from .inference.streaming import StreamingSegmenter, stream
    from .inference.video import VideoSegmenter, predict_video
    from .models import MODELS
    from .models.folder import bundled_model, load, save_model
    from .training.fit import train
    from .training.settings import Settings

__version__ = "0.1.0"

_PLACES = {
    "load": "models.folder",
    "save_model": "models.folder",
    "bundled_model": "models.folder",
    "segment": "inference.segment",
    "predict": "inference.predict",
    "recognise": "inference.recognise",
    "generate": "inference.generate",
    "stream": "inference.streaming",
    "StreamingSegmenter": "inference.streaming",
    "predict_video": "inference.video",
    "VideoSegmenter": "inference.video",
    "open_dataset": "data",
    "nuclei_sample": "data",
    "train": "training.fit",
    "Settings": "training.settings",
    "MODELS": "models",
}

__all__ = [
    "MODELS",
    "Settings",
    "StreamingSegmenter",
    "VideoSegmenter",
    "bundled_model",
    "generate",
    "load",
    "nuclei_sample",
    "open_dataset",
    "predict",
    "predict_video",
    "recognise",
    "save_model",
    "segment",
    "stream",
    "train",
]


def __getattr__(name: str) -> object:
    """Import public names when they are first used (PEP 562), so that importing sweepseg costs nothing."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
