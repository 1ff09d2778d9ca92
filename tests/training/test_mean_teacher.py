"""The loss of pictures without labels against torch's losses, pixel by pixel."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sweepseg.tasks import Binary, Multiclass, Multilabel
from sweepseg.training import mean_teacher
from sweepseg.training.mean_teacher import disagreement, ramp_up

COUNT, SIZE, CONFIDENCE = 3, (8, 9), 0.8
TASKS = pytest.mark.parametrize("task", [Binary(), Multiclass(3), Multilabel(2)], ids=lambda task: task.name)


def pictures():
    """Images in which every pixel has a number of its own, (B, 1, h, w)."""
    return torch.arange(COUNT * SIZE[0] * SIZE[1]).view(COUNT, 1, *SIZE).float()


def unseen(task):
    """A target of the task's form for pictures whose first row shows nothing."""
    planes = (task.num_logits,) if task.name == "multilabel" else ()
    seen = torch.zeros(COUNT, *planes, *SIZE, dtype=torch.int64)
    seen[..., 0, :] = task.ignore_index
    return seen


class Student:
    """Logits of its own for each pixel of `pictures`, wherever it stands; remembers what it saw."""

    def __init__(self, task):
        self.table = torch.randn(COUNT * SIZE[0] * SIZE[1], task.num_logits, requires_grad=True)

    def __call__(self, mixed):
        self.saw = mixed[:, 0].long()
        return self.table[self.saw].permute(0, 3, 1, 2)


def expected(task, student, taught, confidence=CONFIDENCE):
    """The mean over the pixels that the student saw, each with what the teacher says of it in its own picture."""
    probability = taught.sigmoid() if task.name != "multiclass" else taught.softmax(1)
    losses = []
    for number in student.saw.flatten().tolist():
        picture, row, column = np.unravel_index(number, (COUNT, *SIZE))
        p, logits, shown = probability[picture, :, row, column], student.table[number], row > 0
        if task.name == "multiclass":
            sure = p.max() >= confidence and shown
            losses.append(F.cross_entropy(logits, p.argmax()) if sure else torch.tensor(0.0))
            continue
        for one, logit in zip(p, logits, strict=True):
            sure = max(one, 1 - one) >= confidence and shown
            losses.append(F.binary_cross_entropy_with_logits(logit, (one > 0.5).float()) if sure else torch.tensor(0.0))
    return torch.stack(losses).mean()


def run(task, confidence=CONFIDENCE):
    student, taught, seen = Student(task), 2 * torch.randn(COUNT, task.num_logits, *SIZE), unseen(task)
    taught.requires_grad_()
    loss = disagreement(student, taught, pictures(), seen, task, np.random.default_rng(0), confidence=confidence)
    return loss, student, taught


@TASKS
@pytest.mark.parametrize("confidence", [CONFIDENCE, 0.0])
def test_student_learns_the_labels_that_the_teacher_is_sure_of_where_they_went(task, confidence):
    loss, student, taught = run(task, confidence)
    assert loss.item() == pytest.approx(expected(task, student, taught, confidence).item(), rel=1e-5)
    moved = student.saw != pictures()[:, 0].long()
    assert 0.1 < moved.float().mean() < 0.9
    loss.backward()
    assert student.table.grad.any() and taught.grad is None


@TASKS
def test_an_unsure_teacher_teaches_nothing(task):
    loss, student, *_ = run(task, confidence=1.0)
    loss.backward()
    assert loss.item() == 0 and not student.table.grad.any()


def test_weight_rises_as_in_the_paper():
    assert [ramp_up(step, 400) for step in (0, 50, 100, 399)] == pytest.approx([np.exp(-5), np.exp(-1.25), 1, 1])
    assert ramp_up(0, 1) == pytest.approx(np.exp(-5))


@pytest.mark.parametrize("fault", ["labels stay behind", "nobody is unsure", "mean over the sure"])
def test_faults_are_caught(fault, monkeypatch):
    """The same comparison, of a loss that is wrong."""
    task = Multiclass(3)
    if fault == "labels stay behind":
        cutmix = mean_teacher.cutmix
        monkeypatch.setattr(mean_teacher, "cutmix", lambda i, labels, d, p: (cutmix(i, labels, d, p)[0], labels))
    student, taught, seen = Student(task), 2 * torch.randn(COUNT, task.num_logits, *SIZE), unseen(task)
    confidence = 0.0 if fault == "nobody is unsure" else CONFIDENCE
    loss = disagreement(student, taught, pictures(), seen, task, np.random.default_rng(0), confidence=confidence)
    if fault == "mean over the sure":
        loss = loss / ((taught.softmax(1).amax(1) >= CONFIDENCE) & (seen == 0)).float().mean()
    assert loss.item() != pytest.approx(expected(task, student, taught).item(), rel=1e-2)
