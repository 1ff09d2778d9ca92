"""The history of a run for people: metrics.csv, and TensorBoard where it is asked for."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..errors import UsageError
from ..io.files import atomic_write

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMNS = ("step", "epoch", "learning_rate", "loss")


class Records:
    """Writes each row of a history as soon as it is there.

    Args:
        folder: Folder of the run.
        step: Optimizer steps done; what TensorBoard shows after it, from a run that was killed, is dropped.
        scores: Names of the scores of a validation.
        tensorboard: Whether to write TensorBoard events.

    Raises:
        UsageError: TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, *, step: int, scores: Iterable[str], tensorboard: bool):
        self.path = folder / "metrics.csv"
        self.columns = (*COLUMNS, *(f"val_{name}" for name in scores))
        self._events = _open_events(folder / "tensorboard", step) if tensorboard else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._events:
            self._events.close()

    def write(self, history: list[dict]) -> None:
        """Write a history that has grown by one row; a cell without a value stays empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        atomic_write(self.path, text.getvalue().encode())
        if self._events:
            row = history[-1]
            for name in row.keys() - {"step", "epoch"}:
                self._events.add_scalar(name, row[name], row["step"])


def _open_events(folder: Path, step: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("tensorboard is not installed; pip install 'sweepseg[tensorboard]' or leave it out") from None
    return SummaryWriter(str(folder), purge_step=step + 1)
