import math

import numpy as np
from PIL import Image

from sweepseg.compare.report import groups, over_control, plot, table

from .rows import row

CONTROL = "sweepnet_small_control"
ROWS = [
    row(model=CONTROL, mean_iou=0.70, train_seconds=90.0),
    row(mean_iou=0.80, train_seconds=100.0),
    row(model="segformer_b0", mean_iou=0.5, parameters=3_700_000, multiply_adds=950_000_000, train_seconds=math.nan),
    row(seed=1, mean_iou=0.84, train_seconds=104.0),
    row(seed=2, mean_iou=0.82, train_seconds=300.0),
    row(model=CONTROL, seed=2, mean_iou=0.78, train_seconds=110.0),
    row(data="drive", mean_iou=0.25, train_seconds=7.4),
]


def test_figures_by_hand():
    """Seeds 0, 1, 2 of the model: 82 ± 2. Its control has seeds 0 and 2: the differences are 10 and 4, so 7 ± 4.2."""
    lines = table(ROWS).splitlines()
    assert [line for line in lines if line.startswith(("| sweep", "| seg"))] == [
        "| sweepnet_small | 82.0 ± 2.0 (3) | +7.0 ± 4.2 (2) | 1.00 | 0.61 | 104 | 20 | 12 |",
        "| sweepnet_small_control | 74.0 ± 5.7 (2) |  | 1.00 | 0.61 | 100 | 20 | 12 |",
        "| segformer_b0 | 50.0 (1) |  | 3.70 | 0.95 |  | 20 | 12 |",
        "| sweepnet_small | 25.0 (1) |  | 1.00 | 0.61 | 7 | 20 | 12 |",
    ]
    assert [line for line in lines if "steps" in line] == [
        "nuclei, test: 600 steps, crops of 192x192, settings 0123456789ab",
        "drive, test: 600 steps, crops of 192x192, settings 0123456789ab",
    ]


def test_only_what_was_trained_alike_is_compared():
    changes = [{}, {"split": "val"}, {"settings": "x"}, {"data": "x"}]
    assert [[*group] for group in groups(row(**change) for change in changes)] == [["sweepnet_small"]] * 4
    (group,) = groups([row(steps=500), row(model=CONTROL)])
    assert [*group] == ["sweepnet_small", CONTROL] and "500 to 600 steps" in table([row(steps=500), row(model=CONTROL)])


def test_difference_is_between_runs_of_one_seed():
    (group,) = groups([row(mean_iou=0.5), row(seed=1, mean_iou=0.9), row(model=CONTROL, seed=1, mean_iou=0.8)])
    assert np.allclose(over_control(group, "sweepnet_small").values, [0.1])
    assert over_control(group, CONTROL).values == []


def test_plot_shows_every_group(tmp_path):
    for rows in (ROWS, []):
        (tmp_path / "plot.png").write_bytes(plot(rows))
        with Image.open(tmp_path / "plot.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert picture.width > picture.height * (1.2 if rows else 0)
        assert bool((pixels < 255).any()) == bool(rows)
