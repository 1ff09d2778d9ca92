"""Models that say one thing of a whole image, its class or what it reads: of one image, or of files, in a table."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError, UsageError
from ..io.files import Found, atomic_write, find_images, only_run, open_regular
from ..models.segmenter import Segmenter
from ..tasks import Answer, Recognition, task_for
from .outcome import Predicted
from .parts import refusing
from .segment import as_batch, as_input, read


def recognise(model: Segmenter, image: str | Path | np.ndarray) -> Answer:
    """Say what class an image is of, or what it reads.

    Args:
        model: What `sweepseg.load` returned, of task classification or sequence.
        image: See `segment`.

    Raises:
        UsageError: The model is one for masks.
        InputError: The file cannot be read.
        ValueError: The image does not suit the model, or makes it return something that is not finite.
    """
    task = _task(model)
    unit = as_input(model, read(model, Path(image)) if isinstance(image, str | Path) else image)
    with torch.inference_mode():
        logits = model(as_batch(model, unit))
    (answer,) = task.answers(logits, model.config.classes)
    return answer


def predict_answers(
    source: str | Path,
    model: Segmenter,
    output: str | Path,
    *,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[list[Found]], Iterable[Found]] = iter,
) -> Predicted:
    """Answer for an image or a folder of images, each by itself.

    Args:
        source: An image file, or a folder that is searched with its subfolders.
        model: What `sweepseg.load` returned, of task classification or sequence.
        output: Folder for `predictions.csv` (file, class or text, probability); `report.jsonl` says the same, and of
            bad inputs why they have no answer.
        say: Called with one line for each bad input.
        progress: Hands the inputs on and may draw a bar.

    Raises:
        UsageError: No image found, or the model is one for masks.
        OutputError: The output cannot be written.
    """
    source, output = Path(source), Path(output)
    inputs = find_images(source)
    column = _task(model).column
    with only_run(output):
        report, table = output / "report.jsonl", output / "predictions.csv"
        atomic_write(report, b"")  # shows before any work that the folder takes files
        result, rows, answers = Predicted(), [], []
        try:
            for found in progress(inputs):
                row: dict[str, object] = {"input": str(found.path)}
                try:
                    with open_regular(found.path) as file:
                        row |= {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}  # type: ignore[arg-type]
                    pixels = read(model, found.path)
                    with refusing(found.path, *pixels.shape[:2]):
                        answer = recognise(model, pixels)
                except InputError as error:
                    result.failed.append(InputError(found.path, error.reason))
                    row |= {"status": "failed", "reason": error.reason}
                    say(str(result.failed[-1]))
                else:
                    result.done.append(found.path)
                    row |= {"status": "done", column: answer.text, "probability": answer.probability}
                    answers.append([found.relative.as_posix(), answer.text, f"{answer.probability:.6f}"])
                rows.append(json.dumps(row))
        finally:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([["file", column, "probability"], *answers])
            atomic_write(table, text.getvalue().encode("utf-8", "surrogateescape"))
            atomic_write(report, "".join(f"{row}\n" for row in rows).encode())
        return result


def _task(model: Segmenter) -> Recognition:
    task = task_for(model.config)
    if not isinstance(task, Recognition):
        raise UsageError(f"the model is for task {task.name}, whose answer is a mask; use sweepseg.segment")
    return task
