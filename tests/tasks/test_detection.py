"""One object a step: the matching by brute force, the loss by definition, decoding of what is known."""

from itertools import permutations

import numpy as np
import pytest
import torch

from sweepseg.data import bundled
from sweepseg.errors import UsageError
from sweepseg.tasks import Detection
from sweepseg.tasks import detection as module
from sweepseg.tasks.detection import matching, soft_iou
from sweepseg.training.fit import train
from sweepseg.training.settings import Settings

TERMS = {"cross_entropy": 1.0}


def target(count=3):
    """Bars of three columns with numbers 10, 20, ... of the classes 1, 2, 1, ..., and an ignored column."""
    numbers, classes = torch.zeros(2, 4, 20, dtype=torch.int64)
    for k in range(count):
        numbers[1:3, 3 * k : 3 * k + 3] = 10 * (k + 1)
        classes[1:3, 3 * k : 3 * k + 3] = k % 2 + 1
    numbers[:, 19] = classes[:, 19] = -1
    return torch.stack([numbers, classes])


def logits_of(target, order, steps=5, sure=30.0):
    """The logits of a network of two classes that gives the objects of a target (2, H, W) in this order."""
    numbers, classes = target
    logits = torch.full((steps, 4, *numbers.shape), -sure)
    for step, k in enumerate(order):
        own = numbers == 10 * (k + 1)
        logits[step, 0][own] = sure
        logits[step, 1] = sure
        logits[step, 1 + classes[own][0]] = sure
    return logits[None]


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (4, 2)])
def test_matching_by_brute_force(size):
    iou = torch.rand(size)
    pairs = min(size)
    best = max(
        sum(iou[row, column].item() for row, column in zip(rows, columns, strict=True))
        for rows in permutations(range(size[0]), pairs)
        for columns in permutations(range(size[1]), pairs)
    )
    rows, columns = matching(iou)
    assert len({*rows.tolist()}) == len({*columns.tolist()}) == pairs
    assert iou[rows, columns].sum().item() == pytest.approx(best)


def test_soft_iou_of_masks_that_are_sure_is_the_iou():
    draw = np.random.default_rng(0)
    masks, objects = draw.random((2, 30)) < 0.5, draw.random((3, 30)) < 0.5
    wanted = [[(a & b).sum() / (a | b).sum() for b in objects] for a in masks]
    found = soft_iou(*(torch.from_numpy(one).double() for one in (masks, objects)))
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_order_of_objects_is_free(order):
    one = target()
    assert Detection(2).loss(TERMS)(logits_of(one, order), one[None]) < 1e-4
    found = Detection(2).decode(logits_of(one, order))[0]
    for step, k in enumerate(order):
        assert ((found[0] == step + 1) == (one[0] == 10 * (k + 1))).all()
    assert torch.equal(found[1], one[1].clamp_min(0).float()) and (found[2][found[0] > 0] > 0.99).all()


def test_loss_by_definition():
    one, logits = target(2), torch.randn(1, 3, 4, 4, 20)
    logits[:, :, 1:] = logits[:, :, 1:].mean((3, 4), keepdim=True)  # as a network gives them
    numbers, classes = one
    masks = logits[0, :, 0].double().sigmoid()
    costs = {}
    for order in permutations(range(2)):  # the partner of the first and of the second step
        cost = 0.0
        for step, k in enumerate(order):
            own, mask = numbers == 10 * (k + 1), masks[step] * (numbers >= 0)
            cost += 1 - (mask * own).sum() / (mask.sum() + own.sum() - (mask * own).sum())
        costs[order] = cost / 2
    order = min(costs, key=costs.get)
    shares = logits[0, :, 2:, 0, 0].double().softmax(1)
    expected = (
        costs[order]
        - sum(shares[step, classes[numbers == 10 * (k + 1)][0] - 1].log() for step, k in enumerate(order)) / 2
    )
    there = logits[0, :, 1, 0, 0].double().sigmoid()
    expected -= (there[0].log() + there[1].log() + (1 - there[2]).log()) / 3
    assert Detection(2).loss(TERMS)(logits, one[None]).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_picture_without_an_object_teaches_to_stop():
    one, logits = target(0), torch.randn(1, 3, 4, 4, 20, requires_grad=True)
    Detection(2).loss(TERMS)(logits, one[None]).backward()
    assert (logits.grad[:, :, 1] > 0).all() and not logits.grad[:, :, [0, 2, 3]].any()
    assert not Detection(2).decode(logits_of(one, ())).any()


def test_more_objects_than_steps_keep_the_steps_busy():
    one, logits = target(6), torch.randn(1, 4, 4, 4, 20, requires_grad=True)
    Detection(2).loss(TERMS)(logits, one[None]).backward()
    assert (logits.grad[:, :, 1] < 0).all() and logits.grad[:, :, 0].flatten(2).any(2).all()
    assert Detection(2).decode(logits_of(one, (5, 1, 0, 3), steps=4))[0, 0].max() == 4


def test_an_object_of_one_pixel():
    one = target(1)
    one[:, one[0] == 10] = 0
    one[:, 2, 7] = torch.tensor([10, 2])
    logits = logits_of(one, (0,))
    assert Detection(2).loss(TERMS)(logits, one[None]) < 1e-4
    assert Detection(2).decode(logits)[0, :, 2, 7].tolist() == pytest.approx([1, 2, 1]) and logits.shape[1] == 5


def test_steps_behind_a_stop_do_not_count_and_empty_masks_are_no_objects():
    one = target()
    logits = logits_of(one, (0, 1, 2))
    logits[0, 1, 1] = -30
    assert Detection(2).decode(logits)[0, 0].unique().tolist() == [0, 1]
    logits = logits_of(one, (0, 1, 2))
    logits[0, 1, 0] = -30
    found = Detection(2).decode(logits)[0]
    assert found[0].unique().tolist() == [0, 1, 2] and (found[0][one[0] == 30] == 2).all()


def test_logits_that_are_not_finite_or_of_another_shape_are_refused():
    logits = logits_of(target(), (0,))
    with pytest.raises(ValueError, match=r"this task wants \(batch, 5, steps"):
        Detection(3).decode(logits)
    logits[0, 2, 0, 1, 3] = torch.nan
    with pytest.raises(ValueError, match="1 non-finite values"):
        Detection(2).decode(logits)


def test_training_without_scipy_is_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install .sweepseg\[instances\]"):
        Detection(2).loss(TERMS)


def test_a_run_of_the_recurrent_decoder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(bundled, "SCENES", {"train": 4, "val": 2})
    settings = Settings(
        data="digits",
        task="detection",
        model="rsis",
        output=str(tmp_path / "run"),
        steps=2,
        batch_size=2,
        crop=(32, 32),
    )
    assert train(settings).headline.startswith("AP50")
