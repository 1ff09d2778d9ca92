"""The suite of kernels: every operation beside the machine's limits, and layers of them beside what else mixes context.

The goals are what a machine of two AVX-512 cores reaches. Sequences are the rows or columns of channels-last maps.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from .. import ops, orders
from ..cells import GRU, LSTM, Elman, RowConvGRU, RowConvLSTM
from ..errors import SweepsegError
from ..ops import _native
from ..orders import FOUR_WAYS, Order, unroll
from . import layers
from .case import REFERENCE, Case, Row, Run, comparison
from .limits import GEMM_FLOPS, TRIAD_BYTES, gemm, triad
from .peers import MAMBAPY_MISSING, mambapy_scan
from .runs import forward, layer_run, random_map, size, step

TRIAD, GEMM, MAMBAPY, OWN_FLOAT32 = "memory triad", "torch.mm", "mambapy", "own float32"
NO_BFLOAT16 = "no bfloat16 kernel runs here; it takes a CPU with AVX512-BF16"
CHANNELS = 128
HIDDEN_SIZES = (32, 64, 128)


def cases(quick: bool) -> list[Case]:
    """All cases; ``quick`` makes the sides of maps 8 times smaller and drops the goals, which are not for these."""
    scale = 8 if quick else 1
    found = [
        *_linear_scans(scale),
        _scan_beside_mambapy(64 // scale),
        *_scan_trainings(scale),
        *_recurrences(64 // scale),
        *_recurrences(128 // scale),
        *_bfloat16_inference(64 // scale),
        *_row_wise_recurrences(64 // scale),
        *_linear_time_scans(64 // scale),
        *_overheads(),
        *layers.cases(scale),
    ]
    return [replace(case, rows=[replace(row, goal=None) for row in case.rows]) for case in found] if quick else found


def _linear_scans(scale: int) -> Iterable[Case]:
    for side, goal in ((64, 0.75), (128, 0.9), (256, 0.9)):
        side //= scale
        for order in FOUR_WAYS:
            row = Row("linear_scan forward", f"{size(side, CHANNELS)}, {order.name}", TRIAD, goal=goal)
            yield Case([row], comparison(partial(_scan_forward, order, side)), [ops.linear_scan])


def _scan_beside_mambapy(side: int) -> Case:
    row = Row("linear_scan forward", f"{size(side, CHANNELS)}, {orders.rows.name}", MAMBAPY)
    return Case([row], comparison(partial(_scan_and_mambapy, side)), [ops.linear_scan], MAMBAPY_MISSING)


def _scan_trainings(scale: int) -> Iterable[Case]:
    """A training step moves 36 B an element, thrice what the triad moves: 12 B forwards and 24 B backwards."""
    for op, inputs, parts in ((ops.linear_scan, 2, 1), (ops.min_gru_scan, 1, 2)):
        for side in (64 // scale, 256 // scale):
            row = Row(f"{op.__name__} forward + backward", size(side, CHANNELS), TRIAD, goal=0.65, scale=3)
            build = partial(_scan_training, op, inputs, parts, side)
            yield Case([row, replace(row, against=REFERENCE, goal=4, scale=1)], comparison(build), [op])


def _scan_forward(order: Order, side: int) -> dict[str, Run]:
    decay, update = (unroll(random_map(side, CHANNELS).sigmoid(), order) for _ in range(2))
    return {
        "linear_scan forward": forward(lambda: ops.linear_scan(decay, update, reverse=order.reverse)),
        TRIAD: triad(CHANNELS * side**2),
    }


def _scan_and_mambapy(side: int) -> dict[str, Run]:
    decay, update = (unroll(random_map(side, CHANNELS).sigmoid(), orders.rows) for _ in range(2))
    peer = mambapy_scan(decay, update)
    return {
        "linear_scan forward": forward(lambda: ops.linear_scan(decay, update)),
        MAMBAPY: forward(lambda: (peer(),)),
    }


def _scan_training(op: Callable, inputs: int, parts: int, side: int) -> dict[str, Run]:
    maps = [random_map(side, parts * CHANNELS).sigmoid() for _ in range(inputs)]
    sequences = [unroll(x, orders.rows).requires_grad_() for x in maps]
    return {
        f"{op.__name__} forward + backward": step(lambda: op(*sequences), sequences),
        TRIAD: triad(CHANNELS * side**2),
    }


def _recurrences(side: int) -> Iterable[Case]:
    """Forward passes make one product of each weight and step, training steps three."""
    for op, cell, gates in ((ops.gru_scan, GRU, 3), (ops.lstm_scan, LSTM, 4), (ops.elman_scan, Elman, 1)):
        for hidden, forward_goal, step_goal in zip(HIDDEN_SIZES, (0.75, 0.9, 1.0), (0.6, 0.75, 0.85), strict=True):
            flops = 2 * side**2 * gates * hidden * 2 * hidden
            row = Row(f"{op.__name__} forward", size(side, hidden), GEMM, goal=forward_goal, scale=flops / GEMM_FLOPS)
            yield Case([row], comparison(partial(_cell_runs, row.name, cell, hidden, side)), [op])
            if op is not ops.elman_scan:
                row = replace(
                    row, name=f"{op.__name__} forward + backward", goal=step_goal, scale=3 * flops / GEMM_FLOPS
                )
                yield Case([row], comparison(partial(_cell_runs, row.name, cell, hidden, side)), [op])


def _cell_runs(name: str, cell: type[nn.Module], hidden: int, side: int) -> dict[str, Run]:
    layer, sequence = cell(hidden, hidden), unroll(random_map(side, hidden), orders.rows)
    return {name: layer_run(layer, sequence, training="backward" in name), GEMM: gemm()}


def _bfloat16_inference(side: int) -> Iterable[Case]:
    missing = None if _native.multiplies_bfloat16() else NO_BFLOAT16
    for op, cell in ((ops.gru_scan, GRU), (ops.lstm_scan, LSTM)):
        for hidden in HIDDEN_SIZES:
            row = Row(f"{op.__name__} inference, bfloat16", size(side, hidden), OWN_FLOAT32, goal=1.4)
            yield Case([row], comparison(partial(_bfloat16_runs, row.name, cell, hidden, side)), [op], missing)


def _bfloat16_runs(name: str, cell: Callable[..., nn.Module], hidden: int, side: int) -> dict[str, Run]:
    """Parity is with float32, within what bfloat16 rounds, and checked here: the timed run returns nothing more."""
    layer, sequence = cell(hidden, hidden), unroll(random_map(side, hidden), orders.rows)
    ours, theirs = layer_run(deepcopy(layer).bfloat16(), sequence.bfloat16()), layer_run(layer, sequence)
    actual, exact = ours()[0], theirs()[0]
    error = ((actual - exact).square().mean() / exact.square().mean()).sqrt().item()
    if not error <= 0.01:
        raise SweepsegError(
            f"{name}, {size(side, hidden)}: the root mean square of the error is {error:.1%} of that of the states; a "
            "wrong kernel is not timed, please report it with the output of `sweepseg doctor`"
        )
    return {name: lambda: ours()[:0], OWN_FLOAT32: theirs}


def _row_wise_recurrences(side: int) -> Iterable[Case]:
    for op, cell, gates in ((ops.conv_lstm_scan, RowConvLSTM, 4), (ops.conv_gru_scan, RowConvGRU, 3)):
        for hidden in (32, 64):
            flops = 2 * side**2 * gates * hidden * (1 + 3) * hidden
            label = f"{size(side, hidden)}, 1x3 state convolution"
            row = Row(f"{op.__name__} forward", label, GEMM, goal=0.7, scale=flops / GEMM_FLOPS)
            yield Case([row], comparison(partial(_row_wise_runs, row.name, cell, hidden, side)), [op])


def _row_wise_runs(name: str, cell: Callable[..., nn.Module], hidden: int, side: int) -> dict[str, Run]:
    return {name: layer_run(cell(hidden, hidden, "down", 3), random_map(side, hidden)), GEMM: gemm()}


def _linear_time_scans(side: int) -> Iterable[Case]:
    for way in ("down", "right"):
        row = Row("line_scan forward", f"{size(4 * side, CHANNELS)}, {way}", TRIAD, goal=0.8, scale=20 / TRIAD_BYTES)
        yield Case([row], comparison(partial(_line_scan, 4 * side, way)), [ops.line_scan])
    per_pixel = 1e9 * torch.get_num_threads() / (CHANNELS * side**2)
    row = Row(
        "selective_scan forward",
        f"{size(side, CHANNELS)}, 16 states",
        unit="ns a pixel, channel and core",
        goal=4,
        at_most=True,
        scale=per_pixel,
    )
    loop = Row(row.name, row.size, REFERENCE, goal=40)
    yield Case([row, loop], comparison(partial(_selective_scan, side)), [ops.selective_scan])


def _line_scan(side: int, way: str) -> dict[str, Run]:
    update, *weights = (random_map(side, CHANNELS) for _ in range(4))
    left, center, right = (weight.sigmoid() / 3 for weight in weights)
    if way == "right":
        update, left, center, right = (x.mT for x in (update, left, center, right))
    return {
        "line_scan forward": forward(lambda: ops.line_scan(update, left, center, right)),
        TRIAD: triad(CHANNELS * side**2),
    }


def _selective_scan(side: int) -> dict[str, Run]:
    states = 16
    x, delta, b, c = (unroll(random_map(side, size), orders.rows) for size in (CHANNELS, CHANNELS, states, states))
    rates, skip = -torch.arange(1.0, states + 1).repeat(CHANNELS, 1), torch.ones(CHANNELS)
    delta = 0.1 * delta.sigmoid()
    return {"selective_scan forward": forward(lambda: ops.selective_scan(x, delta, rates, b, c, skip))}


def _overheads() -> Iterable[Case]:
    """Calls with next to no work: two steps of one sequence of 16 channels."""
    for name, op in (("linear_scan", ops.linear_scan), ("gru_scan", ops.gru_scan), ("lstm_scan", ops.lstm_scan)):
        for way, goal in (("forward", 15), ("forward + backward", 100)):
            row = Row(f"{name} call, {way}", "2 steps", unit="us", goal=goal, at_most=True, scale=1e6)
            yield Case([row], comparison(partial(_call, row.name, op)), [op])


def _call(name: str, op: Callable) -> dict[str, Run]:
    x = torch.randn(1, 2, 16)
    cells = {ops.gru_scan: GRU, ops.lstm_scan: LSTM}
    others = [*cells[op](16, 16).parameters()] if op in cells else [torch.rand_like(x)]
    inputs = [tensor.detach().requires_grad_("backward" in name) for tensor in (x, *others)]
    return {name: step(lambda: op(*inputs), inputs) if "backward" in name else lambda: op(*inputs)[:1]}
