"""The training loop: read, step, average, validate, save.

Everything random is a function of the seed and a counter, everything else is in the saved state, and one step follows
another in one plain loop; so a run that was interrupted anywhere ends with the same bits as one that was not.
"""

import copy
import csv
import io
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric import Fabric
from torch import Tensor, nn

from ..data import nuclei_sample, open_dataset
from ..data.check import check
from ..data.dataset import SegmentationSet
from ..data.pairs import read_pair
from ..data.statistics import channel_stats, label_counts
from ..errors import InputError, Interrupted, ModelFileError, SweepsegError, UsageError
from ..io.files import atomic_write
from ..losses import parse_terms
from ..models.folder import build, save_model
from ..models.segmenter import ModelConfig, Segmenter
from ..tasks import TASKS, Task, class_weights
from ..tasks.evaluation import evaluate
from .augment import Augmentation
from .average import update_average
from .checkpoint import load_state, newest_state, save_state
from .interruption import Interruption, catching_signals
from .pictures import Pictures, default_crop, load_batches
from .randomness import STEP, WEIGHTS, Batches, seed_torch
from .schedule import learning_rate
from .settings import Settings

PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
LOGGED = 200  # rows of metrics.csv between the validations of a whole run


@dataclass(frozen=True)
class Progress:
    """What the loop tells a listener after each optimizer step.

    Attributes:
        step: Optimizer steps done.
        steps: Optimizer steps of the whole run.
        loss: Loss of this step.
        mean_iou: Mean IoU at the last validation in [0, 1], NaN before the first.
    """

    step: int
    steps: int
    loss: float
    mean_iou: float


@dataclass(frozen=True)
class Trained:
    """The outcome of a run.

    Attributes:
        model: The model as saved, in evaluation mode.
        steps: Optimizer steps done.
        history: The rows of metrics.csv.
        seconds: Time spent in this process.
    """

    model: Segmenter
    steps: int
    history: list[dict]
    seconds: float


@dataclass
class _Run:
    """All that changes during a run; what `state` returns is all that has to be saved."""

    model: Segmenter
    average: Segmenter
    optimizer: torch.optim.Optimizer
    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    history: list[dict] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=lambda: {"mean_iou": -1.0, "step": 0, "weights": None})
    misses: int = 0

    def state(self) -> dict:
        plain = ("step", "loss_sum", "loss_count", "history", "best", "misses")
        modules = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")}
        return modules | {name: getattr(self, name) for name in plain}

    def restore(self, state: dict) -> None:
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        for name in ("step", "loss_sum", "loss_count", "history", "best", "misses"):
            setattr(self, name, state[name])


def train(
    settings: Settings,
    *,
    listen: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Trained:
    """Train a model and write its folder.

    Args:
        settings: The whole run.
        listen: Called after every optimizer step.
        say: Called with lines for the user: notices and warnings.

    Returns:
        The trained model and its history. ``settings.output`` then is a model folder with `settings.yaml`,
        `metrics.csv` and `checkpoints/` beside the weights.

    Raises:
        UsageError: Settings or data set cannot be used; the message lists every problem of the data set.
        InputError: A picture became unreadable during the run.
        Interrupted: SIGINT or SIGTERM came; the state was saved.
        SweepsegError: The loss or a gradient became NaN or infinite.
    """
    started = time.monotonic()
    output = Path(settings.output)
    dataset = _open(settings)
    for problem in _check(dataset):
        say(problem)
    fabric = Fabric(accelerator=settings.device, devices=1, precision=PRECISIONS[settings.precision])
    task = TASKS[dataset.task](len(dataset.classes))
    config = _configure(settings, dataset, task.num_logits)
    seed_torch(settings.seed, WEIGHTS)
    model = build(config)
    weights = None
    if settings.class_weights != "none":
        weights = class_weights(torch.from_numpy(label_counts(dataset)), settings.class_weights).to(fabric.device)
    criterion = task.loss(parse_terms(settings.loss), weights, settings.label_smoothing)

    pictures = _pictures(settings, dataset, model)
    per_step = settings.batch_size * settings.accumulate
    steps = settings.steps or math.ceil(settings.epochs * len(pictures.samples) / per_step)
    validate_every = max(1, round(settings.validate_every * len(pictures.samples) / per_step))

    run = _Run(model, copy.deepcopy(model).eval(), _optimizer(settings, model))
    if settings.resume:
        _resume(run, settings, output, say)
    elif (output / "checkpoints").exists():
        raise UsageError(f"{output} holds an earlier run; continue it with --resume or name another --output")
    forward, run.optimizer = fabric.setup(run.model, run.optimizer)
    run.average.to(fabric.device)
    atomic_write(output / "settings.yaml", yaml.safe_dump(settings.as_dict(), sort_keys=False).encode())

    parts = settings.accumulate
    batches = Batches(
        len(pictures.samples), settings.batch_size, seed=settings.seed, start=run.step * parts, stop=steps * parts
    )
    loader = iter(load_batches(pictures, batches, settings.workers))
    with catching_signals() as interruption:
        while run.step < steps and not _stopped_early(run, settings):
            for group in run.optimizer.param_groups:
                group["lr"] = learning_rate(
                    run.step, steps, peak=settings.learning_rate, schedule=settings.schedule, warmup=settings.warmup
                )
            loss = 0.0
            run.model.train()
            for part in range(run.step * parts, (run.step + 1) * parts):
                image, target = _next(loader, pictures, batches.members(part))
                seed_torch(settings.seed, STEP, part)
                value = criterion(forward(fabric.to_device(image)), fabric.to_device(target))
                value = (value + _penalty(run.model, settings)) / parts
                fabric.backward(value)
                loss += value.item()
            norm = nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip or math.inf)
            if not math.isfinite(loss) or not math.isfinite(norm):
                names = "; ".join(pictures.names(batches.members(run.step * parts + part)) for part in range(parts))
                raise SweepsegError(
                    f"the loss is {loss} and the gradient norm {norm.item()} at step {run.step} on {names}; the last good "
                    f"state is in {output / 'checkpoints'}: lower the learning rate, or clip more"
                )
            run.optimizer.step()
            run.optimizer.zero_grad()
            update_average(run.average, run.model, decay=settings.ema, step=run.step)
            run.step, run.loss_sum, run.loss_count = run.step + 1, run.loss_sum + loss, run.loss_count + 1
            validating = run.step % validate_every == 0 or run.step == steps
            if validating or run.step % max(1, steps // LOGGED) == 0:
                _log(run, settings, dataset, task, validating=validating, per_epoch=len(pictures.samples) / per_step)
                _write_history(output, run.history)
            listen(Progress(run.step, steps, loss, _last_iou(run.history)))
            if validating or run.step % settings.save_every == 0 or interruption.signum is not None:
                _save(run, settings, output)
            if interruption.signum is not None:
                _stop(interruption, run.step, steps)

    final = run.average
    if settings.early_stop and run.best["weights"] is not None:
        final.load_state_dict(run.best["weights"])
        say(f"kept the weights of step {run.best['step']}, mIoU {run.best['mean_iou']:.3f}")
    final = final.cpu().eval()
    save_model(output, final)
    if settings.tensorboard:
        _write_tensorboard(output, run.history)
    return Trained(final, run.step, run.history, time.monotonic() - started)


def _open(settings: Settings) -> SegmentationSet:
    dataset = nuclei_sample() if settings.data == "nuclei" else open_dataset(settings.data, task=settings.task)
    if settings.hold_out is not None:
        dataset = dataset.hold_out(settings.hold_out)
    if not dataset.splits.get("train"):
        raise UsageError(f"{settings.data} has no training pictures; put them where `sweepseg check` shows")
    return dataset


def _check(dataset: SegmentationSet) -> list[str]:
    """Refuse a data set with errors, naming all of them; return its warnings."""
    report = check(dataset)
    if report.errors:
        lines = "\n".join(f"{p.path}: {p.reason}" for p in report.errors)
        raise UsageError(f"{len(report.errors)} problems in {dataset.root}, nothing was trained\n{lines}")
    return [f"warning: {p.path}: {p.reason}" for p in report.warnings]


def _configure(settings: Settings, dataset: SegmentationSet, num_logits: int) -> ModelConfig:
    image, _ = read_pair(dataset, dataset.splits["train"][0], in_channels=3)
    mean, std = channel_stats(dataset, in_channels=len(image))
    return ModelConfig(
        builder=settings.model,
        arguments={"num_classes": num_logits, "in_channels": len(image)},
        task=dataset.task,
        classes=dataset.classes,
        palette=dataset.palette,
        mean=mean,
        std=std,
    )


def _pictures(settings: Settings, dataset: SegmentationSet, model: Segmenter) -> Pictures:
    in_channels = model.config.arguments["in_channels"]
    image, _ = read_pair(dataset, dataset.splits["train"][0], in_channels)
    augmentation = Augmentation(
        crop=settings.crop or default_crop(image.shape),
        scale=settings.scale,
        flip=settings.flip,
        flip_vertical=settings.flip_vertical,
        rotate=settings.rotate,
        colour=settings.colour,
        blur=settings.blur,
        noise=settings.noise,
        ignore_index=dataset.ignore_index,
    )
    return Pictures(dataset, in_channels, augmentation, settings.seed)


def _optimizer(settings: Settings, model: nn.Module) -> torch.optim.Optimizer:
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]  # biases and norms are not decayed
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate)


def _penalty(model: nn.Module, settings: Settings) -> Tensor | float:
    penalty: Tensor | float = 0.0
    for weight in (p for p in model.parameters() if p.dim() > 1 and (settings.l1 or settings.l2)):
        penalty = penalty + settings.l1 * weight.abs().sum() + settings.l2 * weight.square().sum()
    return penalty


def _next(loader, pictures: Pictures, members: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    try:
        batch = next(loader)
    except RuntimeError as error:  # a worker was killed or hangs
        raise SweepsegError(f"reading a batch failed at {pictures.names(members)}: {error}") from error
    if isinstance(batch, InputError):
        raise batch
    return batch


def _stopped_early(run: _Run, settings: Settings) -> bool:
    return bool(settings.early_stop) and run.misses >= settings.early_stop


def _log(run: _Run, settings: Settings, dataset: SegmentationSet, task: Task, *, validating: bool, per_epoch: float) -> None:
    row: dict[str, Any] = {
        "step": run.step,
        "epoch": round(run.step / per_epoch, 3),
        "learning_rate": run.optimizer.param_groups[0]["lr"],
        "loss": run.loss_sum / run.loss_count,
    }
    run.loss_sum, run.loss_count = 0.0, 0
    if validating and dataset.splits.get("val"):
        in_channels = run.model.config.arguments["in_channels"]
        scores = evaluate(run.average, dataset, "val", task, in_channels=in_channels)
        for name in ("mean_iou", "global_accuracy", "mean_class_accuracy"):
            row[f"val_{name}"] = scores[name].item()
        if settings.early_stop:
            _remember_best(run, row["val_mean_iou"])
    run.history.append(row)


def _remember_best(run: _Run, mean_iou: float) -> None:
    run.misses += 1
    if mean_iou > run.best["mean_iou"]:
        weights = {name: value.detach().cpu().clone() for name, value in run.average.state_dict().items()}
        run.best, run.misses = {"mean_iou": mean_iou, "step": run.step, "weights": weights}, 0


def _last_iou(history: list[dict]) -> float:
    return next((row["val_mean_iou"] for row in reversed(history) if "val_mean_iou" in row), math.nan)


def _write_history(output: Path, history: list[dict]) -> None:
    columns = ["step", "epoch", "learning_rate", "loss", "val_mean_iou", "val_global_accuracy", "val_mean_class_accuracy"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(history)
    atomic_write(output / "metrics.csv", text.getvalue().encode())


def _write_tensorboard(output: Path, history: list[dict]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(output / "tensorboard")) as writer:
        for row in history:
            for name in row.keys() - {"step", "epoch"}:
                writer.add_scalar(name, row[name], row["step"])


def _environment() -> dict:
    return {"torch": str(torch.__version__), "threads": torch.get_num_threads(), "machine": platform.machine()}


def _save(run: _Run, settings: Settings, output: Path) -> None:
    state = run.state() | {"settings": settings.as_dict(), "environment": _environment()}
    save_state(output / "checkpoints", state, run.step)


def _resume(run: _Run, settings: Settings, output: Path, say: Callable[[str], None]) -> None:
    path = newest_state(output / "checkpoints")
    state = load_state(path)
    differing = settings.differing(state.get("settings", {}))
    if differing:
        raise UsageError(f"{path} was trained with another {', '.join(differing)}; resume with the settings of that run")
    for name, value in _environment().items():
        if state["environment"].get(name) != value:
            say(f"warning: {name} was {state['environment'].get(name)} and is {value}; the bits will differ")
    try:
        run.restore(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelFileError(f"{path}: does not fit model {settings.model}: {error}") from None
    say(f"continuing at step {run.step}")


def _stop(interruption: Interruption, step: int, steps: int) -> None:
    assert interruption.signum is not None
    raise Interrupted(interruption.signum, f"stopped after step {step} of {steps}; continue with --resume")
