"""SweepNet: its size, where it sweeps, and what causal means."""

import pytest
import torch
from stirring import stirred

from sweepseg.cells import CELLS
from sweepseg.layers.blocks import count_parameters
from sweepseg.layers.stages import Swept
from sweepseg.layers.sweep import Sweep
from sweepseg.models.sweepnet import sweepnet_base, sweepnet_nano, sweepnet_small, sweepnet_small_control
from sweepseg.orders import FOUR_WAYS, ORDERS, backward


@pytest.mark.parametrize(("build", "size"), [(sweepnet_nano, 0.3e6), (sweepnet_small, 1e6), (sweepnet_base, 4e6)])
def test_parameters(build, size):
    assert count_parameters(build(11)) == pytest.approx(size, rel=0.05)


def test_sweeps_stand_at_8_and_16():
    stages = sweepnet_small(11).stages
    swept = [name for name, stage in stages.items() if isinstance(stage, Swept)]
    assert swept == ["context8_0", "context8_1", "context16_0", "context16_1", "context16_2"]


@pytest.mark.parametrize(("detail", "rank"), [(0, 16), (8, 32)])
def test_enlarged_logits_have_half_the_rank_and_those_with_detail_all(detail, rank):
    model, x = stirred(sweepnet_small(2, detail=detail)).double().eval(), torch.randn(1, 3, 32, 32).double()
    with torch.no_grad():
        assert torch.linalg.matrix_rank(model(x)[0, 0]) == rank


@pytest.mark.parametrize("order", ["four_ways", *ORDERS])
@pytest.mark.parametrize("cell", CELLS)
def test_cell_order_and_units_are_those_asked_for(cell, order):
    with torch.device("meta"):
        model = sweepnet_small(2, cell=cell, order=order, units=8)
        control = sweepnet_small_control(2, cell=cell, order=order, units=8)
    sweeps = [module for module in model.modules() if isinstance(module, Sweep)]
    assert {type(sweep.cell) for sweep in sweeps} == {CELLS[cell]}
    assert [sweep.cell.hidden_size for sweep in sweeps] == [6] * (len(sweeps) * 2 // 5) + [8] * (len(sweeps) * 3 // 5)
    ways = {"four_ways": FOUR_WAYS}.get(order) or (ORDERS[order], backward(ORDERS[order]))
    assert [sweep.order for sweep in sweeps] == [*ways] * 5
    assert count_parameters(control) == pytest.approx(count_parameters(model), rel=0.05)


def test_what_it_cannot_be_built_of_is_refused():
    with pytest.raises(ValueError, match="cell is 'grue'; choose from elman, "):
        sweepnet_small(2, cell="grue")
    with pytest.raises(ValueError, match="order is 'left'; choose from four_ways, rows, "):
        sweepnet_small(2, order="left")
    with pytest.raises(ValueError, match="no way of order snake runs"):
        sweepnet_small(2, order="snake", causal=True)
    with pytest.raises(ValueError, match="detail is -1; give a number of channels"):
        sweepnet_small(2, detail=-1)


@pytest.mark.parametrize("causal", [True, False])
def test_causal_looks_down_no_further_than_its_convolutions(causal):
    model, x = stirred(sweepnet_small(2, causal=causal)).double().eval(), torch.randn(1, 3, 320, 16).double()
    changed = x.clone()
    changed[:, :, -1] += 1
    with torch.no_grad():
        same = (model(x) == model(changed)).all(dim=(0, 1, 3))  # (H,)
    assert bool(same[:200].all()) is causal
    assert not same[-1]
