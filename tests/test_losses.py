import pickle
from functools import partial

import kornia.losses
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, f1_score, jaccard_score

from sweepseg.errors import UsageError
from sweepseg.losses import (
    LOSSES,
    adjusted_cross_entropy,
    combined,
    cross_entropy,
    dice,
    focal,
    lovasz,
    mean_squared_error,
    parse_terms,
    soft_cross_entropy,
)

TASKS = ["binary", "multiclass", "multilabel"]
IGNORED = 255


def example(task, *, dtype=torch.float64, size=(2, 5, 7), classes=3, ignored=0.25):
    """Random logits, target, and class weights; a quarter of the target is ignored."""
    generator = torch.Generator().manual_seed(0)
    batch, height, width = size
    channels = 1 if task == "binary" else classes
    shape = (batch, channels, height, width) if task == "multilabel" else size
    logits = 2 * torch.randn(batch, channels, height, width, generator=generator, dtype=dtype)
    target = torch.randint(classes if task == "multiclass" else 2, shape, generator=generator)
    target[torch.rand(shape, generator=generator) < ignored] = IGNORED
    weights = torch.rand(2 if task == "binary" else classes, generator=generator, dtype=dtype) + 0.5
    return logits, target, weights


def as_logits(labels, classes):
    """Logits whose softmax is 1 for ``labels`` and 0 elsewhere, to double precision."""
    return 1000.0 * F.one_hot(labels, classes).movedim(-1, 1).double()


def at_ignored(logits, target):
    return (target == IGNORED) if target.ndim == 4 else (target == IGNORED).unsqueeze(1).expand_as(logits)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", LOSSES)
def test_volumes_cost_what_their_slices_cost_one_below_the_other(name, task):
    logits, target, weights = example(task, size=(2, 12, 5))
    volume = logits.unflatten(2, (3, 4)), target.unflatten(-2, (3, 4))
    wanted = LOSSES[name](logits, target, task=task, class_weights=weights)
    torch.testing.assert_close(LOSSES[name](*volume, task=task, class_weights=weights), wanted)


# What all losses promise


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", LOSSES)
class TestEveryLoss:
    @pytest.mark.parametrize("junk", [1e4, float("nan"), float("inf")])
    def test_ignores_what_stands_at_ignored_pixels(self, name, task, junk):
        logits, target, weights = example(task)
        results = []
        for here in (logits, logits.masked_fill(at_ignored(logits, target), junk)):
            here.requires_grad_()
            loss = LOSSES[name](here, target, task=task, class_weights=weights)
            (gradient,) = torch.autograd.grad(loss, here)
            assert not gradient[at_ignored(logits, target)].any()
            assert gradient.any()
            results.append((loss.detach(), gradient))
        torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)

    def test_ignored_margin_is_the_same_as_no_margin(self, name, task):
        logits, target, weights = example(task, ignored=0)
        whole = target.clone()
        whole[..., 4:] = IGNORED
        expected = LOSSES[name](logits[..., :4], target[..., :4], task=task, class_weights=weights)
        torch.testing.assert_close(LOSSES[name](logits, whole, task=task, class_weights=weights), expected)

    def test_ignore_index_can_be_any_label(self, name, task):
        logits, target, _ = example(task)
        renamed = target.masked_fill(target == IGNORED, -100)
        expected = LOSSES[name](logits, target, task=task)
        assert LOSSES[name](logits, renamed, task=task, ignore_index=-100) == expected

    def test_costs_exactly_nothing_when_all_is_ignored(self, name, task):
        logits, target, weights = example(task)
        logits.requires_grad_()
        loss = LOSSES[name](logits, torch.full_like(target, IGNORED), task=task, class_weights=weights)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == 0
        assert not gradient.any()

    def test_gradient_is_that_of_the_value(self, name, task):
        logits, target, weights = example(task, size=(2, 3, 2))
        logits.requires_grad_()
        assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target, task=task, class_weights=weights), logits)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_logits_are_computed_with_in_float32(self, name, task, dtype):
        logits, target, weights = example(task, dtype=torch.float32)
        logits = logits.to(dtype).requires_grad_()
        loss = LOSSES[name](logits, target, task=task, class_weights=weights)
        assert loss.dtype == torch.float32
        assert loss == LOSSES[name](logits.float(), target, task=task, class_weights=weights)
        assert torch.autograd.grad(loss, logits)[0].dtype == dtype

    def test_autocast_changes_nothing(self, name, task):
        logits, target, weights = example(task, dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            loss = LOSSES[name](logits, target, task=task, class_weights=weights)
        assert loss == LOSSES[name](logits, target, task=task, class_weights=weights)

    def test_takes_the_bytes_of_index_masks(self, name, task):
        logits, target, weights = example(task)
        expected = LOSSES[name](logits, target, task=task, class_weights=weights)
        assert LOSSES[name](logits, target.to(torch.uint8), task=task, class_weights=weights) == expected

    def test_falls_along_its_gradient_to_near_zero(self, name, task):
        logits, target, _ = example(task, size=(1, 3, 3))
        logits = logits.zero_().requires_grad_()
        optimizer = torch.optim.Adam([logits], lr=0.5)
        for _ in range(60):
            optimizer.zero_grad()
            LOSSES[name](logits, target, task=task).backward()
            optimizer.step()
        assert LOSSES[name](logits, target, task=task) < 0.01

    def test_weights_of_another_number_of_classes_are_refused(self, name, task):
        logits, target, weights = example(task)
        with pytest.raises(ValueError, match=f"give one weight for each of {len(weights)}"):
            LOSSES[name](logits, target, task=task, class_weights=torch.ones(7))


@pytest.mark.parametrize(
    ("task", "logits", "target", "message"),
    [
        ("multiclass", (2, 1, 4, 5), (2, 4, 5), "use task='binary'"),
        ("binary", (2, 2, 4, 5), (2, 4, 5), "logits have 2 channels, but binary needs 1"),
        ("multiclass", (2, 3, 4, 5), (2, 3, 4, 5), r"target has shape \(2, 3, 4, 5\).* want \(2, 4, 5\)"),
        ("multilabel", (2, 3, 4, 5), (2, 4, 5), r"want \(2, 3, 4, 5\)"),
        ("multiclass", (2, 3, 4), (2, 4), r"give \(batch, channels, rows, columns\)"),
        ("panoptic", (2, 3, 4, 5), (2, 4, 5), "choose binary, multiclass or multilabel"),
    ],
)
@pytest.mark.parametrize("loss", LOSSES.values())
def test_shapes_that_do_not_fit_the_task_are_refused(loss, task, logits, target, message):
    with pytest.raises(ValueError, match=message):
        loss(torch.zeros(logits), torch.zeros(target, dtype=torch.long), task=task)


def test_probabilities_as_target_are_refused():
    with pytest.raises(ValueError, match="integer labels"):
        cross_entropy(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3))


# Cross-entropy against torch


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
class TestCrossEntropy:
    def test_multiclass(self, weighted, label_smoothing):
        logits, target, weights = example("multiclass")
        weights = weights if weighted else None
        expected = F.cross_entropy(logits, target, weights, ignore_index=IGNORED, label_smoothing=label_smoothing)
        torch.testing.assert_close(
            cross_entropy(logits, target, class_weights=weights, label_smoothing=label_smoothing), expected
        )

    def test_multilabel(self, weighted, label_smoothing):
        logits, target, weights = example("multilabel")
        weights = weights if weighted else None
        valid = target != IGNORED
        label_weights = (torch.ones(3) if weights is None else weights).view(3, 1, 1).expand_as(logits)[valid]
        soft = target[valid] * (1 - label_smoothing) + label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits[valid], soft.double(), label_weights, reduction="sum")
        torch.testing.assert_close(
            cross_entropy(logits, target, task="multilabel", class_weights=weights, label_smoothing=label_smoothing),
            losses / label_weights.sum(),
        )

    def test_binary(self, weighted, label_smoothing):
        logits, target, weights = example("binary")
        weights = weights if weighted else None
        background, foreground = (1.0, 1.0) if weights is None else weights.tolist()
        valid = target != IGNORED
        labels, z = target[valid].double(), logits[:, 0][valid]
        soft = labels * (1 - label_smoothing) + label_smoothing / 2
        losses = -foreground * soft * F.logsigmoid(z) - background * (1 - soft) * F.logsigmoid(-z)
        torch.testing.assert_close(
            cross_entropy(logits, target, task="binary", class_weights=weights, label_smoothing=label_smoothing),
            losses.sum() / (foreground * labels + background * (1 - labels)).sum(),
        )


def test_weighted_cross_entropy_is_told_from_a_mean_over_pixels():
    logits, target, weights = example("multiclass")
    faulty = F.cross_entropy(logits, target, weights, ignore_index=IGNORED, reduction="none").mean()
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(cross_entropy(logits, target, class_weights=weights), faulty)


# Mean squared error against torch and scikit-learn


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_mean_squared_error_is_that_of_probabilities_and_labels(task, weighted):
    logits, target, weights = example(task)
    valid = target != IGNORED
    if task == "multiclass":
        labels = F.one_hot(target.masked_fill(~valid, 0), 3).movedim(-1, 1).double()
        errors = F.mse_loss(logits.softmax(1), labels, reduction="none").mean(1)
    else:
        p = logits.sigmoid().view_as(target)
        errors = F.mse_loss(p, target.masked_fill(~valid, 0).double(), reduction="none")
    shares = weights.view(3, 1, 1).expand_as(target) if task == "multilabel" else weights[target.masked_fill(~valid, 0)]
    shares = shares[valid] if weighted else torch.ones_like(errors[valid])
    torch.testing.assert_close(
        mean_squared_error(logits, target, task=task, class_weights=weights if weighted else None),
        (errors[valid] * shares).sum() / shares.sum(),
    )


def test_mean_squared_error_of_two_labels_is_the_brier_score():
    logits, target, _ = example("binary", ignored=0)
    expected = brier_score_loss(target.flatten(), logits.sigmoid().flatten())
    assert mean_squared_error(logits, target, task="binary").item() == pytest.approx(expected, abs=1e-12)


# Focal loss against kornia


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_adjusted_cross_entropy_is_weighted_cross_entropy_of_shifted_logits(task):
    logits, target, weights = example(task)
    both = torch.cat([torch.zeros_like(logits), logits], 1) if task == "binary" else logits
    expected = F.cross_entropy(both + weights.log().view(-1, 1, 1), target, weights, ignore_index=IGNORED)
    torch.testing.assert_close(adjusted_cross_entropy(logits, target, task=task, class_weights=weights), expected)


def test_adjusted_cross_entropy_learns_the_frequencies_whatever_the_weights():
    target = torch.tensor([[[0, 0, 0, 1]]])
    logits = torch.zeros(1, 2, 1, 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=50, tolerance_grad=1e-12)

    def closure():
        optimizer.zero_grad()
        loss = adjusted_cross_entropy(logits.expand(1, 2, 1, 4), target, class_weights=torch.tensor([1.0, 9.0]))
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(logits.softmax(1).flatten(), torch.tensor([0.75, 0.25], dtype=torch.float64))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_agrees_with_kornia(gamma):
    logits, target, _ = example("multiclass", ignored=0)
    expected = kornia.losses.focal_loss(logits, target, alpha=None, gamma=gamma, reduction="none").sum(1).mean()
    torch.testing.assert_close(focal(logits, target, gamma=gamma), expected)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(focal(logits, target, gamma=gamma + 0.01), expected)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_focal_of_sigmoids_agrees_with_kornia(task):
    logits, target, _ = example(task, ignored=0)
    labels = target.view_as(logits).double()
    expected = kornia.losses.binary_focal_loss_with_logits(logits, labels, alpha=None, gamma=2.0, reduction="mean")
    torch.testing.assert_close(focal(logits, target, task=task), expected)


@pytest.mark.parametrize("task", TASKS)
def test_focal_without_discount_is_cross_entropy(task):
    logits, target, weights = example(task)
    torch.testing.assert_close(
        focal(logits, target, task=task, class_weights=weights, gamma=0.0),
        cross_entropy(logits, target, task=task, class_weights=weights),
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_a_finite_gradient_at_certainty(gamma):
    logits = torch.tensor([200.0, -200.0]).view(1, 1, 1, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(focal(logits, torch.tensor([[[1, 0]]]), task="binary", gamma=gamma), logits)
    assert gradient.isfinite().all()


def test_focal_refuses_a_negative_gamma():
    with pytest.raises(ValueError, match="gamma is -1"):
        focal(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long), gamma=-1)


# Dice and Lovasz against scikit-learn at hard masks, and against their definitions between


@pytest.fixture
def hard_labels():
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(4, (3, 6, 6), generator=generator)
    noise = torch.randint(4, (3, 6, 6), generator=generator)
    mask = torch.where(torch.rand(3, 6, 6, generator=generator) < 0.7, target, noise)
    return mask, target


def test_dice_of_a_hard_mask_is_one_minus_mean_f1(hard_labels):
    mask, target = hard_labels
    expected = 1 - f1_score(target.flatten(), mask.flatten(), average="macro")
    assert dice(as_logits(mask, 4), target, smooth=1e-12).item() == pytest.approx(expected)
    micro = 1 - f1_score(target.flatten(), mask.flatten(), average="micro")
    assert dice(as_logits(mask, 4), target, smooth=1e-12).item() != pytest.approx(micro)


def test_dice_by_hand():
    """3 x 3 pixels, foreground probability 1/2 on the left, 0 elsewhere; one of the left pixels ignored."""
    logits = torch.tensor([[[[0.0, -1000, -1000]] * 3]]).view(1, 1, 3, 3)
    target = torch.tensor([[[1, 1, 0], [0, 0, 0], [255, 0, 0]]])
    overlap, predicted, true = 0.5, 1.0, 2.0
    expected = 1 - (2 * overlap + 1) / (predicted + true + 1)
    assert dice(logits, target, task="binary").item() == pytest.approx(expected)


def test_dice_charges_what_is_predicted_of_an_absent_class():
    target = torch.zeros(1, 2, 2, dtype=torch.long)
    wrong = as_logits(torch.tensor([[[0, 0], [0, 1]]]), 3)
    # class 0: 1 - 7/8; class 1: 1 - 1/2; class 2, neither predicted nor present: 0
    assert dice(wrong, target).item() == pytest.approx((1 / 8 + 1 / 2) / 3)


def test_dice_refuses_smooth_that_lets_it_divide_by_zero():
    with pytest.raises(ValueError, match="smooth is 0"):
        dice(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long), smooth=0)


def test_lovasz_of_a_hard_mask_is_one_minus_mean_jaccard(hard_labels):
    mask, target = hard_labels
    expected = 1 - jaccard_score(target.flatten(), mask.flatten(), average="macro")
    assert lovasz(as_logits(mask, 4), target).item() == pytest.approx(expected)
    micro = 1 - jaccard_score(target.flatten(), mask.flatten(), average="micro")
    assert lovasz(as_logits(mask, 4), target).item() != pytest.approx(micro)


def jaccard_loss(mistakes, members):
    """Berman et al. 2018, equation 5: 1 - IoU of a class with ``members`` when the pixels ``mistakes`` are wrong."""
    return (mistakes.sum() / (members | mistakes).sum()) if mistakes.any() else 0.0


def extension(errors, members):
    """The Lovasz extension as a Choquet integral: the set function of {errors >= t}, integrated over t > 0."""
    levels = np.unique(np.append(errors, 0.0))
    steps = zip(levels[1:], np.diff(levels), strict=True)
    return sum(width * jaccard_loss(errors >= level, members) for level, width in steps)


PIXELS = st.lists(st.tuples(st.integers(-8, 8), st.booleans()), min_size=1, max_size=8)


@given(PIXELS)
@settings(max_examples=100, deadline=None)
def test_lovasz_hinge_is_the_extension_of_the_jaccard_loss(pixels):
    scores, members = (np.array(column) for column in zip(*pixels, strict=True))
    scores = scores / 4  # ties are common
    expected = extension(np.maximum(0, 1 - np.where(members, scores, -scores)), members)
    logits, target = torch.tensor(scores).view(1, 1, 1, -1), torch.tensor(members).long().view(1, 1, -1)
    assert lovasz(logits, target, task="binary").item() == pytest.approx(expected)


@given(st.lists(st.tuples(*[st.integers(-4, 4)] * 3, st.integers(0, 2)), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_lovasz_softmax_is_the_mean_extension_over_present_classes(pixels):
    *scores, labels = (np.array(column) for column in zip(*pixels, strict=True))
    scores = np.array(scores) / 2
    p = np.exp(scores) / np.exp(scores).sum(0)
    expected = np.mean([extension(np.abs((labels == c) - p[c]), labels == c) for c in np.unique(labels)])
    result = lovasz(torch.tensor(scores).view(1, 3, 1, -1), torch.tensor(labels).view(1, 1, -1))
    assert result.item() == pytest.approx(expected)


def test_lovasz_is_told_from_an_order_that_rises():
    logits, target, _ = example("binary", ignored=0)
    members, scores = target.bool().flatten().numpy(), logits.flatten().numpy()
    errors = np.maximum(0, 1 - np.where(members, scores, -scores))
    order = np.argsort(errors)
    sets = [jaccard_loss(np.isin(np.arange(len(errors)), order[:i]), members) for i in range(len(errors) + 1)]
    faulty = (errors[order] * np.diff(sets)).sum()
    assert lovasz(logits, target, task="binary").item() == pytest.approx(extension(errors, members))
    assert lovasz(logits, target, task="binary").item() != pytest.approx(faulty)


def test_lovasz_keeps_its_digits_with_a_million_pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 1, 1024, 1024, generator=generator)
    target = (torch.rand(1, 1024, 1024, generator=generator) < 0.3).long()
    logits.requires_grad_()
    slopes = []
    for precise in (logits, logits.double()):
        slopes.append(torch.autograd.grad(lovasz(precise, target, task="binary"), logits)[0])
    # float32 swaps the order of nearly equal errors, which is worth 1e-5; differences of neighbouring IoUs in float32
    # would be wrong by several per cent
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-4, atol=0)


@pytest.mark.parametrize(("loss", "score"), [(partial(dice, smooth=1e-12), f1_score), (lovasz, jaccard_score)])
def test_weights_of_overlap_losses_weigh_the_mean_over_classes(loss, score, hard_labels):
    mask, target = hard_labels
    weights = torch.tensor([0.1, 1.0, 2.0, 4.0], dtype=torch.float64)
    expected = np.average(1 - score(target.flatten(), mask.flatten(), average=None), weights=weights)
    assert loss(as_logits(mask, 4), target, class_weights=weights).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [dice, lovasz])
def test_multilabel_overlap_is_the_weighted_mean_of_binary_problems(loss):
    logits, target, weights = example("multilabel")
    per_class = [loss(logits[:, k, None], target[:, k], task="binary") for k in range(3)]
    torch.testing.assert_close(
        loss(logits, target, task="multilabel", class_weights=weights),
        (weights * torch.stack(per_class)).sum() / weights.sum(),
    )


@pytest.mark.parametrize("loss", [dice, lovasz])
def test_weights_have_no_effect_on_the_only_class_of_binary(loss):
    logits, target, weights = example("binary")
    assert loss(logits, target, task="binary", class_weights=weights) == loss(logits, target, task="binary")


# Sums of losses


def test_combined_is_the_weighted_sum():
    logits, target, weights = example("multiclass")
    target = target.masked_fill(target == IGNORED, 9)
    common = {"ignore_index": 9, "class_weights": weights}
    loss = combined({"cross_entropy": 2.0, "lovasz": 0.5}, **common, label_smoothing=0.1)
    expected = 2 * cross_entropy(logits, target, **common, label_smoothing=0.1) + lovasz(logits, target, **common) / 2
    torch.testing.assert_close(loss(logits, target), expected)
    assert pickle.loads(pickle.dumps(loss))(logits, target) == loss(logits, target)


@pytest.mark.parametrize("task", TASKS)
def test_combined_hands_on_the_task(task):
    logits, target, _ = example(task)
    assert combined({"dice": 1.0}, task=task)(logits, target) == dice(logits, target, task=task)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("focal", {"focal": 1.0}),
        ("cross_entropy + 0.5 dice", {"cross_entropy": 1.0, "dice": 0.5}),
        (" 2 lovasz+1e-1 focal ", {"lovasz": 2.0, "focal": 0.1}),
    ],
)
def test_terms_are_read_from_text(text, terms):
    assert parse_terms(text) == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown loss ''"),
        ("dice +", "unknown loss ''"),
        ("dise", "unknown loss 'dise'; did you mean dice"),
        ("hausdorff", "choose from cross_entropy, adjusted_cross_entropy, focal, dice, lovasz"),
        ("half dice", "'half dice' is not"),
        ("0.5 2 dice", "'0.5 2 dice' is not"),
        ("dice + 0.5 dice", "dice stands twice"),
        ("-1 dice", "weight of loss dice is -1.0"),
        ("nan dice", "weight of loss dice is nan"),
    ],
)
def test_text_that_is_no_sum_of_losses_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_terms(text)


def test_combined_refuses_nothing_and_smoothing_without_cross_entropy():
    with pytest.raises(UsageError, match="no loss given"):
        combined({})
    with pytest.raises(UsageError, match="label smoothing acts on cross_entropy"):
        combined({"dice": 1.0}, label_smoothing=0.1)


@pytest.mark.parametrize("task", TASKS)
def test_soft_cross_entropy_is_least_at_the_teacher_and_grows_by_their_divergence(task):
    logits, _, _ = example(task, dtype=torch.float32)
    teacher = logits.flip(0)
    if task == "multiclass":
        told, learned = (torch.distributions.Categorical(logits=x.movedim(1, -1)) for x in (teacher, logits))
    else:
        told, learned = (torch.distributions.Bernoulli(logits=x) for x in (teacher, logits))
    least, found = (soft_cross_entropy(x, teacher, task=task) for x in (teacher, logits))
    torch.testing.assert_close(least, told.entropy().mean())
    torch.testing.assert_close(found - least, torch.distributions.kl_divergence(told, learned).mean())


def test_soft_cross_entropy_teaches_one_way():
    logits, teacher = (torch.randn(1, 3, 2, 2, requires_grad=True) for _ in range(2))
    soft_cross_entropy(logits, teacher).backward()
    assert logits.grad.abs().sum() > 0
    assert teacher.grad is None
