"""Rows of the suite of kernels about layers and networks: beside torch.nn, attention, convolutions, the reference."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch import nn

from .. import ops
from ..cells import GRU, LSTM, MinGRU
from ..models import sweepnet_small
from .case import REFERENCE, Case, Row, Run, check_parity, comparison, on_reference
from .memory import MISSING, peak_bytes
from .peers import Attention, TorchSweeps, depthwise, four_ways
from .runs import layer_run, network_run, random_map, size
from .timing import Timer

CHANNELS, HIDDEN = 128, 32  # of a layer, and of each of its four sweeps
SWEPT: dict[str, tuple[type[nn.Module], Callable]] = {
    "four-way GRU layer": (GRU, ops.gru_scan),
    "four-way MinGRU layer": (MinGRU, ops.min_gru_scan),
}


def cases(scale: int) -> list[Case]:
    """All cases, on maps whose sides are divided by ``scale``."""
    return [
        *_layers_beside_torch(64 // scale),
        _memory(128 // scale),
        *_context_layers(scale),
        *(_growth(name, [side // scale for side in (64, 128, 256, 512, 1024)]) for name in SWEPT),
        *_networks(256 // scale),
    ]


def _layers_beside_torch(side: int) -> Iterable[Case]:
    """Goals are for two threads or more: one thread does not pay torch.nn's fork and join at every step."""
    judged = torch.get_num_threads() > 1
    for cell, peer, op, goals in (
        (GRU, "torch.nn.GRU", ops.gru_scan, {"forward": (7, 3.3, 2.2), "forward + backward": (7, 3, 2)}),
        (LSTM, "torch.nn.LSTM", ops.lstm_scan, {"forward": (1.5, 1.25, 1.1), "forward + backward": (1.5, 1.5, 1.5)}),
    ):
        for way, by_size in goals.items():
            for hidden, goal in zip((32, 64, 128), by_size, strict=True):
                name = f"four-way {cell.__name__} sweep {way}"
                row = Row(name, size(side, hidden), peer, goal=goal if judged else None)
                yield Case([row], comparison(partial(_beside_torch, row, cell, hidden, side)), [op])


def _beside_torch(row: Row, cell: type[nn.Module], hidden: int, side: int) -> dict[str, Run]:
    sweeps, x = four_ways(cell, hidden, hidden), random_map(side, hidden)
    layers = {row.name: sweeps, row.against: TorchSweeps(sweeps)}
    return {name: layer_run(layer, x, training="backward" in row.name) for name, layer in layers.items()}


def _memory(side: int) -> Case:
    row = Row("four-way GRU layer, training memory", size(side, CHANNELS), "torch.nn.GRU", goal=0.45, at_most=True)
    return Case([replace(row, quantity="bytes")], partial(_measure_memory, side), [ops.gru_scan], MISSING)


def _measure_memory(side: int, timer: Timer, rows: Sequence[Row]) -> list[Row]:
    ours, theirs = peak_bytes([partial(_gru_step, side, of_torch) for of_torch in (False, True)])
    return [replace(rows[0], value=ours / theirs, ours=ours, theirs=theirs, repeats=1)]


def _gru_step(side: int, of_torch: bool) -> Run:
    sweeps = four_ways(GRU, CHANNELS, HIDDEN)
    return layer_run(TorchSweeps(sweeps) if of_torch else sweeps, random_map(side, CHANNELS), training=True)


def _context_layers(scale: int) -> Iterable[Case]:
    """Layers in which a pixel sees others, 128 channels in and out. Attention over 256 x 256 pixels takes a minute."""
    for side, goal in ((64, 15), (128, 60), (256, 170)):
        side //= scale
        rows = [
            Row(name, size(side, CHANNELS), against, goal=goal if against == "attention" else None)
            for against in ("attention", "7x7 depthwise")
            for name in SWEPT
        ]
        yield Case(rows, comparison(partial(_context_runs, side)), [ops.gru_scan, ops.min_gru_scan])


def _context_runs(side: int) -> dict[str, Run]:
    x = random_map(side, CHANNELS)
    layers: dict[str, nn.Module] = {name: four_ways(cell, CHANNELS, HIDDEN) for name, (cell, _) in SWEPT.items()}
    layers |= {"attention": Attention(CHANNELS, heads=4), "7x7 depthwise": depthwise(CHANNELS)}
    return {name: layer_run(layer, x) for name, layer in layers.items()}


def _growth(name: str, sides: list[int]) -> Case:
    cell, op = SWEPT[name]
    rows = [Row(name, size(side, HIDDEN), unit="ns a pixel", scale=1e9 / side**2) for side in sides]
    span = f"{size(sides[0], HIDDEN)} to {sides[-1]}x{sides[-1]}"
    exponent = Row(f"{name}, growth", span, unit="exponent of the pixels", goal=1.05, at_most=True)
    return Case([*rows, exponent], partial(_measure_growth, cell, sides), [op])


def _measure_growth(cell: type[nn.Module], sides: list[int], timer: Timer, rows: Sequence[Row]) -> list[Row]:
    """All sizes in one loop; the exponent is that from the smallest to the largest."""
    layer = four_ways(cell, HIDDEN, HIDDEN)
    runs = [layer_run(layer, random_map(side, HIDDEN)) for side in sides]
    for run, row in zip(runs, rows[:-1], strict=True):
        check_parity(f"{row.name}, {row.size}", run(), on_reference(run)())
    times = [median(taken) for taken in timer(runs)]
    exponent = math.log(times[-1] / times[0]) / (2 * math.log(sides[-1] / sides[0]))
    filled = [replace(row, value=row.scale * time, ours=time) for row, time in zip(rows[:-1], times, strict=True)]
    return [*filled, replace(rows[-1], value=exponent)]


def _networks(side: int) -> Iterable[Case]:
    for way in ("inference", "training step"):
        row = Row(f"sweepnet_small {way}", f"{side}x{side}", REFERENCE, goal=1.5)
        yield Case([row], comparison(partial(_network_runs, row.name, side)), [ops.min_gru_scan])


def _network_runs(name: str, side: int) -> dict[str, Run]:
    return {name: network_run(sweepnet_small(num_classes=11), random_map(side, 3), training="training" in name)}
