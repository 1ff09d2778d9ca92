"""From settings to all that stays the same during a run: checked pictures, the loss, the numbers of steps."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ..data import DataSet, Report, Sample, channel_stats, check, open_by_name
from ..data.pairs import read_input
from ..data.words import FIRST
from ..errors import ModelFileError, UsageError, printable
from ..losses import parse_terms
from ..models import FAMILIES, MODELS
from ..models.folder import build_network, load
from ..models.segmenter import ModelConfig, Segmenter
from ..tasks import TASKS, Task, class_weights
from ..tasks.checks import check_dimensions
from .augment import Augmentation
from .augment_volume import WITHOUT, VolumeAugmentation
from .pictures import Clips, Pictures, default_crop
from .randomness import LABELS, generator
from .settings import Settings

# of a run that is not told: so many passes or, where that is more, so many steps; a validation after so many epochs or,
# where that is more, so large a part of the run
EPOCHS, STEPS = 50, 1000
BETWEEN, VALIDATIONS = 5, 10


@dataclass(frozen=True)
class Plan:
    """What a run works on.

    Attributes:
        pictures: The training pictures or clips.
        task: The task of the data set.
        config: The model to train.
        terms: Weight of each loss.
        teacher: The model whose probabilities are learned as well, or None.
        class_weights: Weights of the classes in the loss, or None.
        steps: Optimizer steps of the whole run.
        steps_per_epoch: Optimizer steps of one pass over the pictures, a fraction where the last batch runs over.
        validate_every: Optimizer steps between validations.
        fingerprint: Digest of the names of the training pictures; a resumed run needs the same.
    """

    pictures: Pictures
    task: Task
    config: ModelConfig
    terms: dict[str, float]
    teacher: Segmenter | None
    class_weights: Tensor | None
    steps: int
    steps_per_epoch: float
    validate_every: int
    fingerprint: str


def prepare(
    settings: Settings,
    say: Callable[[str], None],
    progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
    builders: Mapping[str, Callable[..., nn.Module]] = MODELS,
) -> Plan:
    """Check the data set and plan the run; ``say`` takes the warnings, ``progress`` hands the samples on.

    The model is one of ``builders``.

    Raises:
        UsageError: Settings or data set cannot be used; the message lists every problem of the data set.
    """
    if settings.model not in builders:
        raise UsageError(f"model is {printable(settings.model)}; choose from {', '.join(builders)}")
    check_arguments(settings, builders)
    dataset = open_data(settings)
    task = TASKS[dataset.task](len(dataset.classes))
    terms = parse_terms(settings.loss or task.default_loss, task.losses)
    _check_task(settings, task, dataset)
    if settings.consistency:
        dataset = _with_unlabelled(settings, dataset)
    report = check(dataset, progress=progress)
    if report.errors:
        lines = "\n".join(f"{printable(p.path)}: {printable(p.reason)}" for p in report.errors)
        raise UsageError(f"{len(report.errors)} problems in {printable(dataset.root)}, nothing was trained\n{lines}")
    for problem in report.warnings:
        say(f"warning: {printable(problem.path)}: {printable(problem.reason)}")

    task = task.fitted(dataset, progress)
    weights = None
    if settings.class_weights != "none":
        weights = class_weights(torch.from_numpy(report.splits["train"].class_pixels), settings.class_weights)
    in_channels = _in_channels(report)
    mean, std = channel_stats(dataset, in_channels, progress=progress)
    config = ModelConfig(
        builder=settings.model,
        arguments=_given(task, dataset, in_channels) | (settings.arguments or {}),
        task=dataset.task,
        task_arguments=task.arguments,
        classes=dataset.classes,
        palette=dataset.palette,
        mean=mean,
        std=std,
        input_range=settings.input_range,
        words=dataset.words,
    )
    pictures = _pictures(settings, dataset, task, in_channels)
    if len(pictures.samples) < len(dataset.splits["train"]):
        say(f"{len(pictures.samples)} of {len(dataset.splits['train'])} training pictures have labels")
    per_epoch = len(pictures) / (settings.batch_size * settings.accumulate)
    steps = settings.steps or math.ceil((settings.epochs or max(EPOCHS, STEPS / per_epoch)) * per_epoch)
    between = settings.validate_every or max(BETWEEN, steps / per_epoch / VALIDATIONS)
    return Plan(
        pictures=pictures,
        task=task,
        config=config,
        terms=terms,
        teacher=_teacher(settings, config, dataset),
        class_weights=weights,
        steps=steps,
        steps_per_epoch=per_epoch,
        validate_every=max(1, round(between * per_epoch)),
        fingerprint=hashlib.sha256("\0".join(sample.name for sample in dataset.splits["train"]).encode()).hexdigest(),
    )


def check_arguments(settings: Settings, builders: Mapping[str, Callable[..., nn.Module]] = MODELS) -> None:
    """Build the network with the arguments that the settings name, where that costs nothing.

    Raises:
        UsageError: The builder does not take them.
    """
    arguments = settings.arguments or {}
    for name in ("num_classes", "in_channels", "num_words"):
        if name in arguments:
            raise UsageError(f"arguments has {name}, which the data set decides; leave it out")
    if arguments:
        try:
            with torch.device("meta"):  # takes no memory and draws nothing
                build_network(settings.model, {"num_classes": 2, **arguments}, builders)
        except ModelFileError as error:
            raise UsageError(str(error)) from None


def _given(task: Task, dataset: DataSet, in_channels: int) -> dict[str, Any]:
    """The arguments of the builder that the data set decides."""
    words = {"num_words": FIRST + len(dataset.words)} if dataset.words else {}
    return {"num_classes": task.num_logits, "in_channels": in_channels} | words


def _check_task(settings: Settings, task: Task, dataset: DataSet) -> None:
    """Refuse a network for another kind of task, and settings that mean nothing for this one."""
    if dataset.volumes and not task.outlined:
        raise UsageError(
            f"{dataset.root} holds volumes, of which one label a voxel is learned, not task {task.name}; "
            "choose binary or multiclass"
        )
    wanted, images = ("volumes", "volumes") if dataset.volumes else (task.family, "images")
    for family, builders in FAMILIES.items():
        if settings.model in builders and family != wanted:
            raise UsageError(
                f"model {settings.model} is for {family}, the task is {task.name} on {images}; "
                f"choose from {', '.join(FAMILIES[wanted])}"
            )
    without = _without(task, dataset)
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if field.name in without and value != field.default:
            raise UsageError(f"{field.name} is {value}, which means nothing for {without[field.name]}; leave it out")


def _without(task: Task, dataset: DataSet) -> dict[str, str]:
    """The settings that have no meaning in this run, and what they have none for."""
    return dict.fromkeys(task.without, f"task {task.name}") | dict.fromkeys(
        WITHOUT if dataset.volumes else (), "volumes"
    )


def open_data(settings: Settings) -> DataSet:
    """The data set of a run, with its pictures held out.

    Raises:
        UsageError: It cannot be opened, or lacks the pictures that the settings need.
    """
    dataset = open_by_name(settings.data, task=settings.task, input_range=settings.input_range)
    if settings.hold_out is not None:
        dataset = dataset.hold_out(settings.hold_out)
    if not dataset.splits.get("train"):
        raise UsageError(f"{settings.data} has no training pictures; put them where `sweepseg check` shows")
    dataset = dataset.keep_labels(settings.labels, generator(settings.seed, LABELS))
    if settings.early_stop and not dataset.splits.get("val"):
        raise UsageError(f"early_stop is {settings.early_stop} but {settings.data} has no val pictures; hold some out")
    return dataset


def _with_unlabelled(settings: Settings, dataset: DataSet) -> DataSet:
    """The data set with its training pictures without labels, of which there have to be some."""
    if settings.clip_length > 1:
        raise UsageError(f"consistency is for pictures, and clip_length is {settings.clip_length}; give one of them")
    train = dataset.splits["train"]
    if all(sample.annotated for sample in train):
        raise UsageError(
            f"consistency is {settings.consistency:g} but all {len(train)} training pictures of {settings.data} have "
            "labels; add pictures without masks, or use a share of the masks by labels"
        )
    return dataset.forgive_missing_masks()


def _teacher(settings: Settings, config: ModelConfig, dataset: DataSet) -> Segmenter | None:
    if settings.teacher is None:
        return None
    teacher = load(settings.teacher)
    check_dimensions(teacher, dataset)
    for what in ("task", "classes"):
        theirs, ours = getattr(teacher.config, what), getattr(config, what)
        if theirs != ours:
            raise UsageError(f"the teacher {settings.teacher} has the {what} {theirs}, {settings.data} has {ours}")
    if len(teacher.config.mean) != len(config.mean):
        raise UsageError(
            f"the teacher {settings.teacher} takes {len(teacher.config.mean)} channels, "
            f"the pictures of {settings.data} have {len(config.mean)}"
        )
    return teacher


def _in_channels(report: Report) -> int:
    """The channels of the pictures to train and validate on; 3 where grey and RGB are mixed."""
    found = {
        channels for split in ("train", "val") if split in report.splits for channels in report.splits[split].channels
    }
    if found == {1, 3}:
        return 3
    if len(found) > 1:
        numbers = " and ".join(map(str, sorted(found)))
        raise UsageError(f"the pictures have {numbers} channels; a model takes one number of them (or grey with RGB)")
    return found.pop()


def _pictures(settings: Settings, dataset: DataSet, task: Task, in_channels: int) -> Pictures:
    image = read_input(dataset.splits["train"][0], in_channels, input_range=dataset.input_range)
    if settings.crop and len(settings.crop) != image.ndim - 1:
        wanted = "depth, height and width" if dataset.volumes else "height and width"
        raise UsageError(f"crop is {[*settings.crop]}; give {wanted}")
    chosen = {
        "crop": settings.crop or default_crop(*image.shape[1:]),
        "scale": settings.scale,
        "flip": settings.flip,
        "flip_vertical": settings.flip_vertical,
        "rotate": settings.rotate,
        "colour": settings.colour,
        "blur": settings.blur,
        "noise": settings.noise,
        "oversample_foreground": settings.oversample_foreground,
    }
    without = _without(task, dataset)
    known: dict[str, Any] = {name: value for name, value in chosen.items() if name not in without}
    if dataset.volumes:
        volumes = VolumeAugmentation(**known, ignore_index=dataset.ignore_index)
        return Pictures(dataset, in_channels, volumes, settings.seed)
    augmentation = Augmentation(**known, ignore_index=dataset.ignore_index)
    if settings.clip_length == 1:
        return Pictures(dataset, in_channels, augmentation, settings.seed, unlabelled=settings.consistency > 0)
    length, stride = settings.clip_length, settings.clip_stride
    return Clips(dataset, in_channels, augmentation, settings.seed, length=length, stride=stride)
