"""The training loop: read, step, average, validate, save.

Everything random is a function of the seed and a counter, everything else is in the saved state, and one step follows
another in one plain loop; so a run that was interrupted anywhere ends with the same bits as one that was not.
"""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric import Fabric
from lightning.fabric.utilities.rank_zero import rank_zero_module
from torch import Tensor, nn

from ..data import Sample
from ..errors import Interrupted, SweepsegError, UsageError
from ..io.files import atomic_write, only_run, remove_stale_temporaries
from ..losses import soft_cross_entropy
from ..models import MODELS
from ..models.folder import build, save_model
from ..models.segmenter import Segmenter
from ..models.video import detached
from ..tasks.checks import check_dimensions
from ..tasks.evaluation import evaluate
from .average import update_average
from .checkpoint import saved_states
from .gradient_watch import GradientWatch
from .interruption import catching_signals
from .mean_teacher import disagreement, ramp_up
from .optimizer import make_optimizer, penalty
from .pictures import Loader
from .prepare import Plan, prepare
from .randomness import STEP, UNLABELLED_MIXING, WEIGHTS, Batches, generator, seed_torch
from .records import Records
from .run import Run, last_good
from .schedule import learning_rate
from .settings import Settings

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
ROWS = 200  # of metrics.csv in a whole run, beside those of the validations


@dataclass(frozen=True)
class Progress:
    """What the loop tells a listener after each optimizer step.

    Attributes:
        step: Optimizer steps done.
        steps: Optimizer steps of the whole run.
        loss: Loss of this step.
        scores: Scores of the last validation by name, those of `Task.scores`; none before the first.
        headline: The first of them in words, such as "mIoU 83.1".
        validated: Whether the scores are those of this step.
    """

    step: int
    steps: int
    loss: float
    scores: dict[str, float]
    headline: str
    validated: bool

    @property
    def mean_iou(self) -> float:
        """Mean IoU at the last validation in [0, 1]; NaN before the first, and where there is none."""
        return self.scores.get("mean_iou", math.nan)


@dataclass(frozen=True)
class Trained:
    """The outcome of a run.

    Attributes:
        model: The model as saved, in evaluation mode.
        steps: Optimizer steps done.
        history: The rows of metrics.csv.
        seconds: Time spent in this process.
        headline: The first score of the last validation in words, such as "mIoU 83.1"; empty without one.
    """

    model: Segmenter
    steps: int
    history: list[dict]
    seconds: float
    headline: str


def train(
    settings: Settings,
    *,
    listen: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
    builders: Mapping[str, Callable[..., nn.Module]] = MODELS,
) -> Trained:
    """Train a model and write its folder.

    Args:
        settings: The whole run.
        listen: Called after every optimizer step.
        say: Called with lines for the user: notices and warnings.
        progress: Hands the samples on while they are checked before training and may draw a bar.
        builders: What ``settings.model`` chooses from; `load` knows only those of `MODELS`.

    Returns:
        The trained model and its history. ``settings.output`` then is a model folder with `settings.yaml`,
        `metrics.csv` and `checkpoints/` beside the weights.

    Raises:
        UsageError: Settings or data set cannot be used; the message lists every problem of the data set.
        InputError: A picture became unreadable during the run.
        ModelFileError: The checkpoint to resume from is damaged or of another kind.
        Interrupted: SIGINT or SIGTERM came; the state was saved.
        SweepsegError: The loss, a gradient or a weight became NaN or infinite, or a worker was killed or hangs.
    """
    started = time.monotonic()
    output = Path(settings.output)
    checkpoints = output / "checkpoints"
    if saved_states(checkpoints) and not settings.resume:
        raise UsageError(f"{output} holds an earlier run; continue it with --resume or name another --output")
    fabric = _fabric(settings)
    plan = prepare(settings, say, progress, builders)
    criterion = _criterion(plan, settings, fabric)

    seed_torch(settings.seed, WEIGHTS)
    model = build(plan.config, builders)
    check_dimensions(model, plan.pictures.dataset)
    average = copy.deepcopy(model).eval().to(fabric.device)
    forward, optimizer = fabric.setup(model, make_optimizer(model, settings))
    forward.mark_forward_method(model.run)
    run = Run(model, average, optimizer, watched=next(iter(plan.task.scores)))
    if settings.resume:
        run.resume(checkpoints, settings, plan.fingerprint, say)

    watch = GradientWatch(say)
    parts = settings.accumulate
    batches = Batches(
        len(plan.pictures),
        settings.batch_size,
        seed=settings.seed,
        start=run.step * parts,
        stop=plan.steps * parts,
        unlabelled=len(plan.pictures.unlabelled),
    )
    loader = Loader(plan.pictures, batches, plan.task.batch, settings.workers, settings.cutmix)
    with (
        only_run(output),
        catching_signals() as interruption,
        Records(output, step=run.step, scores=plan.task.scores, tensorboard=settings.tensorboard) as records,
        loader.naming_lost_workers(),
    ):
        remove_stale_temporaries(output)
        atomic_write(output / "settings.yaml", yaml.safe_dump(settings.as_dict(), sort_keys=False).encode())
        while run.step < plan.steps and not (settings.early_stop and run.misses >= settings.early_stop):
            loss, norm = _step(run, settings, plan, loader, fabric, forward, criterion)
            watch(norm, run.step)
            validating = run.step % plan.validate_every == 0 or run.step == plan.steps
            if validating or run.step % max(1, plan.steps // ROWS) == 0:
                _log(run, settings, plan, validating=validating)
                records.write(run.history)
            scores, scored = run.scores, validating and bool(run.scores)
            listen(Progress(run.step, plan.steps, loss, scores, plan.task.headline(scores), scored))
            signum = interruption.signum  # asked once: one that comes while the state is saved stops the next step
            if validating or run.step % settings.save_every == 0 or signum is not None:
                run.save(checkpoints, settings, plan.fingerprint)
            if signum is not None:
                raise Interrupted(signum, f"stopped after step {run.step} of {plan.steps}; continue with --resume")

    final = run.average
    if run.best["weights"] is not None:
        final.load_state_dict(run.best["weights"])
        say(f"kept the weights of step {run.best['step']}, {plan.task.scores[run.watched]} {run.best['score']:.3f}")
    final = final.cpu()
    save_model(output, final)
    headline = plan.task.headline(run.scores)
    return Trained(final, run.step, run.history, time.monotonic() - started, headline)


def _fabric(settings: Settings) -> Fabric:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is cuda but torch finds no GPU here; give cpu or auto")
    rank_zero_module.log.setLevel(logging.WARNING)  # it announces the precision that was asked for
    return Fabric(accelerator=settings.device, devices=1, precision=PRECISIONS[settings.precision])


def _criterion(plan: Plan, settings: Settings, fabric: Fabric) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss as a function of image, logits and target."""
    weights = None if plan.class_weights is None else plan.class_weights.to(fabric.device)
    of_labels = plan.task.loss(plan.terms, weights, settings.label_smoothing)
    if plan.teacher is None:
        return lambda image, logits, target: of_labels(logits, target)
    teacher, share = plan.teacher.to(fabric.device), settings.teacher_weight

    def criterion(image: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad(), fabric.autocast():
            taught = teacher(image)
        soft = soft_cross_entropy(logits, taught, task=plan.config.task)  # type: ignore[arg-type] # one with masks
        return (1 - share) * of_labels(logits, target) + share * soft

    return criterion


def _step(
    run: Run,
    settings: Settings,
    plan: Plan,
    loader: Loader,
    fabric: Fabric,
    forward: nn.Module,
    criterion: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> tuple[float, float]:
    """Do one optimizer step and return its loss and the norm of its gradient before clipping."""
    rate = learning_rate(
        run.step, plan.steps, peak=settings.learning_rate, schedule=settings.schedule, warmup=settings.warmup
    )
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.model.train()
    loss = 0.0
    first = loader.position
    for part in range(first, first + settings.accumulate):
        image, target, *more = map(fabric.to_device, next(loader))
        told, unlabelled = ([], more) if settings.consistency else (more, [])
        seed_torch(settings.seed, STEP, part)
        extra = penalty(run.model, l1=settings.l1, l2=settings.l2)
        values = _losses(forward, criterion, image, target, settings.chunk_length, plan.task.ignore_index, told)
        if unlabelled:
            views, seen = unlabelled
            values = chain(values, _unlabelled_loss(run, settings, plan, fabric, forward, views, seen, part))
        for value in values:
            value, extra = (value + extra) / settings.accumulate, 0.0
            fabric.backward(value)
            loss += value.item()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip or math.inf).item()
    if not (math.isfinite(loss) and math.isfinite(norm)):
        checkpoints = Path(settings.output) / "checkpoints"
        raise SweepsegError(
            f"loss {loss} and gradient norm {norm} in step {run.step + 1} on {loader.names(first, loader.position)}; "
            f"{last_good(checkpoints)}: lower the learning rate, clip more, or use float32"
        )
    if settings.clip_value:
        nn.utils.clip_grad_value_(run.model.parameters(), settings.clip_value)
    run.optimizer.step()
    run.optimizer.zero_grad()
    update_average(run.average, run.model, decay=settings.ema, step=run.step)
    run.step, run.loss_sum, run.loss_count = run.step + 1, run.loss_sum + loss, run.loss_count + 1
    return loss, norm


def _losses(
    forward: Any,
    criterion: Callable[[Tensor, Tensor, Tensor], Tensor],
    image: Tensor,
    target: Tensor,
    chunk_length: int | None,
    ignore_index: int,
    told: Sequence[Tensor] = (),
) -> Iterator[Tensor]:
    """The loss of pictures or volumes; of clips (B, T, C, h, w) that of each chunk, by its share of annotated pixels.

    Each is to be propagated back before the next is asked for: truncated back-propagation through time, Williams &
    Peng 1990, with a truncation at the end of each chunk.
    """
    if image.dim() == 4 or forward.volumes:
        yield criterion(image, forward(image, *told), target)
        return
    length = chunk_length or image.shape[1]
    annotated = (target != ignore_index).sum().clamp_min(1)
    state = None
    for frames, labels in zip(image.split(length, dim=1), target.split(length, dim=1), strict=True):
        logits, state = forward.run(frames, state)
        share = (labels != ignore_index).sum() / annotated
        yield share * criterion(frames.flatten(0, 1), logits.flatten(0, 1), labels.flatten(0, 1))
        state = detached(state)


def _unlabelled_loss(
    run: Run,
    settings: Settings,
    plan: Plan,
    fabric: Fabric,
    forward: nn.Module,
    views: Tensor,
    seen: Tensor,
    part: int,
) -> Iterator[Tensor]:
    """The weighted loss of batch ``part`` of pictures without labels, once what comes before is propagated back."""
    with torch.no_grad(), fabric.autocast():
        taught = run.average(views)
    draw = generator(settings.seed, UNLABELLED_MIXING, part)
    loss = disagreement(forward, taught, views, seen, plan.task, draw, confidence=settings.confidence)
    yield settings.consistency * ramp_up(run.step, plan.steps) * loss


def _log(run: Run, settings: Settings, plan: Plan, *, validating: bool) -> None:
    """Add a row to the history, after measuring the average on the "val" pictures where there are any."""
    row: dict[str, Any] = {
        "step": run.step,
        "epoch": round(run.step / plan.steps_per_epoch, 3),
        "learning_rate": run.optimizer.param_groups[0]["lr"],
        "loss": run.loss_sum / run.loss_count,
    }
    run.loss_sum, run.loss_count = 0.0, 0
    run.history.append(row)
    dataset = plan.pictures.dataset
    if validating and dataset.splits.get("val"):
        run.require_finite(Path(settings.output) / "checkpoints")
        scores = evaluate(run.average, dataset, "val", plan.task, in_channels=plan.pictures.in_channels)
        row |= {f"val_{name}": scores[name].item() for name in plan.task.scores}
        if settings.early_stop:
            run.remember_best()
