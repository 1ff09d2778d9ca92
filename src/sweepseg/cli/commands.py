"""The verbs of the command line: light signatures of plain types; heavy imports stand inside.

Every function returns the exit code; its docstring is the help text.
"""

from typing import Any, Literal

from .terminal import print_json, print_table, say


def check(
    data: str,
    task: Literal["binary", "multiclass", "multilabel"] | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """List every problem of a data set before training does.

    Args:
        data: Folder of the data set, or "nuclei" for the sample that comes with sweepseg.
        task: What the masks mean; by default the data set tells.
        json: Print the problems as JSON.
        quiet: Print the problems alone.
    """
    from ..data import open_by_name
    from ..data.check import check as check_dataset
    from ..errors import printable
    from .progress import tracker

    dataset = open_by_name(data, task=task)
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
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Measure a model on a split of a data set: one pooled confusion matrix over all its pictures.

    Args:
        data: Folder of the data set, or "nuclei".
        model: Model folder; by default the nuclei model that comes with sweepseg.
        split: train, val or test.
        hold_out: Measure on the training pictures whose names start with this, as `train --hold-out` leaves them out.
        boundary: Measure the boundary F1 too.
        json: Print the scores as JSON.
        quiet: No progress bar.
    """
    from ..data import open_by_name
    from ..errors import UsageError
    from ..metrics import table
    from ..models.folder import bundled_model, load
    from ..tasks import TASKS
    from ..tasks.evaluation import evaluate
    from .progress import tracker

    segmenter = load(model or bundled_model())
    config = segmenter.config
    dataset = open_by_name(data, task=config.task)
    dataset = dataset if hold_out is None else dataset.hold_out(hold_out)
    if dataset.classes != config.classes:
        raise UsageError(f"the model knows {', '.join(config.classes)}, the data set has {', '.join(dataset.classes)}")
    if not any(sample.mask for sample in dataset.splits.get(split, ())):
        raise UsageError(f"{data} has no pictures with masks in {split}; it has {', '.join(dataset.splits)}")
    task = TASKS[config.task](len(config.classes))
    progress = tracker("measuring", quiet=quiet)
    scores = evaluate(
        segmenter, dataset, split, task, in_channels=len(config.mean), boundary=boundary, progress=progress
    )
    if json:
        print_json({name: score.tolist() for name, score in scores.items()} | {"classes": config.classes})
        return 0
    print_table(table(scores, config.classes))
    print(f"global accuracy {100 * scores['global_accuracy'].item():.1f}")
    return 0


def predict(
    input: str,
    output: str = "predictions",
    model: str | None = None,
    overlay: bool = False,
    probs: bool = False,
    skip_existing: bool = False,
    memory: str = "4GB",
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Segment an image, or every image of a folder.

    Args:
        input: Image or folder of images.
        output: Folder for the masks, `<stem>.png` each, with classes as indices; `report.jsonl` lists every input.
        model: Model folder; by default the nuclei model that comes with sweepseg.
        overlay: Also write `<stem>.overlay.png`, the image with its classes painted over it.
        probs: Also write `<stem>.probs.npz`, float16 probabilities.
        skip_existing: Leave out images whose mask is there already.
        memory: How much memory to use, such as 500MB; larger images are refused, one line each.
        json: Print the summary as JSON.
        quiet: No progress bar and no summary; bad inputs are still named.
    """
    from ..errors import printable
    from ..inference.memory import max_pixels
    from ..inference.predict import predict as predict_files
    from ..models.folder import bundled_model, load
    from .progress import tracker
    from .units import parse_bytes

    segmenter = load(model or bundled_model())
    result = predict_files(
        input,
        segmenter,
        output,
        overlay=overlay,
        probs=probs,
        skip_existing=skip_existing,
        max_pixels=max_pixels(segmenter, parse_bytes(memory)),
        say=say,
        progress=tracker("segmenting", quiet=quiet),
    )
    if json:
        print_json({name: len(getattr(result, name)) for name in ("done", "skipped", "failed")} | {"output": output})
    elif not quiet:
        skipped = f", {len(result.skipped)} were there already" if result.skipped else ""
        where = printable(output)
        print(f"{len(result.done)} segmented{skipped}, {len(result.failed)} failed; masks are in {where}")
    return result.exit_code


def list(json: bool = False) -> int:
    """List models, cells, scan orders, losses and tasks.

    Args:
        json: Print them as JSON.
    """
    from ..cells import CELLS
    from ..losses import LOSSES
    from ..models import CONTROLS, MODELS
    from ..orders import ORDERS
    from ..tasks import TASKS

    names: dict[str, dict[str, Any]] = {
        "models": MODELS,
        "cells": CELLS,
        "orders": ORDERS,
        "losses": LOSSES,
        "tasks": TASKS,
    }
    if json:
        print_json({kind: [*table] for kind, table in names.items()} | {"controls": CONTROLS})
        return 0
    for kind, table in names.items():
        print(f"{kind}:")
        for name, value in table.items():
            print(f"  {name:24} {value.summary if kind == 'orders' else _summary(value)}".rstrip())
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
    from ..models import MODELS
    from ..models.folder import bundled_model, load

    network: nn.Module
    facts: dict[str, Any]
    if model in MODELS:
        network, facts = MODELS[model](num_classes=2), {"builder": model, "summary": _summary(MODELS[model])}
    else:
        segmenter = load(model or bundled_model())
        network, facts = segmenter.network, asdict(segmenter.config)
    facts |= {"parameters": count_parameters(network), "streamable": getattr(network, "streamable", False)}
    if json:
        print_json(facts)
        return 0
    for name, value in facts.items():
        print(f"{name:12} {value}")
    return 0


def doctor() -> int:
    """Say what this machine and installation can do, and what to mend."""
    from .doctor import findings

    print("\n".join(findings()))
    return 0


def _summary(value: object) -> str:
    """The first line of a docstring."""
    return (value.__doc__ or "").strip().partition("\n")[0]
