import json

import pytest
import torch

from sweepseg.benchmark.kernels import MAMBAPY, NO_BFLOAT16
from sweepseg.cli import run
from sweepseg.models import CONTROLS
from sweepseg.ops._dispatch import Backend
from sweepseg.ops.linear_scan import BACKENDS


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_kernels_are_measured(tmp_path, capsys):
    assert run(["benchmark", "--quick", "--threads", "1", "--json", "--quiet", "--output", str(tmp_path / "out")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["machine"]["threads"] == 1 and result["machine"]["processor"]
    rows = result["rows"]
    assert {row["note"] for row in rows if row["value"] is None and row["against"] != MAMBAPY} <= {NO_BFLOAT16}
    assert all(row["value"] > 0 for row in rows if row["value"] is not None)
    assert (tmp_path / "out" / "benchmark.csv").read_text().count("\n") == 1 + len(rows)
    assert (tmp_path / "out" / "benchmark.png").exists()


def test_models_are_measured(capsys, monkeypatch):
    monkeypatch.setattr("sweepseg.benchmark.models.CONTROLS", dict([*CONTROLS.items()][:1]))
    assert run(["benchmark", "--suite", "models", "--quick", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "processor: " in out and "sweepnet_small" in out and "0 of 0 goals reached" in out


def test_wrong_kernel_ends_it_with_one_line(capsys, monkeypatch):
    reference = BACKENDS["reference"].run
    monkeypatch.setitem(
        BACKENDS, "cpu", Backend(lambda decay, update, initial, reverse: reference(decay, update, initial, not reverse))
    )
    assert run(["benchmark", "--quick", "--quiet"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("sweepseg: linear_scan forward, 8x8, 128 channels, rows: result 0 is off by ")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--repeats", "3"], "repeats is 3; give at least 7, or --quick for a smoke run"),
        (["--repeats", "0", "--quick"], "repeats is 0; give at least 1"),
        (["--threads", "0"], "threads is 0; give at least 1"),
        (["--suite", "all"], "suite is 'all'; give kernels or models"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense_are_refused(options, line, capsys):
    assert run(["benchmark", *options]) == 2
    assert capsys.readouterr().err == f"sweepseg: {line}\n"


def test_folder_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sweepseg.benchmark.SUITES", {})
    (tmp_path / "file").touch()
    assert run(["benchmark", "--output", str(tmp_path / "file")]) == 5
    assert "is a file, not a folder" in capsys.readouterr().err
