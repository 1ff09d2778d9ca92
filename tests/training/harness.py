"""A model and data small enough to train in milliseconds, child processes to kill, and the comparison of two runs."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from sweepseg import orders
from sweepseg.cells import MinGRU
from sweepseg.cells.conv_gru import ConvGRU
from sweepseg.layers.conv_rnn import ConvRNN
from sweepseg.layers.stages import Local, StagedModel
from sweepseg.layers.sweep import Sweep
from sweepseg.models.video import TimeBlock, VideoModel
from sweepseg.training.checkpoint import load_state, saved_states


class Tiny(nn.Module):
    """Everything that could remember or draw something: batch norm, dropout and a sweep."""

    def __init__(self, num_classes: int, in_channels: int):
        super().__init__()
        self.local = nn.Sequential(
            nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.3)
        )
        self.sweep = Sweep(MinGRU(4, 4), orders.rows)
        self.head = nn.Conv2d(4, num_classes, 1)

    def forward(self, image):
        return self.head(self.sweep(self.local(image))[0])


def tiny_video(num_classes: int, in_channels: int, *, dropout: float = 0.3) -> VideoModel:
    """A state in time, dropout and, with it, batch norm."""
    layers = [nn.Conv2d(in_channels, 4, 3, padding=1), nn.ReLU(), nn.Dropout2d(dropout)]
    if dropout:
        layers.insert(1, nn.BatchNorm2d(4))
    stages = {
        "local": Local(nn.Sequential(*layers), ["image"], halo=1),
        "head": Local(nn.Conv2d(4, num_classes, 1), ["local"], halo=0),
    }
    network = StagedModel(stages, total_stride=1, in_channels=in_channels)
    return VideoModel(network, {"local": TimeBlock(ConvRNN(ConvGRU(4, 4, 3)), 4, 4)}, halo=1)


def write_videos(root: Path, *, train: int, val: int, frames: int, annotated: int = 1) -> Path:
    """Videos of a bright square that moves over noise, laid out as DAVIS; every ``annotated``-th frame has a mask."""
    draw = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        (root / f"{split}.txt").write_text("".join(f"{split}{i}\n" for i in range(count)))
        for i in range(count):
            for t in range(frames):
                mask = np.zeros((16, 20), np.uint8)
                mask[3 + i : 9 + i, 2 + t : 8 + t] = 255
                image = draw.integers(0, 120, (16, 20, 3)) + 100 * (mask > 0)[..., None]
                for part, pixels, suffix in (
                    ("JPEGImages", image.astype(np.uint8), "jpg"),
                    ("Annotations", mask, "png"),
                ):
                    (root / part / f"{split}{i}").mkdir(parents=True, exist_ok=True)
                    if suffix == "jpg" or t % annotated == 0:
                        Image.fromarray(pixels).save(root / part / f"{split}{i}" / f"{t:05}.{suffix}")
    return root


def write_pictures(root: Path, *, train: int, val: int, channels: int = 3, size: tuple[int, int] = (16, 20)) -> Path:
    """A data set in the default layout, two classes by brightness, with noise; grey or RGB."""
    draw = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for i in range(count):
            mask = (draw.random((2, 2)) < 0.5).astype(np.uint8).repeat(size[0] // 2, 0).repeat(size[1] // 2, 1)
            mask[0, 0] = i % 2  # both classes occur
            mask[0, 1] = 1
            mask[0, 2] = 255 if i == 0 else 0
            image = draw.integers(0, 120, (*size, channels)) + 120 * (mask == 1)[..., None]
            for part, pixels in (("images", image.astype(np.uint8).squeeze()), ("masks", mask)):
                (root / part / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / part / split / f"{split}{i}.png")
    (root / "classes.txt").write_text("background\nobject\n")
    return root


def write_lines(root: Path, *, train: int, val: int) -> Path:
    """Lines of one to three of the characters 0 (a bar at the top) and 1 (one at the bottom), with noise."""
    draw = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        (root / split).mkdir(parents=True)
        for i in range(count):
            text = draw.integers(0, 2, draw.integers(1, 4))
            image = draw.integers(0, 60, (32, 12 * len(text)))
            for place, character in enumerate(text):
                image[16 * character : 16 * character + 16, 12 * place + 2 : 12 * place + 9] += 180
            Image.fromarray(image.astype(np.uint8)).save(root / split / f"{i}.png")
            (root / split / f"{i}.txt").write_text("".join(map(str, text)))
    return root


def write_sentences(root: Path, *, train: int, val: int) -> Path:
    """Pictures of two squares, and sentences that mean the left or the right one, which look alike."""
    draw = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        rows = []
        for i in range(count):
            instances = np.zeros((16, 16), np.uint8)
            for number, column in ((1, 1), (2, 10)):
                row = draw.integers(0, 12)
                instances[row : row + 4, column : column + 4] = number
            image = draw.integers(0, 100, (16, 16)) + 120 * (instances > 0)
            for part, pixels in (("images", image.astype(np.uint8)), ("instances", instances)):
                (root / part / split).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(root / part / split / f"{i}.png")
            number = int(draw.integers(1, 3))
            rows.append(f"{i}.png\t{number}\tthe {('left', 'right')[number - 1]} square\n")
        (root / "sentences").mkdir(exist_ok=True)
        (root / "sentences" / f"{split}.tsv").write_text("".join(rows))
    return root


def fork(function: Callable[[], Any]) -> multiprocessing.Process:
    """Run a function in a copy of this process; its exit code is that of ``sys.exit`` in it."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    return process


def finish(process: multiprocessing.Process, seconds: float = 30) -> int | None:
    """Wait for a child and return its exit code; one that hangs is killed."""
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def newest(output: Path) -> dict:
    """The newest state of a run without what may differ: where it was written and by which process."""
    state = load_state(saved_states(output / "checkpoints")[-1])
    del state["settings"]
    return state


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two states differ in type, length, value or a single bit."""
    if type(a) is not type(b):
        return [path]
    if isinstance(a, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [path]
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return [path]
        return [d for key in a for d in differences(a[key], b[key], f"{path}/{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [path]
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{path}/{i}")]
    return [] if a == b else [path]
