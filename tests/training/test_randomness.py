import numpy as np
import pytest
import torch

from sweepseg.training.randomness import ORDER, STEP, WEIGHTS, Batches, generator, order, seed_torch


def test_draws_depend_on_every_argument_and_on_nothing_else():
    first = generator(1, ORDER, 2, 3).integers(2**63)
    np.random.seed(7)
    assert generator(1, ORDER, 2, 3).integers(2**63) == first
    others = [(0, ORDER, 2, 3), (1, STEP, 2, 3), (1, ORDER, 3, 3), (1, ORDER, 2, 4), (1, ORDER, 2)]
    assert first not in [generator(*arguments).integers(2**63) for arguments in others]


def test_seeding_torch_fixes_what_follows():
    seed_torch(3, WEIGHTS)
    first = torch.rand(4)
    seed_torch(3, STEP, 0)
    other = torch.rand(4)
    seed_torch(3, WEIGHTS)
    assert torch.equal(torch.rand(4), first)
    assert not torch.equal(other, first)


@pytest.mark.parametrize("count, batch_size", [(7, 3), (6, 2), (3, 8), (1, 4), (5, 1)])
def test_each_picture_comes_once_an_epoch_and_every_batch_is_full(count, batch_size):
    epochs = 4
    batches = list(Batches(count, batch_size, seed=0, start=0, stop=-(-epochs * count // batch_size)))
    assert {len(batch) for batch in batches} == {batch_size}
    keys = [key for batch in batches for key in batch][: epochs * count]
    assert sorted(keys) == [(epoch, index) for epoch in range(epochs) for index in range(count)]
    assert [epoch for epoch, _ in keys] == sorted(epoch for epoch, _ in keys)


def test_order_differs_between_epochs_and_seeds():
    assert len({order(seed, epoch, 20) for seed in range(3) for epoch in range(3)}) == 9


def test_batches_from_the_middle_are_the_rest_of_all():
    whole = Batches(7, 3, seed=5, start=0, stop=9)
    rest = Batches(7, 3, seed=5, start=4, stop=9)
    assert list(rest) == list(whole)[4:]
    assert (len(whole), len(rest)) == (9, 5)


@pytest.mark.parametrize("unlabelled", [2, 7, 11])
def test_pictures_without_labels_have_their_half_of_a_batch_and_epochs_of_their_own(unlabelled):
    plain = Batches(7, 3, seed=0, start=0, stop=40)
    both = list(Batches(7, 3, seed=0, start=0, stop=40, unlabelled=unlabelled))
    assert [batch[:3] for batch in both] == list(plain)
    keys = [key for batch in both for key in batch[3:]]
    epochs = 120 // unlabelled
    every = [(epoch, 7 + index) for epoch in range(epochs) for index in range(unlabelled)]
    assert sorted(keys[: len(every)]) == every
    if unlabelled == 7:  # else a picture would always meet the same one
        assert [index - 7 for _, index in keys] != [index for batch in both for _, index in batch[:3]]
