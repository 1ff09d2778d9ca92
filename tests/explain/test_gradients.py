"""Gradients over lags of cells whose derivative is known."""

import math

import pytest
import torch

import sweepseg
from sweepseg.cells import Elman, MinGRU
from sweepseg.explain.gradients import LAGS, Flow, flows, gradient_norms
from sweepseg.models.sweepnet import sweepnet_nano_control

from .networks import segmenter


def halving():
    """h[t] = h[t-1] / 2 + x[t] / 2."""
    cell = MinGRU(4, 4, bias=False)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([torch.zeros(4, 4), torch.eye(4)]))
    return cell, 0.5


def multiplying(factor):
    """h[t] = relu(factor h[t-1] + x[t])."""
    cell = Elman(4, 4, nonlinearity="relu", bias=False)
    with torch.no_grad():
        cell.weight_ih.copy_(torch.eye(4))
        cell.weight_hh.copy_(factor * torch.eye(4))
    return cell, factor


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (halving(), "vanishes by lag 64"),
        (multiplying(0.99), "reaches back"),
        (multiplying(1.1), "explodes by lag 255"),
        (multiplying(2.0), "explodes by lag 16"),
        (multiplying(0.0), "vanishes by lag 1"),
    ],
    ids=["mingru", "0.99", "1.1", "2", "0"],
)
def test_a_factor_a_step_becomes_its_power(made, verdict):
    cell, factor = made
    norms = torch.tensor(gradient_norms(cell, torch.rand(3, LAGS[-1] + 1, 4)), dtype=torch.float64)
    expected = torch.tensor([factor]).double() ** torch.tensor(LAGS)  # the weights are float32
    torch.testing.assert_close(norms / norms[0], expected, rtol=1e-9, atol=0)
    assert Flow("cell", "fresh", tuple(norms.tolist())).verdict == verdict


def test_the_norm_is_that_of_the_jacobian():
    cell, x = MinGRU(3, 5), torch.randn(1, LAGS[-1] + 1, 3)
    jacobian = torch.autograd.functional.jacobian(lambda x: cell(x)[0][0, -1], x)[:, 0]  # (H, T, C)
    expected = [jacobian[:, -1 - lag].norm().item() for lag in LAGS[:3]]
    assert gradient_norms(cell, x.expand(2000, -1, -1))[:3] == pytest.approx(expected, rel=0.1)


def test_every_cell_of_a_model_is_measured_fresh_and_trained():
    model = sweepseg.load(sweepseg.bundled_model())
    before = torch.get_rng_state()
    found = flows(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert [flow.weights for flow in found] == ["fresh", "trained"] * 20
    name = found[0].place.removesuffix(" (MinGRU)")
    cell = model.network.get_submodule(name)
    assert isinstance(cell, MinGRU) and not cell._forward_pre_hooks
    fresh, trained = (
        [flow.norms[3] / flow.norms[0] for flow in found if flow.weights == w] for w in ("fresh", "trained")
    )
    assert max(fresh) < 1e-3 < min(trained)  # what training is for
    assert math.log2(fresh[0]) == pytest.approx(-16, abs=3)  # each of 16 steps forgets about half


def test_a_model_without_cells_has_no_flows(monkeypatch):
    monkeypatch.setattr("sweepseg.explain.gradients.build", lambda config: model)
    model = segmenter(sweepnet_nano_control(1, 1))
    assert flows(model) == []
