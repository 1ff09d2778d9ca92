"""What tests of prediction segment, and what comes out."""

import json
from pathlib import Path

SIZES = {"one": (1, 1), "row": (1, 29), "column": (31, 1), "small": (2, 3), "prime": (97, 131), "even": (64, 48)}


def contents(folder: Path) -> dict[str, bytes]:
    """Every output file but the report."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "report.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def report(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
