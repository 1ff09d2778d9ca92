import csv
import io
import re
from itertools import pairwise

import pytest
from PIL import Image

from sweepseg.benchmark.case import Row
from sweepseg.benchmark.report import plot, record, summary, table, to_csv

ROWS = [
    Row("fast", "8x8", "peer", goal=1.5, value=2.0, ours=0.002, theirs=0.004, repeats=7),
    Row("slow", "8x8", goal=15.0, value=30.0, unit="us", at_most=True, ours=3e-5, repeats=1),
    Row("lean", "8x8", "peer", value=0.5, quantity="bytes", ours=1e6, theirs=2e6, repeats=7),
    Row("absent", "8x8", "peer", goal=1.0, note="there is no kernel"),
]


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        (ROWS[0], ["fast", "8x8", "peer", "2 ms", "4 ms", "7", "2 x", "at least 1.5", "reached"]),
        (ROWS[1], ["slow", "8x8", "", "30 us", "", "1", "30 us", "at most 15", "missed"]),
        (ROWS[2], ["lean", "8x8", "peer", "1 MB", "2 MB", "7", "0.5 x", "", ""]),
        (ROWS[3], ["absent", "8x8", "peer", "", "", "", "not measured", "at least 1", "there is no kernel"]),
        (Row("long", "", value=2, ours=12.0, repeats=9), ["long", "", "", "12 s", "", "9", "2 x", "", ""]),
    ],
    ids=lambda value: value.name if isinstance(value, Row) else "",
)
def test_table_has_a_line_for_every_row(row, texts):
    head, line = table([row]).splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", head)]
    assert [line[start:end].strip() for start, end in pairwise([*starts, None])] == texts


def test_summary_counts():
    assert summary(ROWS) == "1 of 2 goals reached, 1 rows not measured"


def test_csv_holds_every_figure_and_the_machine():
    lines = [*csv.DictReader(io.StringIO(to_csv(ROWS, {"processor": "Fast, 9 GHz", "threads": 2}).decode()))]
    assert [(line["name"], line["value"], line["reached"]) for line in lines] == [
        ("fast", "2.0", "True"),
        ("slow", "30.0", "False"),
        ("lean", "0.5", ""),
        ("absent", "", ""),
    ]
    assert {(line["processor"], line["threads"]) for line in lines} == {("Fast, 9 GHz", "2")}
    assert lines[0].keys() == record(ROWS[0]).keys() | {"processor", "threads"}


def test_csv_of_nothing_has_its_head():
    assert to_csv([], {"threads": 2}).startswith(b"name,size,")


@pytest.mark.parametrize("rows", [ROWS, ROWS[2:]], ids=["some goals", "no goals"])
def test_plot_is_a_picture(rows):
    pytest.importorskip("matplotlib")
    with Image.open(io.BytesIO(plot(rows))) as image:
        assert image.format == "PNG" and min(image.size) > 100
