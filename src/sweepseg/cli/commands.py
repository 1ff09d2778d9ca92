"""The verbs of the command line: light signatures of plain types; heavy imports stand inside.

Every function returns the exit code; its docstring is the help text.
"""

import builtins
from collections.abc import Mapping
from typing import Any, Literal

from ..task_names import TaskName
from .terminal import print_columns, print_json, print_table, say


def check(
    data: str,
    task: TaskName | None = None,
    input_range: tuple[float, float] | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """List every problem of a data set before training does.

    Args:
        data: Folder of the data set, a YAML file with its `root` and `classes`, or the bundled "nuclei" or "digits".
        task: What the masks mean, for which the data set tells by default; for numbered objects instances or
            detection; for what sentences mean referring; for maps of numbers regression; without masks classification,
            sequence or generation.
        input_range: As for `sweepseg train`, such as [0, 4095].
        json: Print the problems as JSON.
        quiet: Print the problems alone.
    """
    from ..data import open_by_name
    from ..data.check import check as check_dataset
    from ..errors import printable
    from .progress import tracker

    dataset = open_by_name(data, task=task, input_range=input_range)
    report = check_dataset(dataset, progress=tracker("checking", quiet=quiet))
    if json:
        print_json([{"path": str(p.path), "reason": p.reason, "severity": p.severity} for p in report.problems])
    elif quiet:
        for problem in (*report.errors, *report.warnings):
            print(printable(f"{problem.severity}: {problem.path}: {problem.reason}"))
    else:
        print(report)
    return 2 if report.errors else 0


def val(
    data: str,
    model: str | None = None,
    split: str = "val",
    hold_out: str | None = None,
    boundary: bool = True,
    flip: bool = False,
    scales: builtins.list[float] = [1.0],  # noqa: B006 - nobody changes it
    video: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Measure a model on a split of a data set: scores of counts that are pooled over all its pictures.

    Args:
        data: Folder of the data set, a YAML file with its `root` and `classes`, or the bundled "nuclei" or "digits".
        model: Model folder; by default the nuclei model that comes with sweepseg.
        split: train, val or test.
        hold_out: Measure on the training pictures whose names start with this, or are in such a share as 1/5, as
            `train --hold-out` leaves them out.
        boundary: Measure the boundary F1 too, of pictures.
        flip: Average over the picture and its mirror image.
        scales: Average over these sizes of the picture, such as 0.75 1 1.25.
        video: Measure video by video instead: consistency over 8 frames and, of one object, J, F, recall and decay.
        json: Print the scores as JSON.
        quiet: No progress bar.
    """
    from dataclasses import replace

    from ..data import open_by_name
    from ..errors import UsageError
    from ..inference.averaging import Averaged
    from ..models.folder import bundled_model, load
    from ..tasks import task_for
    from ..tasks.checks import check_dimensions
    from ..tasks.evaluation import evaluate, evaluate_videos
    from .progress import tracker

    segmenter = load(model or bundled_model())
    config = segmenter.config
    dataset = open_by_name(data, task=config.task, input_range=config.input_range)
    dataset = dataset if hold_out is None else dataset.hold_out(hold_out)
    dataset = replace(dataset, words=config.words)  # the numbers of words are those of the model
    check_dimensions(segmenter, dataset)
    if dataset.classes != config.classes:
        raise UsageError(f"the model knows {', '.join(config.classes)}, the data set has {', '.join(dataset.classes)}")
    if not any(sample.annotated for sample in dataset.splits.get(split, ())):
        raise UsageError(f"{data} has no annotated pictures in {split}; it has {', '.join(dataset.splits)}")
    task = task_for(config)
    if video and (dataset.volumes or not task.outlined):
        what = "volumes" if dataset.volumes else task.name
        raise UsageError(f"video is not measured for {what}; leave out --video")
    progress = tracker("measuring", quiet=quiet)
    if video:
        found = evaluate_videos(segmenter, dataset, split, task, in_channels=len(config.mean), progress=progress)
        if json:
            print_json(found)
        else:
            print_table([["score", "mean over videos"], *([name, f"{100 * one:.1f}"] for name, one in found.items())])
        return 0
    views = flip or scales != [1.0]
    measured = Averaged(segmenter, flip=flip, scales=scales) if views else segmenter
    scores = evaluate(
        measured, dataset, split, task, in_channels=len(config.mean), boundary=boundary, progress=progress
    )
    if json:
        print_json({name: score.tolist() for name, score in scores.items()} | {"classes": config.classes})
        return 0
    for part in task.report(scores, config.classes):
        if isinstance(part, str):
            print(part)
        else:
            print_table(part)
    return 0


def predict(
    input: str,
    output: str = "predictions",
    model: str | None = None,
    text: str | None = None,
    overlay: bool = False,
    probs: bool = False,
    geotiff: bool = False,
    skip_existing: bool = False,
    resume: bool = False,
    memory: str = "4GB",
    tile: int | None = None,
    overlap: float = 0.25,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Segment an image, or every image of a folder; a classifier or reader of lines says what each is.

    With a model for volumes the images are NIfTI files.

    Args:
        input: Image, Zarr folder, or folder of images.
        output: Folder for the masks, `<stem>.png` each, with classes as indices, or with numbers of objects and their
            boxes in `<stem>.json`, or `<stem>.nii.gz` with the affine of the volume, or for maps of numbers
            `<stem>.tif`, or for the answers, `predictions.csv`; `report.jsonl` lists every input.
        model: Model folder; by default the nuclei model that comes with sweepseg.
        text: What to find, such as "the red dog left of the tree", for a model of task referring.
        overlay: Also write `<stem>.overlay.png`, the image with its classes painted over it.
        probs: Also write `<stem>.probs.npz`, float16 probabilities.
        geotiff: Also write `<stem>.tif`, the mask where the image lies on Earth.
        skip_existing: Leave out images whose mask is there already.
        resume: Go on within a large image where an earlier run was killed or interrupted, or found the disk full.
        memory: How much memory to use, such as 600MB; larger images are segmented in parts, with the same result.
        tile: Cut images into overlapping tiles of so many rows and columns, for models that need an image as a whole;
            where tiles meet the result is another.
        overlap: Share of a tile that the next one sees too.
        json: Print the summary as JSON.
        quiet: No progress bar and no summary; bad inputs are still named.
    """
    from ..errors import printable
    from ..inference.predict import predict as predict_files
    from ..models.folder import bundled_model, load
    from ..tasks import TASKS, Recognition
    from .progress import bar, counted
    from .units import parse_bytes

    segmenter = load(model or bundled_model())
    with bar(quiet=quiet) as update:
        result = predict_files(
            input,
            segmenter,
            output,
            text=text,
            overlay=overlay,
            probs=probs,
            geotiff=geotiff,
            skip_existing=skip_existing,
            resume=resume,
            memory=parse_bytes(memory),
            tile=tile,
            overlap=overlap,
            say=say,
            note=say if not quiet else lambda line: None,
            progress=lambda found: counted(found, "segmenting", update),
            listen=update,
        )
    if json:
        print_json({name: len(getattr(result, name)) for name in ("done", "skipped", "failed")} | {"output": output})
    elif not quiet:
        skipped = f", {len(result.skipped)} were there already" if result.skipped else ""
        masks = not issubclass(TASKS[segmenter.config.task], Recognition)
        did, what = ("segmented", "masks") if masks else ("recognised", "answers")
        where = printable(output)
        print(f"{len(result.done)} {did}{skipped}, {len(result.failed)} failed; {what} are in {where}")
    return result.exit_code


def benchmark(
    suite: Literal["kernels", "models"] = "kernels",
    quick: bool = False,
    threads: int | None = None,
    repeats: int | None = None,
    output: str | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Measure speed and memory on this machine, beside torch.nn, attention, convolutions and the machine's limits.

    Args:
        suite: kernels (operations and layers, with goals) or models (each beside its control).
        quick: Small maps and one repeat, in seconds, to see that everything runs; its figures say little.
        threads: Threads to compute on; by default those that torch uses.
        repeats: Rounds whose median counts, at least 7; by default 7.
        output: Folder for benchmark.csv and, where matplotlib is installed, benchmark.png with a bar for every goal.
        json: Print machine and figures as JSON.
        quiet: No progress bar.
    """
    import importlib.util
    from pathlib import Path

    import torch

    from ..benchmark import SUITES
    from ..benchmark.machine import describe
    from ..benchmark.report import plot, record, summary, table, to_csv
    from ..benchmark.timing import Timer
    from ..errors import UsageError
    from ..io.files import atomic_write
    from ..training.allocator import keep_freed_memory
    from .progress import tracker

    if repeats is not None and repeats < 7 and not quick:
        raise UsageError(f"repeats is {repeats}; give at least 7, or --quick for a smoke run")
    for name, value in (("threads", threads), ("repeats", repeats)):
        if value is not None and value < 1:
            raise UsageError(f"{name} is {value}; give at least 1")
    torch.set_num_threads(threads or torch.get_num_threads())
    keep_freed_memory()
    timer = Timer(repeats or (1 if quick else 7))
    machine = describe()
    if output is not None:
        atomic_write(Path(output) / "benchmark.csv", to_csv([], machine))  # fails now and not after minutes
    cases = tracker("measuring", quiet=quiet)(SUITES[suite](quick))
    rows = [row for case in cases for row in case.run(timer)]
    if output is not None:
        atomic_write(Path(output) / "benchmark.csv", to_csv(rows, machine))
        if importlib.util.find_spec("matplotlib") is not None:
            atomic_write(Path(output) / "benchmark.png", plot(rows))
    if json:
        print_json({"machine": machine, "rows": [*map(record, rows)]})
        return 0
    print(", ".join(f"{name}: {value}" for name, value in machine.items()))
    print(table(rows))
    print(summary(rows))
    return 0


def list(json: bool = False) -> int:
    """List models, cells, scan orders, losses and tasks.

    Args:
        json: Print them as JSON.
    """
    from ..cells import CELLS
    from ..losses import LOSSES
    from ..models import CONTROLS, FAMILIES, MODELS
    from ..orders import ORDERS
    from ..tasks import TASKS, Regression

    losses = {**LOSSES, **Regression.losses}
    parts: dict[str, Mapping[str, Any]] = {"cells": CELLS, "orders": ORDERS, "losses": losses, "tasks": TASKS}
    if json:
        families = {family: [*builders] for family, builders in FAMILIES.items()}
        names = {"models": [*MODELS], "families": families} | {kind: [*table] for kind, table in parts.items()}
        print_json(names | {"controls": CONTROLS})
        return 0
    for kind, table in ({f"models for {family}": builders for family, builders in FAMILIES.items()} | parts).items():
        print(f"{kind}:")
        for name, value in table.items():
            print(f"  {name:33} {value.summary if kind == 'orders' else _summary(value)}".rstrip())
    return 0


def info(model: str | None = None, json: bool = False) -> int:
    """Say what a model is: builder, classes, parameters.

    Args:
        model: Model folder or name of a model; by default the nuclei model that comes with sweepseg.
        json: Print it as JSON.
    """
    from dataclasses import asdict

    from torch import nn

    from ..layers.blocks import count_parameters
    from ..layers.stages import dimensions_of
    from ..models import MODELS
    from ..models.folder import bundled_model, load

    network: nn.Module
    facts: dict[str, Any]
    if model in MODELS:
        network, facts = MODELS[model](num_classes=2), {"builder": model, "summary": _summary(MODELS[model])}
    else:
        segmenter = load(model or bundled_model())
        network, facts = segmenter.network, asdict(segmenter.config)
    facts |= {"takes": "volumes" if dimensions_of(network) == 3 else "images"}
    facts |= {"parameters": count_parameters(network), "streamable": getattr(network, "streamable", False)}
    if json:
        print_json(facts)
        return 0
    for name, value in facts.items():
        print(f"{name:12} {value}")
    return 0


def doctor(gradients: str | None = None, json: bool = False) -> int:
    """Say what this machine and installation can do, and what to mend; or how far a model's gradients go back.

    Args:
        gradients: Model folder: print for each of its cells, fresh and as trained, the norm of the gradient against the
            lag, and which vanish or explode.
        json: Print it as JSON.
    """
    if gradients is None:
        from .doctor import findings

        found = findings()
        if json:
            print_json(found)
        else:
            print("\n".join(found))
        return 0
    from dataclasses import asdict

    from ..explain.gradients import LAGS, flows
    from ..models.folder import load

    measured = flows(load(gradients))
    if json:
        print_json([asdict(flow) | {"verdict": flow.verdict} for flow in measured])
    elif measured:
        head = ["cell", "weights", *(f"lag {lag}" for lag in LAGS), "verdict"]
        rows = [[f.place, f.weights, *(f"{norm:.1e}" for norm in f.norms), f.verdict] for f in measured]
        print_columns([head, *rows])
    else:
        print("the model has no cell that runs over sequences")
    return 0


def _summary(value: object) -> str:
    """The first line of a docstring."""
    return (value.__doc__ or "").strip().partition("\n")[0]
