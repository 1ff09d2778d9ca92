"""What was measured, as a table, as CSV and as a picture."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from .case import Row

HEAD = ("what", "size", "against", "ours", "theirs", "rounds", "figure", "goal", "outcome")


def record(row: Row) -> dict[str, Any]:
    """A row as plain values."""
    return {name: value for name, value in asdict(row).items() if name != "scale"} | {"reached": row.reached}


def table(rows: Iterable[Row]) -> str:
    """A line for every row, below the head; as wide as it needs to be, so that pipes get whole lines."""
    lines = [[*HEAD], *map(_texts, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _texts(row: Row) -> list[str]:
    bound = "at most" if row.at_most else "at least"
    return [
        row.name,
        row.size,
        row.against,
        _amount(row.ours, row.quantity),
        _amount(row.theirs, row.quantity),
        f"{row.repeats or ''}",
        "not measured" if row.value is None else f"{row.value:.3g} {row.unit}",
        "" if row.goal is None else f"{bound} {row.goal:g}",
        row.note or {True: "reached", False: "missed", None: ""}[row.reached],
    ]


def summary(rows: Iterable[Row]) -> str:
    """How many goals were reached, in one line.

    >>> summary([Row("scan", "8x8", goal=1, value=2), Row("scan", "9x9", goal=1)])
    '1 of 1 goals reached, 1 rows not measured'
    """
    rows = [*rows]
    judged = [row.reached for row in rows if row.reached is not None]
    return f"{sum(judged)} of {len(judged)} goals reached, {sum(r.value is None for r in rows)} rows not measured"


def to_csv(rows: Sequence[Row], machine: dict[str, Any]) -> bytes:
    """The rows as CSV; the last columns name the machine."""
    text = io.StringIO(newline="")
    names = [field.name for field in fields(Row) if field.name != "scale"]
    writer = csv.DictWriter(text, [*names, "reached", *machine])
    writer.writeheader()
    writer.writerows(record(row) | machine for row in rows)
    return text.getvalue().encode()


def plot(rows: Sequence[Row]) -> bytes:
    """A PNG with a bar for every goal: how often the figure holds it; right of the line it is reached."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    judged = [row for row in rows if row.goal is not None and row.value is not None][::-1]
    figure = Figure(figsize=(10, 1.5 + 0.2 * len(judged)), layout="constrained")
    axes = figure.add_subplot()
    names = [f"{row.name}, {row.size}" + (f" / {row.against}" if row.against else "") for row in judged]
    colors = ["tab:green" if row.reached else "tab:red" for row in judged]
    axes.barh(range(len(judged)), [_share(row) for row in judged], color=colors)
    axes.set_yticks(range(len(judged)), names, fontsize=7)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("share of the goal")
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    return image.getvalue()


def _share(row: Row) -> float:
    assert row.goal is not None and row.value is not None
    return row.goal / row.value if row.at_most else row.value / row.goal


def _amount(value: float | None, quantity: str) -> str:
    if value is None:
        return ""
    if quantity == "bytes":
        return f"{value / 1e6:.3g} MB"
    unit, factor = next(((u, f) for u, f in (("s", 1.0), ("ms", 1e3)) if value * f >= 1), ("us", 1e6))
    return f"{value * factor:.3g} {unit}"
