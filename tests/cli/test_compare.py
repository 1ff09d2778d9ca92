import json

import pytest

from sweepseg.cli import run
from sweepseg.compare import cost
from sweepseg.compare.results import read


def test_models_are_trained_alike_and_a_table_stands_beside_the_rows(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cost, "peak_bytes", lambda builds: [1e6 for _ in builds])
    results, plot = tmp_path / "results.csv", tmp_path / "plot.png"
    options = ["--steps", "2", "--batch-size", "2", "--crop", "[32,32]", "--output", str(tmp_path / "runs")]
    words = ["compare", "nuclei", *options, "--split", "val", "--results", str(results), "--models", "sweepnet_small"]
    assert run([*words, "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    (row,) = read(results)
    assert (row.data, row.split, row.model, row.steps, row.crop) == ("nuclei", "val", "sweepnet_small", 2, "32x32")
    assert out == results.with_suffix(".md").read_text() + "\n"
    assert f"| sweepnet_small | {100 * row.mean_iou:.1f} (1) |" in out and plot.stat().st_size > 1000

    before = results.read_bytes()
    assert run([*words, "--quiet", "--json"]) == 0
    captured = capsys.readouterr()
    assert results.read_bytes() == before and json.loads(captured.out)[0]["mean_iou"] == row.mean_iou
    assert captured.err == f"1 of 1 runs are in {results} already\n"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--results", "table.md"], "results is table.md; give a name that ends in .csv"),
        (["--seeds", "0", "0", "--crop", "[9,9]"], "name each data set, model and seed once"),
        (["--models", "unet", "--crop", "[9,9]"], "model is unet; choose from sweepnet_small, "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense_are_refused(options, line, capsys):
    assert run(["compare", "nuclei", *options]) == 2
    assert capsys.readouterr().err.startswith(f"sweepseg: {line}")
