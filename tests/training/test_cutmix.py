import numpy as np
import pytest
import torch

from sweepseg.training.cutmix import cutmix

COUNT, SIZE = 4, (12, 16)


def batch(planes=()):
    """Pictures and targets in which every pixel names its picture and its place."""
    places = torch.arange(SIZE[0] * SIZE[1]).view(SIZE)
    numbers = 1000 * torch.arange(COUNT).view(-1, 1, 1) + places
    shape = (COUNT, *planes, *SIZE)
    images = numbers[:, None].float().expand(COUNT, 3, *SIZE).contiguous(memory_format=torch.channels_last)
    return images, numbers.view(COUNT, *(1 for _ in planes), *SIZE).expand(shape).clone()


@pytest.mark.parametrize("planes", [(), (2,)], ids=["one label", "multilabel"])
def test_rectangles_of_the_next_picture_with_their_labels(planes):
    images, targets = batch(planes)
    shares = []
    for seed in range(300):
        mixed, labels = cutmix(images, targets, np.random.default_rng(seed), 1.0)
        assert torch.equal(mixed[:, 0].long(), labels if not planes else labels[:, 1])
        assert mixed.stride() == images.stride()
        for i in range(COUNT):
            number = mixed[i, 0].long()
            origin, place = number // 1000, number % 1000
            assert torch.equal(place, torch.arange(SIZE[0] * SIZE[1]).view(SIZE))
            assert set(origin.unique().tolist()) <= {i, (i + 1) % COUNT}
            foreign = origin != i
            rows, columns = foreign.any(1), foreign.any(0)
            assert torch.equal(foreign, rows[:, None] & columns)
            for line in (rows, columns):
                assert line.int().diff().abs().sum() <= 2  # one piece
            shares.append(foreign.float().mean().item())
    assert np.mean(shares) == pytest.approx(0.32, abs=0.02)  # 1/2 but for what lies outside of the picture


def test_share_of_the_pictures_that_are_mixed():
    images, targets = batch()
    changed = [cutmix(images, targets, np.random.default_rng(seed), 0.25)[1] != targets for seed in range(400)]
    assert torch.stack(changed).flatten(2).any(-1).float().mean().item() == pytest.approx(0.25, abs=0.04)
    unchanged, labels = cutmix(images, targets, np.random.default_rng(0), 0.0)
    assert torch.equal(unchanged, images)
    assert torch.equal(labels, targets)
