"""What the verbs print: results to stdout, notices to stderr."""

import json
import math
import sys
from collections.abc import Sequence


def say(line: str) -> None:
    """Print a notice at once."""
    print(line, file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print a value as one line of JSON, which has no NaN: null stands for it."""
    print(json.dumps(_without_nan(value)))


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print a wide table, as wide as it needs to be, so that pipes get whole lines."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print("\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first row is its head."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0])
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)
