import pytest
import torch

from sweepseg.errors import UsageError
from sweepseg.tasks import Binary
from sweepseg.tasks.referring import Referring


def test_is_binary_with_scores_of_sentences():
    task, logits = Referring(), torch.randn(2, 1, 4, 5)
    target = torch.randint(0, 2, (2, 4, 5))
    assert torch.equal(task.decode(logits), Binary().decode(logits))
    assert task.loss({"dice": 1.0})(logits, target) == Binary().loss({"dice": 1.0})(logits, target)
    metric = task.metric()
    metric.update(torch.tensor([[[1, 1]], [[1, 0]]]), torch.tensor([[[1, 0]], [[1, 0]]]))
    line = "overall IoU 66.7, mean IoU 75.0, precision@0.5 50.0"
    assert task.report(metric.compute(), ("background", "object")) == [line]
    with pytest.raises(UsageError, match="3 classes"):
        Referring(3)


def test_a_batch_is_filled_up_to_its_largest_picture_and_longest_sentence():
    images = [torch.rand(3, 2, 4), torch.rand(3, 3, 2)]
    targets = [torch.ones(2, 4, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.int64)]
    image, target, words = Referring().batch(images, targets, [torch.tensor([2]), torch.tensor([4, 3, 1])])
    assert words.tolist() == [[2, 0, 0], [4, 3, 1]]
    assert torch.equal(image[0, :, :2], images[0]) and torch.equal(image[0, :, 2], images[0][:, -1])
    assert torch.equal(image[1, :, :, :2], images[1]) and torch.equal(image[1, :, :, 3], images[1][..., -1])
    assert target.tolist() == [
        [[1, 1, 1, 1], [1, 1, 1, 1], [255] * 4],
        [[0, 0, 255, 255], [0, 0, 255, 255], [0, 0, 255, 255]],
    ]
