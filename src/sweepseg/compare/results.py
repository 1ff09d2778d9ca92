"""The rows of a comparison, one a finished run, in a CSV file."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import UsageError, printable
from ..io.files import atomic_write

Key = tuple[str, str, str, int, str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A finished run. Sizes and costs are those of one picture as large as the crop; see `cost.Cost`.

    Attributes:
        data: Name of the data set.
        split: What was measured on.
        model: Name of the model.
        seed: Seed of weights, order and augmentation.
        settings: Digest of all other settings of the training.
        steps: Optimizer steps.
        crop: Height and width of the training crops, "HxW".
        parameters: Trained values.
        multiply_adds: Of one picture.
        train_seconds: CPU time of the training: the median of a step times the steps; NaN where a run was taken up
            after its last step.
        seconds: CPU time of one picture.
        peak_mb: Memory for one picture, beside the weights, in 10^6 bytes.
        mean_iou: Mean of the classes' IoU, 0 to 1, of one pooled confusion matrix.
        class_iou: IoU of each class as JSON; null for a class that is neither there nor predicted.
        torch: The release of torch.
    """

    data: str
    split: str
    model: str
    seed: int
    settings: str
    steps: int
    crop: str
    parameters: int
    multiply_adds: int
    train_seconds: float
    seconds: float
    peak_mb: float
    mean_iou: float
    class_iou: str
    torch: str

    @property
    def key(self) -> Key:
        """What tells runs apart."""
        return self.data, self.split, self.model, self.seed, self.settings


TYPES: dict[str, Any] = {field.name: field.type for field in fields(Row)}


def read(path: Path) -> list[Row]:
    """The rows of a file; none where there is no file.

    Raises:
        UsageError: It cannot be read, or holds something else.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            head, *lines = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:  # ValueError: not UTF-8, or no line at all
        raise UsageError(f"{printable(path)} is no file of results ({printable(error)}); name another") from None
    if head != [*TYPES]:
        raise UsageError(
            f"{printable(path)} has the columns {printable(','.join(head))}, not {','.join(TYPES)}; name another file"
        )
    rows = []
    for number, line in enumerate(lines, 2):
        try:
            values = {name: TYPES[name](text) for name, text in zip(TYPES, line, strict=True)}
        except ValueError as error:
            raise UsageError(f"{printable(path)}, line {number}: {printable(error)}; mend or remove it") from None
        rows.append(Row(**values))
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    """Replace the file, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*TYPES], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    atomic_write(path, text.getvalue().encode())
