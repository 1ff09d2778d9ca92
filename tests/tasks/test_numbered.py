"""What tasks that number objects have in common."""

import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.metrics import percent
from sweepseg.tasks import TASKS, Numbered

NUMBERED = [name for name, task in TASKS.items() if issubclass(task, Numbered)]


def test_there_are_two():
    assert NUMBERED == ["instances", "detection"]


@pytest.mark.parametrize("name", NUMBERED)
class TestEveryNumbered:
    def test_takes_1_to_254_classes(self, name):
        for count in (0, 255):
            with pytest.raises(UsageError, match=f"{count} classes for task {name}"):
                TASKS[name](count)
        assert TASKS[name](254).num_logits == 256

    def test_report_has_classes_where_there_are_several(self, name):
        values = (0.5, 0.4, 0.3, 0.2, 1.25)
        scores = {name: torch.tensor(value) for name, value in zip(Numbered.scores, values, strict=True)}
        scores |= {"class_ap50": torch.tensor([0.25, 0.75]), "class_box_ap50": torch.tensor([0.8, torch.nan])}
        line = "AP50 50.0, AP50 of boxes 40.0, TP / (TP + FP + FN) 30.0, SBD 20.0, mean count error 1.25"
        assert TASKS[name](1).report(scores, ["nucleus"]) == [line]
        table = [["class", "AP50", "AP50 of boxes"], ["a", "25.0", "80.0"], ["b", "75.0", percent(torch.nan)]]
        assert TASKS[name](2).report(scores, ["a", "b"]) == [table, line]

    def test_metric_has_every_score_that_a_run_logs(self, name):
        metric = TASKS[name](2).metric()
        metric.update(torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 4, 5, dtype=torch.int64))
        assert Numbered.scores.keys() <= metric.compute().keys()
