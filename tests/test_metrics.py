import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn import metrics as oracle

from sweepseg.metrics import BinaryConfusionMatrix, BoundaryF1, ConfusionMatrix, MultilabelConfusionMatrix, table

IGNORED = 255
NAN = math.nan


def example(shape=(6, 9, 12), labels=3, right=0.7):
    """A mask that is often right, and a target of which some is ignored."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(labels, shape, generator=generator)
    other = torch.randint(labels, shape, generator=generator)
    mask = torch.where(torch.rand(shape, generator=generator) < right, target, other).to(torch.uint8)
    target[torch.rand(shape, generator=generator) < 0.2] = IGNORED
    return mask, target


def blobs(seed=0, shape=(3, 20, 26), labels=3):
    """Label maps with boundaries: smooth noise cut at its quantiles."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = np.stack([ndimage.gaussian_filter(image, 3) for image in noise])
    return torch.from_numpy(np.digitize(smooth, np.quantile(smooth, np.arange(1, labels) / labels)))


def boundary_example():
    target = blobs()
    mask = target.roll((1, 2), dims=(1, 2))
    target[:, 5:8, 4:15] = IGNORED
    return mask, target


def assert_scores(scores, **expected):
    for name, value in expected.items():
        value = torch.as_tensor(value, dtype=torch.float64)
        torch.testing.assert_close(scores[name], value, rtol=1e-12, atol=0, equal_nan=True)


# What all metrics promise

METRICS = {
    "multiclass": (lambda: ConfusionMatrix(3), example()),
    "binary": (BinaryConfusionMatrix, example(labels=2)),
    "multilabel": (lambda: MultilabelConfusionMatrix(3), example((6, 3, 9, 12), labels=2)),
    "boundary": (lambda: BoundaryF1(3, tolerance=0.05), [labels.repeat(2, 1, 1) for labels in boundary_example()]),
}


@pytest.mark.parametrize(("metric", "data"), METRICS.values(), ids=METRICS)
class TestEveryMetric:
    @pytest.mark.parametrize("batches", [[1] * 6, [4, 2], [1, 0, 5]])
    def test_batching_does_not_matter(self, metric, data, batches):
        whole, parts = metric(), metric()
        whole.update(*data)
        order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
        for rows in order.split(batches):
            parts.update(data[0][rows], data[1][rows])
        assert_scores(parts.compute(), **whole.compute())

    def test_ranks_add_up(self, metric, data):
        """What torchmetrics does across processes, with its reductions of the states."""
        whole, first, second = metric(), metric(), metric()
        whole.update(*data)
        first.update(data[0][:2], data[1][:2])
        second.update(data[0][2:], data[1][2:])
        first.merge_state(second)
        assert_scores(first.compute(), **whole.compute())

    def test_prediction_at_ignored_pixels_does_not_matter(self, metric, data):
        mask, target = data
        plain, junk = metric(), metric()
        plain.update(mask, target)
        junk.update(mask.masked_fill(target == IGNORED, 99), target)
        assert_scores(junk.compute(), **plain.compute())

    def test_nothing_but_ignored_pixels_leaves_nan(self, metric, data):
        nothing = metric()
        nothing.update(data[0], torch.full_like(data[1], IGNORED))
        assert all(score.isnan().all() for score in nothing.compute().values())

    def test_reset_forgets(self, metric, data):
        fresh, used = metric(), metric()
        used.update(data[0].flip(-1), data[1])
        used.reset()
        for each in (fresh, used):
            each.update(*data)
        assert_scores(used.compute(), **fresh.compute())

    def test_a_label_out_of_range_is_refused(self, metric, data):
        mask, target = data
        with pytest.raises(ValueError, match="mask holds label 7; labels go from 0 to"):
            metric().update(torch.full_like(mask, 7), target)
        with pytest.raises(ValueError, match="target holds label -1"):
            metric().update(mask, target.masked_fill(target == 0, -1))

    def test_shapes_that_differ_are_refused(self, metric, data):
        mask, target = data
        with pytest.raises(ValueError, match=r"mask has shape .*, target .*; give both"):
            metric().update(mask, target[..., :-1])

    def test_table_has_a_row_for_each_class_and_the_mean(self, metric, data):
        full = metric()
        full.update(*data)
        names = ["one", "two", "three"][: 2 if metric is BinaryConfusionMatrix else 3]
        header, *rows = table(full.compute(), names)
        assert [row[0] for row in rows] == [*names, "mean"]
        for column, name in enumerate(header[1:], start=1):
            assert rows[-1][column] == f"{100 * full.compute()['mean_' + name]:.1f}"


# Confusion matrices against scikit-learn


def test_confusion_matrix_agrees_with_scikit_learn():
    mask, target = example()
    metric = ConfusionMatrix(3)
    metric.update(mask, target)
    truth, labels = target[target != IGNORED], mask[target != IGNORED]
    assert metric.matrix.tolist() == oracle.confusion_matrix(truth, labels).tolist()
    assert_scores(
        metric.compute(),
        iou=oracle.jaccard_score(truth, labels, average=None),
        dice=oracle.f1_score(truth, labels, average=None),
        class_accuracy=oracle.recall_score(truth, labels, average=None),
        mean_iou=oracle.jaccard_score(truth, labels, average="macro"),
        mean_dice=oracle.f1_score(truth, labels, average="macro"),
        mean_class_accuracy=oracle.balanced_accuracy_score(truth, labels),
        global_accuracy=oracle.accuracy_score(truth, labels),
    )
    swapped = ConfusionMatrix(3)
    swapped.update(target.masked_fill(target == IGNORED, 0), mask.long().masked_fill(target == IGNORED, IGNORED))
    with pytest.raises(AssertionError, match="not close"):
        assert_scores(swapped.compute(), class_accuracy=oracle.recall_score(truth, labels, average=None))


def test_scores_are_pooled_and_no_mean_over_images():
    target = torch.tensor([[[1, 1, 1, 1]], [[1, 0, 0, 0]]])
    mask = torch.tensor([[[1, 1, 1, 1]], [[0, 0, 0, 0]]])
    metric = ConfusionMatrix(2)
    metric.update(mask, target)
    assert_scores(metric.compute(), iou=[3 / 4, 4 / 5], mean_iou=(3 / 4 + 4 / 5) / 2)


def test_absent_classes_are_nan_and_stand_outside_the_mean():
    """Class 1 is predicted but not there, class 2 is there but not predicted, class 3 is neither."""
    target = torch.tensor([[[0, 0, 2], [0, 0, 2], [0, 255, 255]]])
    mask = torch.tensor([[[0, 0, 0], [0, 1, 0], [0, 3, 3]]])
    metric = ConfusionMatrix(4)
    metric.update(mask, target)
    scores = metric.compute()
    assert_scores(
        scores,
        iou=[4 / 7, 0, 0, NAN],
        dice=[8 / 11, 0, 0, NAN],
        class_accuracy=[4 / 5, NAN, 0, NAN],
        mean_iou=4 / 21,
        mean_dice=8 / 33,
        mean_class_accuracy=2 / 5,
        global_accuracy=4 / 7,
    )
    assert table(scores, ["a", "b", "c", "d"])[2:] == [
        ["b", "0.0", "0.0", "-"],
        ["c", "0.0", "0.0", "0.0"],
        ["d", "-", "-", "-"],
        ["mean", "19.0", "24.2", "40.0"],
    ]


def test_binary_names_the_foreground():
    mask, target = example(labels=2)
    metric = BinaryConfusionMatrix()
    metric.update(mask, target)
    truth, labels = target[target != IGNORED], mask[target != IGNORED]
    assert_scores(
        metric.compute(),
        iou=oracle.jaccard_score(truth, labels, average=None),
        foreground_iou=oracle.jaccard_score(truth, labels),
        foreground_dice=oracle.f1_score(truth, labels),
    )


def test_multilabel_agrees_with_scikit_learn():
    mask, target = example((4, 3, 9, 12), labels=2)
    target[:, 0, 5:] = IGNORED  # so that classes differ in what counts
    metric = MultilabelConfusionMatrix(3)
    metric.update(mask, target)
    pairs = [(target[:, k][target[:, k] != IGNORED], mask[:, k][target[:, k] != IGNORED]) for k in range(3)]
    assert metric.matrix.tolist() == [oracle.confusion_matrix(*pair).tolist() for pair in pairs]
    assert_scores(
        metric.compute(),
        iou=[oracle.jaccard_score(*pair) for pair in pairs],
        dice=[oracle.f1_score(*pair) for pair in pairs],
        class_accuracy=[oracle.recall_score(*pair) for pair in pairs],
        global_accuracy=oracle.accuracy_score(*(torch.cat(labels) for labels in zip(*pairs, strict=True))),
    )


def test_multilabel_of_a_single_class_has_a_table():
    metric = MultilabelConfusionMatrix(1)
    metric.update(torch.tensor([[[[1, 0]]]]), torch.tensor([[[[1, 1]]]]))
    assert table(metric.compute(), ["cell"])[1:] == [["cell", "50.0", "66.7", "50.0"], ["mean", "50.0", "66.7", "50.0"]]


# Boundary F1 against scipy's distance transform


def boundary_f1(mask, target, label, tolerance):
    """Boundaries by erosion, in which neighbours that do not count never erode, and exact distances; one class."""
    hits = np.zeros(2)
    totals = np.zeros(2)
    for labels, truth in zip(mask.numpy(), target.numpy(), strict=True):
        void = truth == IGNORED
        edges = []
        for members in (labels == label, truth == label):
            members = members | void
            edges.append(members & ~void & ~ndimage.binary_erosion(members, border_value=1))
        for i, (edge, other) in enumerate([edges, edges[::-1]]):
            distance = ndimage.distance_transform_edt(~other) if other.any() else np.full(other.shape, np.inf)
            hits[i] += (distance[edge] <= tolerance * np.hypot(*labels.shape)).sum()
            totals[i] += edge.sum()
    precision, recall = hits / totals
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("pixels", [0, 1, 1.5, 2, 2.9, 5, 40])
def test_boundary_f1_agrees_with_distance_transforms(pixels):
    mask, target = boundary_example()
    tolerance = (pixels + 1e-6) / math.hypot(*mask.shape[1:])
    metric = BoundaryF1(3, tolerance)
    metric.update(mask, target)
    expected = [boundary_f1(mask, target, label, tolerance) for label in range(3)]
    assert_scores(metric.compute(), boundary_f1=expected, mean_boundary_f1=np.mean(expected))


def test_boundary_f1_tells_half_a_pixel_of_tolerance():
    mask, target = boundary_example()
    diagonal = math.hypot(*mask.shape[1:])
    metric = BoundaryF1(3, 1.0001 / diagonal)
    metric.update(mask, target)
    faulty = [boundary_f1(mask, target, label, 1.5 / diagonal) for label in range(3)]
    with pytest.raises(AssertionError, match="not close"):
        assert_scores(metric.compute(), boundary_f1=faulty)


def test_boundary_f1_by_hand():
    """The square is drawn one column too far right, on an image whose diagonal is 10: 0.1 allows just that."""
    target = torch.zeros(1, 6, 8, dtype=torch.long)
    target[:, 2:4, 2:4] = 1
    mask = target.roll(1, dims=2)
    for tolerance, square in ((0.1, 1.0), (0.09, 0.5)):
        metric = BoundaryF1(3, tolerance)
        metric.update(mask, target)
        scores = metric.compute()
        assert scores["boundary_f1"][1] == square
        assert scores["boundary_f1"][2].isnan()
        assert scores["mean_boundary_f1"] == scores["boundary_f1"][:2].mean()


def test_boundary_f1_of_a_class_on_one_side_only_is_zero():
    target = torch.zeros(1, 6, 8, dtype=torch.long)
    mask = target.clone()
    mask[:, 2:4, 2:4] = 1
    for pair in ((mask, target), (target, mask)):
        metric = BoundaryF1(2)
        metric.update(*pair)
        assert_scores(metric.compute(), boundary_f1=[0, 0], mean_boundary_f1=0)


def test_image_edges_and_ignored_pixels_make_no_boundary():
    target = torch.ones(1, 6, 8, dtype=torch.long)
    target[:, :, 3] = IGNORED
    mask = target.clamp_max(1)
    mask[:, :, 3] = 0
    metric = BoundaryF1(2)
    metric.update(mask, target)
    assert_scores(metric.compute(), boundary_f1=[NAN, NAN])


def test_boundary_f1_refuses_overlapping_classes():
    with pytest.raises(ValueError, match=r"give \(batch, rows, columns\)"):
        BoundaryF1(2).update(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))
