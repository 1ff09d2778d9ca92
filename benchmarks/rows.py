"""The rows of a results file of the benchmarks."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def read(path: Path) -> list[dict]:
    """The rows of the file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def has(path: Path, key: Mapping[str, object]) -> bool:
    """Whether there is a row with all these values."""
    return any(all(row[name] == str(value) for name, value in key.items()) for row in read(path))


def add(path: Path, rows: Sequence[dict], columns: Sequence[str]) -> None:
    """Append rows at once, and print them."""
    write(path, [*read(path), *rows], columns)
    print(*rows, sep="\n", flush=True)


def write(path: Path, rows: Sequence[dict], columns: Sequence[str]) -> None:
    """Replace the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
