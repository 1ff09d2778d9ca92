import csv
import math
import sys

import pytest

from sweepseg.errors import UsageError
from sweepseg.training.records import Records

SCORES = ("mean_iou", "global_accuracy", "mean_class_accuracy")
ROWS = [
    {"step": 1, "epoch": 0.5, "learning_rate": 0.1, "loss": 2.0},
    {
        "step": 2,
        "epoch": 1.0,
        "learning_rate": 0.05,
        "loss": 1.5,
        "val_mean_iou": 0.25,
        "val_global_accuracy": 0.5,
        "val_mean_class_accuracy": math.nan,
    },
]


def test_table_has_a_row_for_each_of_the_history_and_empty_cells(tmp_path):
    with Records(tmp_path, step=0, scores=SCORES, tensorboard=False) as records:
        for count in (1, 2):
            records.write(ROWS[:count])
            rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
            assert len(rows) == count
    for row, expected in zip(rows, ROWS, strict=True):
        assert {name: float(value) for name, value in row.items() if value} == pytest.approx(expected, nan_ok=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "metrics.csv"]


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {
        name: [(event.step, event.value) for event in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def test_tensorboard_reads_back_every_number(tmp_path):
    with Records(tmp_path, step=0, scores=SCORES, tensorboard=True) as records:
        records.write(ROWS[:1])
        records.write(ROWS)
    found = events(tmp_path / "tensorboard")
    assert found.keys() == ROWS[1].keys() - {"step", "epoch"}
    assert found["loss"] == [(1, 2.0), (2, 1.5)]
    assert found["val_mean_iou"] == [(2, 0.25)]


def test_what_a_killed_run_had_written_beyond_its_checkpoint_is_dropped(tmp_path):
    with Records(tmp_path, step=0, scores=SCORES, tensorboard=True) as records:
        records.write([ROWS[0]])
        records.write([ROWS[1]])
    with Records(tmp_path, step=1, scores=SCORES, tensorboard=True) as records:
        records.write([ROWS[0], ROWS[1] | {"loss": 7.0}])
    assert events(tmp_path / "tensorboard")["loss"] == [(1, 2.0), (2, 7.0)]


def test_missing_tensorboard_is_said_before_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'sweepseg\[tensorboard\]'"):
        Records(tmp_path, step=0, scores=SCORES, tensorboard=True)
