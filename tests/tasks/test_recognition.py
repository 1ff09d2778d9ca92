"""What tasks with a word as the answer have in common."""

import pytest
import torch

from sweepseg.tasks import TASKS, Recognition

LOGITS = {"classification": torch.randn(4, 5), "sequence": torch.randn(4, 6, 9)}


@pytest.mark.parametrize("name", LOGITS)
class TestEveryRecognition:
    def test_answers_come_with_a_probability(self, name):
        task = TASKS[name](5)
        assert isinstance(task, Recognition) and task.num_logits == LOGITS[name].shape[1]
        answers = task.answers(LOGITS[name], "abcde")
        assert len(answers) == 4
        assert all({*answer.text} <= {*"abcde"} and 0 < answer.probability <= 1 for answer in answers)

    def test_what_is_decoded_can_be_measured(self, name):
        task = TASKS[name](5)
        found = task.decode(LOGITS[name])
        metric = task.metric()
        metric.update(found, found)
        scores = metric.compute()
        assert task.scores.keys() <= scores.keys() and scores[next(iter(task.scores))] == 1
        lines = [part for part in task.report(scores, "abcde") if isinstance(part, str)]
        assert len(lines) == 1 and "accuracy 100.00" in lines[0]

    @pytest.mark.parametrize("junk", [float("nan"), float("inf")])
    def test_logits_that_are_not_finite_or_of_another_shape_are_refused(self, name, junk):
        task, logits = TASKS[name](5), LOGITS[name].clone()
        logits[(1, 2, 3)[: logits.dim()]] = junk
        with pytest.raises(ValueError, match=r"1 non-finite values .* the first in image 1, channel 2"):
            task.answers(logits, "abcde")
        with pytest.raises(ValueError, match=rf"this task wants \(batch, {task.num_logits}"):
            task.decode(LOGITS[name][:, 1:])
