import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sweepseg.models import MODELS
from sweepseg.training.settings import Settings

from .harness import Tiny, tiny_video, write_lines, write_pictures, write_videos


@pytest.fixture(autouse=True)
def one_thread():
    """Bits are promised at one thread count, and children that are forked cannot use the pool of their parent."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(MODELS, "tiny", lambda num_classes, in_channels: Tiny(num_classes, in_channels))
    monkeypatch.setitem(MODELS, "tiny_video", tiny_video)


@pytest.fixture
def no_collection():
    """torch reports a dead worker from a signal handler, whose error is lost in callbacks of the garbage collection."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data"), train=6, val=2)


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"), train=2, val=1, frames=8)


@pytest.fixture(scope="session")
def lines(tmp_path_factory) -> Path:
    return write_lines(tmp_path_factory.mktemp("lines"), train=120, val=20)


@pytest.fixture
def settings(data, tmp_path) -> Callable[..., Settings]:
    """Makes the settings of a tiny run in which everything random is switched on."""

    def settings(output: str = "run", **changes) -> Settings:
        values = {
            "data": str(data),
            "output": str(tmp_path / output),
            "model": "tiny",
            "steps": 7,
            "batch_size": 2,
            "crop": (12, 14),
            "flip_vertical": True,
            "rotate": 20.0,
            "blur": 0.5,
            "noise": 0.05,
            "oversample_foreground": 0.5,
            "cutmix": 0.5,
            "learning_rate": 0.05,
            "validate_every": 1,
            "save_every": 1000,
            "device": "cpu",
        }
        return Settings(**values | changes)

    return settings
