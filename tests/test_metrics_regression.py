"""Errors of maps against scikit-learn."""

import pytest
import torch
from sklearn import metrics as sklearn

from sweepseg.metrics_regression import MapErrors


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_pooled_over_known_pixels_of_all_pictures(offset):
    metric, pairs = MapErrors(2), [(torch.randn(2, 2, 4, n), offset + torch.randn(2, 2, 4, n)) for n in (5, 3)]
    for found, target in pairs:
        found += target.where(target > offset, offset)
        target[:, 1, :, 0] = torch.nan
        metric.update(found, target)
    scores = metric.compute()
    for k in range(2):
        found, target = (torch.cat([pair[part][:, k].flatten() for pair in pairs]).double() for part in range(2))
        found, target = found[~target.isnan()], target[~target.isnan()]
        wanted = {
            "mae": sklearn.mean_absolute_error(target, found),
            "rmse": sklearn.root_mean_squared_error(target, found),
            "r2": sklearn.r2_score(target, found),
            "deviation": target.std(correction=0).item(),
        }
        assert {name: scores[f"map_{name}"][k].item() for name in wanted} == pytest.approx(wanted, rel=1e-6)
    for name in ("mae", "rmse", "r2"):
        assert scores[name] == scores[f"map_{name}"].mean()


def test_saying_the_mean_everywhere_explains_nothing():
    metric, target = MapErrors(1), torch.rand(1, 1, 6, 6)
    metric.update(target.double().mean().expand(target.shape), target)
    scores = metric.compute()
    assert scores["r2"].item() == pytest.approx(0, abs=1e-12)
    assert scores["rmse"].item() == pytest.approx(scores["map_deviation"].item())


def test_maps_of_which_nothing_can_be_said_are_left_out_of_the_means():
    metric = MapErrors(3)
    target = torch.stack([torch.arange(4.0), torch.full((4,), torch.nan), torch.full((4,), 0.1)])[None, :, None]
    metric.update(target.nan_to_num(0) + torch.tensor([1.0, 0.0, 0.0])[:, None, None], target)
    scores = metric.compute()
    assert scores["map_mae"].isnan().tolist() == [False, True, False] and scores["mae"] == 0.5
    assert scores["map_r2"].isnan().tolist() == [False, True, True]  # a constant map has no variance to explain
    assert scores["r2"] == pytest.approx(1 - 4 / 5)
