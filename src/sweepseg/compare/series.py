"""The runs of a comparison, one after the other: what has a row is skipped, what was stopped is taken up."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from ..errors import Interrupted, OutputError, SweepsegError, UsageError, printable
from ..layers.blocks import count_parameters
from ..tasks import TASKS, task_for
from ..tasks.evaluation import evaluate
from ..training.checkpoint import saved_states
from ..training.fit import Progress, train
from ..training.prepare import open_data
from ..training.settings import FREE, Settings
from . import BUILDERS
from .cost import measure
from .peers import PEERS
from .results import Key, Row, read, write

EACH = {"data", "model", "seed"}  # settings that a series goes through


@dataclass(frozen=True)
class Run:
    """One training of a series.

    Args:
        settings: The training; its output is the folder of the series.
        split: What to measure on.
    """

    settings: Settings
    split: str = "test"

    @property
    def data(self) -> str:
        """Name of the data set: that of its folder or of its YAML file."""
        path = Path(self.settings.data)
        return path.stem if path.suffix in (".yaml", ".yml") else path.resolve().name

    @property
    def key(self) -> Key:
        """That of its row."""
        settings = self.settings
        split = self.split if settings.hold_out is None else f"{self.split} {settings.hold_out}"
        return self.data, split, settings.model, settings.seed, digest(settings)

    @property
    def folder(self) -> Path:
        """Where it is trained."""
        return Path(self.settings.output, "-".join(map(str, self.key)).replace(" ", "-"))


def digest(settings: Settings) -> str:
    """Twelve letters that stand for the settings of a series; a setting that is added later leaves them as they are."""
    changed = {
        field.name: value
        for field in fields(Settings)
        if field.name not in FREE | EACH and (value := settings.as_dict()[field.name]) != field.default
    }
    return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:12]


def missing(runs: Sequence[Run], results: Path) -> list[Run]:
    """The runs that have no row in a file of results, looked through for what would stop them later.

    Raises:
        UsageError: A run is there twice, an unknown model, a data set that cannot be opened or has no pictures to
            measure on, no crop, a package that is not installed, or a file that does not hold results.
    """
    if len({run.key for run in runs}) < len(runs):
        raise UsageError("name each data set, model and seed once; data sets of one name cannot be told apart")
    done = {row.key for row in read(results)}
    left = [run for run in runs if run.key not in done]
    for model in dict.fromkeys(run.settings.model for run in left):
        if model not in BUILDERS:
            raise UsageError(f"model is {printable(model)}; choose from {', '.join(BUILDERS)}")
        if model in PEERS:
            BUILDERS[model](2)  # says which package is missing
    for run in {run.data: run for run in left}.values():
        if run.settings.crop is None:
            raise UsageError("crop is missing; give --crop [HEIGHT,WIDTH], at which the cost of a picture is measured")
        dataset = open_data(run.settings)
        if "mean_iou" not in TASKS[dataset.task].scores:
            raise UsageError(f"{run.settings.data} has no masks; compare is for segmentation")
        if not any(sample.mask for sample in dataset.splits.get(run.split, ())):
            has = ", ".join(dataset.splits)
            raise UsageError(f"{run.settings.data} has no pictures with masks in {run.split}; it has {has}")
    return left


def go_through(
    runs: Sequence[Run],
    results: Path,
    *,
    listen: Callable[[Run, Progress], None] = lambda run, progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> int:
    """Do the runs that have no row yet and add their rows to the file of results.

    A run that fails is named and left out; it has no row, so the next call tries it again.

    Args:
        runs: The series.
        results: CSV file of `results.Row`; made if missing.
        listen: Called after every optimizer step.
        say: Called with lines for the user: what is skipped, notices and warnings.

    Returns:
        How many runs failed.

    Raises:
        UsageError: See `missing`; nothing was started.
        Interrupted: SIGINT or SIGTERM came; the same call goes on from there.
        OutputError: The file of results or the folder of a run cannot be written.
    """
    left = missing(runs, results)
    write(results, read(results))  # fails now and not after minutes
    if len(left) < len(runs):
        say(f"{len(runs) - len(left)} of {len(runs)} runs are in {printable(results)} already")
    failed = 0
    for run in left:
        try:
            row = _do(run, listen, say)
        except Interrupted as error:
            advice = f"{run.folder.name} was interrupted; the same command goes on from there"
            raise Interrupted(error.exit_code - 128, advice) from None
        except OutputError:
            raise
        except SweepsegError as error:
            say(f"{run.folder.name} failed: {error}")
            failed += 1
        else:
            write(results, [*read(results), row])  # read again: another process may have added to it
            shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    return failed


def _do(run: Run, listen: Callable[[Run, Progress], None], say: Callable[[str], None]) -> Row:
    """Train, from where an earlier attempt stopped if there was one, and measure."""
    ticks: list[float] = []

    def tick(progress: Progress) -> None:
        ticks.append(time.process_time())
        listen(run, progress)

    resume = bool(saved_states(run.folder / "checkpoints"))
    settings = replace(run.settings, output=str(run.folder), resume=resume)
    trained = train(settings, listen=tick, say=say, builders=BUILDERS)
    config = trained.model.config
    task = task_for(config)
    scores = evaluate(trained.model, open_data(run.settings), run.split, task, in_channels=len(config.mean))
    assert settings.crop is not None  # `missing` saw to it
    cost = measure(config.builder, config.arguments, settings.crop)
    steps = [after - before for before, after in pairwise(ticks)]
    ious = zip(config.classes, scores["iou"].reshape(-1).tolist(), strict=True)
    data, split, model, seed, digest = run.key
    return Row(
        data=data,
        split=split,
        model=model,
        seed=seed,
        settings=digest,
        steps=trained.steps,
        crop="x".join(map(str, settings.crop)),
        parameters=count_parameters(trained.model),
        multiply_adds=cost.multiply_adds,
        train_seconds=round(median(steps) * trained.steps, 1) if steps else math.nan,
        seconds=round(cost.seconds, 5),
        peak_mb=round(cost.peak_mb, 1),
        mean_iou=round(scores["mean_iou"].item(), 5),
        class_iou=json.dumps({name: None if math.isnan(iou) else round(iou, 5) for name, iou in ious}),
        torch=str(torch.__version__),
    )
