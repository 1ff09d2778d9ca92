"""Building blocks: shapes, what a pixel sees, and the control's size."""

import pytest
import torch
from stirring import stirred
from torch import nn

from sweepseg.cells import GRU
from sweepseg.cells.md_lstm import MDLSTM
from sweepseg.layers.blocks import (
    ContextBlock,
    ConvNorm,
    DepthwiseMixer,
    ResidualConv,
    Stateless,
    SweepMixer,
    context_stage,
    count_parameters,
)
from sweepseg.layers.merge import Concat
from sweepseg.layers.stages import Local, Swept
from sweepseg.layers.sweep import Sweep, Sweeps
from sweepseg.orders import backward, columns, rows

C = 8


def sweep_mixer():
    orders = (rows, backward(rows), columns, backward(columns))
    return SweepMixer(Sweeps([Sweep(GRU(C, 2), order) for order in orders], Concat()), 8, C)


def reach(block):
    """How many rows and columns away from a pixel the block's output still depends on it."""
    x = torch.randn(1, C, 21, 21, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(x)[..., 10, 10].square().sum(), x)
    row, column = gradient[0].abs().sum(0).nonzero().sub(10).abs().unbind(1)
    return int(row.max()), int(column.max())


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 1, (5, 7)), (3, 2, (3, 4)), (1, 1, (5, 7)), (7, 2, (3, 4))])
def test_conv_norm_shapes(kernel, stride, size):
    assert ConvNorm(3, 4, kernel=kernel, stride=stride)(torch.randn(2, 3, 5, 7)).shape == (2, 4, *size)


def test_conv_norm_without_relu_is_signed():
    x = torch.randn(2, 3, 5, 7)
    assert ConvNorm(3, 4)(x).min() == 0 and ConvNorm(3, 4, relu=False)(x).min() < 0


def test_residual_conv_starts_as_the_identity():
    block, x = ResidualConv(C), torch.rand(2, C, 5, 7)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (ResidualConv(C), ResidualConv.halo),
        (Stateless(ContextBlock(C, DepthwiseMixer(C, parameters=900))), DepthwiseMixer.halo),
        (Stateless(ContextBlock(C, sweep_mixer())), 10),
    ],
    ids=["residual", "control", "sweeps"],
)
def test_reach(block, expected):
    assert reach(stirred(block).eval()) == (expected, expected)


def test_context_block_hands_the_state_through():
    block, x = ContextBlock(C, sweep_mixer()).eval(), torch.randn(2, C, 5, 7)
    top, state = block(x[:, :, :3])
    assert [entry is None for entry in state] == [True, True, False, False]
    again, _ = block(x[:, :, :3], state)
    assert not torch.allclose(top, again)


@pytest.mark.parametrize("control", [False, True])
def test_context_stage_starts_as_the_identity(control):
    sweeps = [Sweep(GRU(C, 3), order) for order in (rows, columns)]
    stage, x = context_stage("image", C, sweeps, 6, control=control), torch.randn(2, C, 5, 7)
    output = stage(x)
    assert torch.equal(output if control else output[0], x)


@pytest.mark.parametrize(("out_channels", "parameters"), [(None, 2_000), (None, 30_000), (20, 5_000)])
def test_control_has_the_parameters_asked_for(out_channels, parameters):
    mixer = DepthwiseMixer(C, out_channels, parameters=parameters)
    one_channel_more = C + (out_channels or C) + 51
    assert abs(count_parameters(mixer) - parameters) <= one_channel_more / 2
    assert mixer(torch.randn(2, C, 5, 7))[0].shape == (2, out_channels or C, 5, 7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_control_runs_in_every_dtype(dtype):
    output, _ = DepthwiseMixer(C, parameters=900).to(dtype)(torch.randn(2, C, 5, 7, dtype=dtype))
    assert output.dtype == dtype


def test_control_keeps_its_depthwise_products_wide_under_autocast():
    mixer, seen = DepthwiseMixer(C, parameters=900), []
    mixer.depthwise.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixer(torch.randn(2, C, 5, 7))
    assert seen == [torch.float32]


@pytest.mark.parametrize(("orders", "strips"), [((rows, columns), True), ((columns, backward(columns)), False)])
def test_context_stage_streams_if_its_sweeps_do(orders, strips):
    sweeps = [Sweep(GRU(C, 3), order) for order in orders]
    stage = context_stage("image", C, sweeps, 6, control=False)
    assert isinstance(stage, Swept) and stage.strips is strips and stage.inputs == ("image",)
    assert stage(torch.randn(2, C, 5, 7))[0].shape == (2, C, 5, 7)


def test_context_stage_with_a_cell_over_maps_needs_the_whole_map():
    stage = context_stage("image", C, [Sweep(GRU(C, 3), columns), MDLSTM(C, 3)], 6, control=False)
    assert stage(torch.randn(2, C, 5, 7))[0].shape == (2, C, 5, 7)
    assert not stage.strips


def test_context_stage_control_is_local_and_of_the_same_size():
    sweeps = [Sweep(GRU(C, 6), order) for order in (rows, columns)]
    stages = [context_stage("image", C, sweeps, 12, control=control) for control in (False, True)]
    sizes = [count_parameters(stage) for stage in stages]
    assert isinstance(stages[1], Local) and stages[1].halo == 3
    assert abs(sizes[1] - sizes[0]) <= (2 * C + 51) / 2
    assert stages[1](torch.randn(2, C, 5, 7)).shape == (2, C, 5, 7)


def test_count_parameters():
    assert count_parameters(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))) == 3 * 4 + 4 + 4 + 4
