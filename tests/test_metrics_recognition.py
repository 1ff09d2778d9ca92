"""Recognition metrics against scikit-learn and, for edit distances, against the recursion of their definition."""

from functools import cache

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

from sweepseg.metrics_recognition import ClassMatrix, TextErrors, edit_distance


def test_class_matrix_equals_scikit_learn():
    draw = np.random.default_rng(0)
    true, taken = draw.integers(0, 4, 200), draw.integers(0, 4, 200)
    taken[:90] = true[:90]
    metric = ClassMatrix(4)
    for part in (slice(0, 70), slice(70, 200)):
        metric.update(torch.from_numpy(taken[part]), torch.from_numpy(true[part]))
    scores = metric.compute()
    assert scores["accuracy"].item() == pytest.approx(oracle.accuracy_score(true, taken))
    assert scores["error"].item() == pytest.approx(1 - oracle.accuracy_score(true, taken))
    assert scores["mean_class_accuracy"].item() == pytest.approx(oracle.balanced_accuracy_score(true, taken))
    np.testing.assert_allclose(scores["class_accuracy"], oracle.recall_score(true, taken, average=None))
    np.testing.assert_allclose(scores["precision"], oracle.precision_score(true, taken, average=None))
    np.testing.assert_array_equal(scores["matrix"], oracle.confusion_matrix(true, taken))


def test_a_class_without_images_is_left_out_of_the_mean():
    metric = ClassMatrix(3)
    metric.update(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 0, -1]))
    scores = metric.compute()
    assert scores["class_accuracy"].isnan().tolist() == [False, False, True]
    assert scores["mean_class_accuracy"] == (1 / 2 + 1) / 2 and scores["accuracy"] == 2 / 3


def by_definition(first, second):
    @cache
    def distance(i, j):
        if not i or not j:
            return i + j
        replaced = distance(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, replaced)

    return distance(len(first), len(second))


def test_edit_distance():
    draw = np.random.default_rng(0)
    for _ in range(50):
        first, second = (draw.integers(0, 3, draw.integers(0, 7)).tolist() for _ in range(2))
        assert edit_distance(first, second) == by_definition(first, second)


def test_text_errors_are_pooled_over_batches():
    metric = TextErrors(ignore_index=-1)
    metric.update(torch.tensor([[1, 2, 3, 4], [5, 5, -1, -1]]), torch.tensor([[1, 2, 3, 4], [5, -1, -1, -1]]))
    metric.update(torch.zeros(1, 0, dtype=torch.int64), torch.tensor([[7, 8]]))  # nothing was read
    scores = metric.compute()
    assert scores["string_accuracy"].item() == pytest.approx(1 / 3)
    assert scores["character_error_rate"].item() == pytest.approx((0 + 1 + 2) / (4 + 1 + 2))
    with pytest.raises(ValueError, match="2 texts were read, 1 are there"):
        metric.update(torch.zeros(2, 1), torch.zeros(1, 1))


def test_nothing_to_measure_is_nan():
    metric = TextErrors()
    metric.update(torch.zeros(0, 3), torch.zeros(0, 2))
    assert all(score.isnan() for score in metric.compute().values())
