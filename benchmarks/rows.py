"""The rows of a results file of the benchmarks."""

import csv
from collections.abc import Sequence
from pathlib import Path


def read(path: Path) -> list[dict]:
    """The rows of the file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Sequence[dict], columns: Sequence[str]) -> None:
    """Replace the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
