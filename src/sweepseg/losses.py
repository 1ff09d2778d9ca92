"""Segmentation losses: ``loss(logits, target, *, task, ignore_index, class_weights) -> scalar``.

Shapes by ``task``, with K classes:

- ``"multiclass"``: logits (B, K, H, W), target (B, H, W) with labels 0 to K-1; class_weights (K,).
- ``"binary"``: logits (B, 1, H, W), target (B, H, W) of 0 (background) and 1 (foreground); class_weights (2,).
- ``"multilabel"``: logits (B, K, H, W), target (B, K, H, W) of 0 and 1; class_weights (K,).

Volumes have a D in front of the H.

Targets are integers and may hold ``ignore_index`` anywhere: neither value nor gradient depends on the logits there, not
even where these are NaN, and a batch without any other label costs exactly 0. Half-precision logits are computed with
in float32. All pixels of a batch are pooled; no loss is a mean over images.
"""

import copy
import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import UsageError

Channels = Literal["binary", "multiclass", "multilabel"]


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    task: Channels = "multiclass",
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy, averaged over labels; ``torch.nn.functional.cross_entropy`` for all three tasks.

    ``class_weights`` multiply the loss of every label of their class, and the sum is divided by the sum of the weights.
    In multilabel the weight of a class holds for its zeros and ones alike.

    Args:
        logits: Scores before softmax or sigmoid; shapes as in the module's description.
        target: Integer labels.
        task: The meaning of the channels.
        ignore_index: Label of pixels that do not count.
        class_weights: Nonnegative weights.
        label_smoothing: Share in [0, 1) of each label that is spread evenly over all classes (binary and multilabel:
            over 0 and 1).

    Raises:
        ValueError: Shapes and task do not agree.

    >>> cross_entropy(torch.zeros(1, 4, 2, 2), torch.tensor([[[0, 3], [255, 255]]]))  # log 4
    tensor(1.3863)
    """
    return _cross_entropy(Scores(logits, target, task, ignore_index), class_weights, label_smoothing)


def _cross_entropy(scores: "Scores", class_weights: Tensor | None, label_smoothing: float = 0.0) -> Tensor:
    weights = scores.label_weights(class_weights)
    losses = -weights * scores.log_p_label
    if label_smoothing:  # shares a label among classes of different weight
        log_p = scores.log_p
        if class_weights is not None and scores.task != "multilabel":
            log_p = log_p * class_weights.to(log_p).view(-1, 1, 1)
            shared = -scores.valid * log_p.mean(1)
        else:
            shared = -weights * log_p.mean(1)
        losses = (1 - label_smoothing) * losses + label_smoothing * shared
    return _ratio(losses.sum(), weights.sum())


def adjusted_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    task: Channels = "multiclass",
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy whose class weights speed up the learning of rare classes without tilting what is predicted.

    Weighted cross-entropy learns probabilities that are too large by the weights. Here the logarithms of the weights
    are added to the logits first, so that the logits stay those of the classes as frequent as they are. Without
    weights, and in multilabel, where a weight holds for zeros and ones alike, it is cross-entropy.

    Args:
        logits: Scores before softmax or sigmoid; shapes as in the module's description.
        target: Integer labels.
        task: The meaning of the channels.
        ignore_index: Label of pixels that do not count.
        class_weights: Nonnegative weights.

    Raises:
        ValueError: Shapes and task do not agree.

    Source: Menon et al. 2021, Long-Tail Learning via Logit Adjustment, arXiv:2007.07314, section 5.

    >>> weights = torch.tensor([1.0, 3.0])  # logits 0 become probabilities 1/4 and 3/4
    >>> adjusted_cross_entropy(torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.long), class_weights=weights)
    tensor(0.2877)
    """
    return _adjusted_cross_entropy(Scores(logits, target, task, ignore_index), class_weights)


def _adjusted_cross_entropy(scores: "Scores", class_weights: Tensor | None) -> Tensor:
    if class_weights is not None and scores.task != "multilabel":
        _check_weights(class_weights, scores.labels_known)
        tilt = class_weights.to(scores.logits).clamp_min(torch.finfo(scores.logits.dtype).tiny).log()
        scores = scores.shifted(tilt if scores.task == "multiclass" else tilt[1:] - tilt[:1])
    return _cross_entropy(scores, class_weights)


def focal(
    logits: Tensor,
    target: Tensor,
    *,
    task: Channels = "multiclass",
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
    gamma: float = 2.0,
) -> Tensor:
    """Focal loss: cross-entropy in which a label of probability p counts ``(1 - p) ** gamma`` times.

    ``class_weights`` are the paper's alpha; they act, and the mean is taken, as in ``cross_entropy``, so that
    ``gamma=0`` is cross-entropy.

    Args:
        logits: Scores before softmax or sigmoid; shapes as in the module's description.
        target: Integer labels.
        task: The meaning of the channels.
        ignore_index: Label of pixels that do not count.
        class_weights: Nonnegative weights.
        gamma: How strongly easy pixels are discounted, >= 0.

    Raises:
        ValueError: Shapes and task do not agree, or ``gamma`` is negative.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, equation 5.

    >>> focal(torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.long))  # (1 - 1/2)^2 log 2
    tensor(0.1733)
    """
    if gamma < 0:
        raise ValueError(f"gamma is {gamma}; give a number >= 0 (0 is cross-entropy)")
    return _focal(Scores(logits, target, task, ignore_index), class_weights, gamma)


def _focal(scores: "Scores", class_weights: Tensor | None, gamma: float = 2.0) -> Tensor:
    weights, log_p = scores.label_weights(class_weights), scores.log_p_label
    doubt = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)  # 1 - p; its power has no slope at 0
    return _ratio((weights * doubt**gamma * -log_p).sum(), weights.sum())


def dice(
    logits: Tensor,
    target: Tensor,
    *,
    task: Channels = "multiclass",
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
    smooth: float = 1.0,
) -> Tensor:
    """Soft Dice loss: mean over classes of ``1 - (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth)``.

    The sums run over all pixels of the batch. A class that is absent from the target stays in the mean, where it costs
    what is predicted of it. ``class_weights`` weigh the mean over classes. Binary knows one class here, the
    foreground, so that they have no effect.

    Args:
        logits: Scores before softmax or sigmoid; shapes as in the module's description.
        target: Integer labels.
        task: The meaning of the channels.
        ignore_index: Label of pixels that do not count.
        class_weights: Nonnegative weights.
        smooth: Pixels added to numerator and denominator, > 0.

    Raises:
        ValueError: Shapes and task do not agree, or ``smooth`` is not positive.

    Source: Milletari et al. 2016, V-Net, with the plain sums of Drozdzal et al. 2016 in the denominator.

    >>> dice(torch.zeros(1, 1, 2, 2), torch.tensor([[[1, 1], [0, 0]]]), task="binary")  # 1 - (2 + 1) / (2 + 2 + 1)
    tensor(0.4000)
    """
    if smooth <= 0:
        raise ValueError(f"smooth is {smooth}; give a number of pixels > 0")
    return _dice(Scores(logits, target, task, ignore_index), class_weights, smooth)


def _dice(scores: "Scores", class_weights: Tensor | None, smooth: float = 1.0) -> Tensor:
    overlap, total = scores.overlap_and_total()
    losses = 1 - (2 * overlap + smooth) / (total + smooth)
    weights = _mean_weights(class_weights, losses, scores.task)
    return _ratio((weights * losses).sum(), weights.sum())


def lovasz(
    logits: Tensor,
    target: Tensor,
    *,
    task: Channels = "multiclass",
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Lovasz extension of the Jaccard loss (1 - IoU): Lovasz-softmax for multiclass, Lovasz hinge for the others.

    Lovasz-softmax is the mean over the classes present in the target. The hinge is the mean over all classes; for a
    class absent from the target it is the largest error. ``class_weights`` weigh that mean. Binary knows one class
    here, the foreground, so that they have no effect.

    Args:
        logits: Scores before softmax or sigmoid; shapes as in the module's description.
        target: Integer labels.
        task: The meaning of the channels.
        ignore_index: Label of pixels that do not count.
        class_weights: Nonnegative weights.

    Raises:
        ValueError: Shapes and task do not agree.

    Source: Berman et al. 2018, The Lovasz-Softmax loss, equations 8, 9, 11 and 12, algorithm 1.

    >>> lovasz(torch.tensor([[[[3.0, -0.5]]]]), torch.tensor([[[1, 0]]]), task="binary")  # error 0.5 makes IoU 1/2
    tensor(0.2500)
    """
    return _lovasz(Scores(logits, target, task, ignore_index), class_weights)


def _lovasz(scores: "Scores", class_weights: Tensor | None) -> Tensor:
    members, valid = scores.members()
    if scores.task == "multiclass":
        errors = (members.to(scores.logits.dtype) - scores.log_p.exp()).abs()
    else:
        errors = F.relu(torch.where(members, 1 - scores.logits, 1 + scores.logits))
    errors = (errors * valid).transpose(0, 1).flatten(1)  # (K, B * H * W)
    members = members.transpose(0, 1).flatten(1)
    losses = torch.stack([(e * _jaccard_slope(e, m)).sum() for e, m in zip(errors, members, strict=True)])
    weights = _mean_weights(class_weights, losses, scores.task)
    if scores.task == "multiclass":
        weights = weights * members.any(1)
    return _ratio((weights * losses).sum(), weights.sum())


def mean_squared_error(
    logits: Tensor,
    target: Tensor,
    *,
    task: Channels = "multiclass",
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Mean over pixels and channels of (p - y)^2, p being the probability of a class and y 1 for the label, else 0.

    For binary this is the Brier score, for multiclass the Brier score over the number of classes. Its gradient vanishes
    where a pixel is sure of the wrong label, so that it learns more slowly than cross-entropy. ``class_weights`` act as
    in ``cross_entropy``.

    Args:
        logits: Scores before softmax or sigmoid; shapes as in the module's description.
        target: Integer labels.
        task: The meaning of the channels.
        ignore_index: Label of pixels that do not count.
        class_weights: Nonnegative weights.

    Raises:
        ValueError: Shapes and task do not agree.

    Source: Brier 1950, Verification of Forecasts Expressed in Terms of Probability.

    >>> mean_squared_error(torch.zeros(1, 4, 1, 1), torch.ones(1, 1, 1, dtype=torch.long))  # (3/4)^2 and 3 (1/4)^2
    tensor(0.1875)
    """
    return _mean_squared_error(Scores(logits, target, task, ignore_index), class_weights)


def _mean_squared_error(scores: "Scores", class_weights: Tensor | None) -> Tensor:
    weights = scores.label_weights(class_weights)
    if scores.task == "multiclass":
        members, _ = scores.members()
        errors = (scores.log_p.exp() - members.to(weights)).square().mean(1)
    else:
        errors = torch.expm1(scores.log_p_label).square()  # 1 - p of the label
    return _ratio((weights * errors).sum(), weights.sum())


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "adjusted_cross_entropy": adjusted_cross_entropy,
    "focal": focal,
    "dice": dice,
    "lovasz": lovasz,
    "mean_squared_error": mean_squared_error,
}
_LOSSES: dict[str, Callable[..., Tensor]] = {  # the same as functions of `Scores`, so that a sum prepares them once
    "cross_entropy": _cross_entropy,
    "adjusted_cross_entropy": _adjusted_cross_entropy,
    "focal": _focal,
    "dice": _dice,
    "lovasz": _lovasz,
    "mean_squared_error": _mean_squared_error,
}


def combined(
    terms: Mapping[str, float],
    *,
    task: Channels = "multiclass",
    ignore_index: int = 255,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Callable[[Tensor, Tensor], Tensor]:
    """The weighted sum of several losses, as one function of (logits, target).

    Args:
        terms: Weight of each loss by its name in ``LOSSES``.
        task: As for each loss.
        ignore_index: As for each loss.
        class_weights: As for each loss.
        label_smoothing: Goes to ``cross_entropy``.

    Raises:
        UsageError: No term, an unknown name, a weight that is not a positive number, or label smoothing without
            cross-entropy.

    >>> loss = combined({"cross_entropy": 1.0, "dice": 0.5}, task="binary")
    >>> loss(torch.zeros(1, 1, 2, 2), torch.tensor([[[1, 1], [0, 0]]]))  # log 2 + 0.5 * 0.4
    tensor(0.8931)
    """
    _check_terms(terms)
    if label_smoothing and "cross_entropy" not in terms:
        raise UsageError(f"label smoothing acts on cross_entropy, which is not among the losses {', '.join(terms)}")
    own = {"cross_entropy": {"label_smoothing": label_smoothing}}
    parts = [
        (weight, partial(_LOSSES[name], class_weights=class_weights, **own.get(name, {})))
        for name, weight in terms.items()
    ]
    return partial(_weighted_sum, parts, task, ignore_index)


def soft_cross_entropy(logits: Tensor, teacher: Tensor, *, task: Channels = "multiclass") -> Tensor:
    """Mean cross-entropy of a model against the probabilities of another one, its teacher; every pixel counts.

    Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2, with
    temperature 1.

    Args:
        logits: (B, K, H, W), for binary (B, 1, H, W).
        teacher: The teacher's logits, of the same shape; no gradient goes there.
        task: multiclass (a softmax over K) or binary and multilabel (a sigmoid each).

    >>> soft_cross_entropy(torch.zeros(1, 2, 1, 1), torch.tensor([9.0, -9.0]).view(1, 2, 1, 1))  # log 2
    tensor(0.6931)
    """
    logits, teacher = logits.float(), teacher.detach().float()
    if task == "multiclass":
        return F.cross_entropy(logits, teacher.softmax(1))
    return F.binary_cross_entropy_with_logits(logits, teacher.sigmoid())


def parse_terms(text: str, known: Collection[str] = LOSSES) -> dict[str, float]:
    """Weights by loss name from the form that the command line takes; ``known`` are the names.

    Raises:
        UsageError: ``text`` does not have this form or names an unknown loss.

    >>> parse_terms("cross_entropy + 0.5 dice")
    {'cross_entropy': 1.0, 'dice': 0.5}
    """
    terms: dict[str, float] = {}
    for term in text.split("+"):
        *factor, name = term.split() or [""]
        try:
            (weight,) = map(float, factor or ["1"])
        except ValueError:
            raise UsageError(
                f"loss term {term.strip()!r} is not '[weight] name', as in 'cross_entropy + 0.5 dice'"
            ) from None
        if name in terms:
            raise UsageError(f"loss {name} stands twice in {text!r}; give one weight")
        terms[name] = weight
    _check_terms(terms, known)
    return terms


def _check_terms(terms: Mapping[str, float], known: Collection[str] = LOSSES) -> None:
    if not terms:
        raise UsageError(f"no loss given; choose from {', '.join(known)}")
    for name, weight in terms.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
            raise UsageError(f"unknown loss {name!r}; {hint}")
        if not (weight > 0 and math.isfinite(weight)):
            raise UsageError(f"the weight of loss {name} is {weight}; give a number > 0")


def _weighted_sum(
    parts: Sequence[tuple[float, Callable[..., Tensor]]],
    task: Channels,
    ignore_index: int,
    logits: Tensor,
    target: Tensor,
) -> Tensor:
    scores = Scores(logits, target, task, ignore_index)
    return torch.stack([weight * loss(scores) for weight, loss in parts]).sum()


class Scores:
    """Logits beside their labels, with what several losses need of both.

    The full-resolution maps of a training step take longer to read than to compute with, so each is made once.

    Attributes:
        task: The meaning of the channels.
        logits: As given, in at least float32, and 0 where ignored.
        labels: int64, 0 where ignored.
        valid: Which labels count, as 0 and 1 in the logits' type; of the labels' shape.
        labels_known: Number of labels that can be weighed: the classes, for binary 2.
    """

    def __init__(self, logits: Tensor, target: Tensor, task: Channels, ignore_index: int):
        _check_shapes(logits, target, task)
        logits, target = logits.flatten(2, -2), target.flatten(2 if task == "multilabel" else 1, -2)  # slices one below
        wide = torch.float32 if logits.dtype in (torch.float16, torch.bfloat16) else logits.dtype
        # softmax and its gradient are 3 times faster than on channels-last logits
        logits = logits.to(wide, memory_format=torch.contiguous_format)
        valid = target != ignore_index
        self.task = task
        self.logits = torch.where(valid if task == "multilabel" else valid.unsqueeze(1), logits, 0.0)
        self.labels, self.valid = target.masked_fill(~valid, 0).long(), valid.to(wide)
        self.labels_known = 2 if task == "binary" else logits.shape[1]

    def shifted(self, shift: Tensor) -> "Scores":
        """The same with ``shift`` (K,) added to the logits."""
        other = copy.copy(self)
        for name in ("log_p", "log_p_label"):
            other.__dict__.pop(name, None)
        other.logits = self.logits + shift.view(-1, 1, 1)
        return other

    @cached_property
    def log_p(self) -> Tensor:
        """Log-probability of labels, (B, C, ...): of the classes, or of 0 and 1 (sigmoid(z) = softmax(0, z)[1])."""
        if self.task == "multiclass":
            return self.logits.log_softmax(1)
        z = self.logits.squeeze(1) if self.task == "binary" else self.logits
        return torch.stack([torch.zeros_like(z), z], 1).log_softmax(1)

    @cached_property
    def log_p_label(self) -> Tensor:
        """Log-probability of the true label, shaped as ``labels``."""
        return self.log_p.gather(1, self.labels.unsqueeze(1)).squeeze(1)

    def overlap_and_total(self) -> tuple[Tensor, Tensor]:
        """Sums over the pixels that count, (K,) each: of p at the members of a class, and of p and members together."""
        p = self.log_p.exp()
        if self.task == "multilabel":
            pixels, members = (0, 2, 3), self.labels * self.valid
            return (p[:, 1] * members).sum(pixels), (p[:, 1] * self.valid + members).sum(pixels)
        with torch.autocast(p.device.type, enabled=False):
            predicted = (p.flatten(2) @ self.valid.flatten(1).unsqueeze(2)).sum((0, 2))
        hits = torch.stack([self.log_p_label.exp() * self.valid, self.valid], -1).flatten(0, -2).double()
        overlap, members = hits.new_zeros(p.shape[1], 2).index_add(0, self.labels.flatten(), hits).to(p.dtype).T
        first = int(self.task == "binary")  # the background of binary is no class
        return overlap[first:], (predicted + members)[first:]

    def members(self) -> tuple[Tensor, Tensor]:
        """Which pixels belong to each class and which count, both bool and to be broadcast with (B, K, H, W)."""
        valid = self.valid.bool()
        if self.task == "multilabel":
            return (self.labels == 1) & valid, valid
        classes = torch.arange(self.logits.shape[1], device=valid.device) + (self.task == "binary")
        return (self.labels.unsqueeze(1) == classes.view(-1, 1, 1)) & valid.unsqueeze(1), valid.unsqueeze(1)

    def label_weights(self, class_weights: Tensor | None) -> Tensor:
        """The weight of each label, 0 where ignored; shaped as ``labels``."""
        if class_weights is None:
            return self.valid
        _check_weights(class_weights, self.labels_known)
        class_weights = class_weights.to(self.logits)
        return self.valid * (class_weights.view(-1, 1, 1) if self.task == "multilabel" else class_weights[self.labels])


def _check_shapes(logits: Tensor, target: Tensor, task: Channels) -> None:
    if task not in ("binary", "multiclass", "multilabel"):
        raise ValueError(f"task is {task!r}; choose binary, multiclass or multilabel")
    if logits.ndim not in (4, 5):
        raise ValueError(f"logits have shape {tuple(logits.shape)}; give (batch, channels, rows, columns)")
    channels = logits.shape[1]
    if task == "multiclass" and channels < 2:
        raise ValueError(
            "logits have 1 channel, but multiclass needs one for each of 2 or more classes; use task='binary'"
        )
    if task == "binary" and channels != 1:
        raise ValueError(f"logits have {channels} channels, but binary needs 1; use task='multiclass' or 'multilabel'")
    wanted = logits.shape if task == "multilabel" else logits[:, 0].shape
    if target.shape != wanted:
        raise ValueError(f"target has shape {tuple(target.shape)}; logits and task {task} want {tuple(wanted)}")
    if target.is_floating_point():
        raise ValueError(f"target holds {target.dtype}; give integer labels")


def _mean_weights(class_weights: Tensor | None, losses: Tensor, task: Channels) -> Tensor:
    """The weight of each class's loss in the mean over classes, (K,)."""
    if class_weights is not None:
        _check_weights(class_weights, 2 if task == "binary" else len(losses))
    return torch.ones_like(losses) if class_weights is None or task == "binary" else class_weights.to(losses)


def _check_weights(class_weights: Tensor, classes: int) -> None:
    if class_weights.shape != (classes,):
        raise ValueError(
            f"class_weights have shape {tuple(class_weights.shape)}; give one weight for each of {classes}"
        )


@torch.no_grad()
def _jaccard_slope(errors: Tensor, members: Tensor) -> Tensor:
    """What each pixel's error adds to the Jaccard loss per unit, (N,): the Lovasz extension is linear in this order.

    With errors in falling order, step i turns pixel i into a mistake. A missed member shrinks the intersection I by 1,
    so 1 - I/U grows by 1/U; a false one widens the union U by 1, so that it grows by I/(U - 1) - I/U. Written out, no
    difference of nearly equal numbers is left. Pixels of error 0 come last and get a slope that is of no account.
    """
    order = errors.argsort(descending=True)
    members = members[order]
    missed = members.cumsum(0)
    total = missed[-1:]
    intersection = (total - missed).to(errors.dtype)
    union = (total + (~members).cumsum(0)).to(errors.dtype)
    first_of_none = union == 1  # a member, or the first false pixel of an absent class, which takes IoU from 1 to 0
    slope = torch.where(members | first_of_none, 1 / union, intersection / (union * (union - 1)))
    return torch.empty_like(slope).scatter_(0, order, slope)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and 0 for 0 / 0: nothing to learn from costs nothing."""
    return numerator / denominator.clamp_min(torch.finfo(denominator.dtype).tiny)
