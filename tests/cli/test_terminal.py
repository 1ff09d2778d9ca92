import json

from sweepseg.cli.terminal import print_json, print_table, say


def test_json_is_one_line_without_nan(capsys):
    print_json({"a": [1.5, float("nan"), (float("nan"),)], "b": None, "c": "x\n\udcff"})
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "NaN" not in line
    assert json.loads(line) == {"a": [1.5, None, [None]], "b": None, "c": "x\n\udcff"}


def test_notices_go_to_stderr(capsys):
    say("careful")
    assert capsys.readouterr() == ("", "careful\n")


def test_table_shows_every_cell(capsys):
    print_table([["class", "IoU"], ["sky", "91.0"], ["road", "-"]])
    lines = [line.strip("│ ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["sky", "│", "91.0"] in lines and ["road", "│", "-"] in lines
