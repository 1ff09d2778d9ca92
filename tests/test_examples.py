import base64
import io
import runpy
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import sweepseg
from sweepseg.data import nuclei_sample, open_dataset
from sweepseg.data.clips import sequences
from sweepseg.io.video import open_video

EXAMPLES = Path(__file__).parents[1] / "examples"


class Page(HTMLParser):
    """Collects the pictures, the table and whether every tag that was opened was closed."""

    def __init__(self, text: str):
        super().__init__()
        self.pictures: list[str] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])
        if tag == "tr":
            self.rows.append([])
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_demo_segments_trains_measures_and_shows(tmp_path, monkeypatch, capsys):
    kept = tmp_path / "demo" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    dataset = nuclei_sample()
    tests = dataset.splits["test"][:2]
    monkeypatch.setattr(sweepseg, "nuclei_sample", lambda: replace(dataset, splits={**dataset.splits, "test": tests}))
    monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(tmp_path / "demo"), "--steps", "2"])
    runpy.run_path(str(EXAMPLES / "demo.py"), run_name="__main__")
    shown = capsys.readouterr().out

    assert f"look at {tmp_path / 'demo' / 'index.html'}" in shown
    assert "sweepseg predict PICTURES --model" in shown
    page = Page((tmp_path / "demo" / "index.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert len(page.pictures) == 1 + 4 * len(tests)  # the plot; picture, annotation and two answers
    for source in page.pictures:
        head, data = source.split(",")
        assert head == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).verify()
    assert [row[0] for row in page.rows] == [
        "model",
        "bundled sweepnet_small",
        "sweepnet_small, 2 steps",
        "sweepnet_small_control, 2 steps",
    ]
    assert all(len(row) == 6 for row in page.rows)
    assert {path.stem for path in (tmp_path / "demo").glob("*.png")} == {"history"} | {
        Path(sample.name).name for sample in tests
    }
    assert (tmp_path / "demo" / "sweepnet_small" / "model.safetensors").exists()
    assert kept.read_text() == "mine"


def test_moving_window_makes_videos_that_can_be_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["moving_window.py", str(tmp_path / "data")])
    runpy.run_path(str(EXAMPLES / "moving_window.py"), run_name="__main__")
    videos = sequences(open_dataset(tmp_path / "data").splits["train"])
    assert [len(frames) for frames in videos.values()] == [16] * 24
    with open_video(tmp_path / "clip.webm") as (frames, _):
        assert sum(frame.image.shape == (96, 96, 3) for frame in frames) == 16


def test_gru_forms_trains_three_forms(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gru_forms.py", "--steps", "1", "--wait", "3"])
    runpy.run_path(str(EXAMPLES / "gru_forms.py"), run_name="__main__")
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row[:26].strip() for row in rows] == ["reset after the product", "reset before the product", "the slip"]


@pytest.mark.parametrize(
    ("name", "small"),
    [
        ("classification", {"steps": 2}),
        ("text_lines", {"steps": 2}),
        ("generation", {"steps": 1}),
        ("many_objects", {"steps": 1}),
        ("few_objects", {"steps": 1}),
        ("live_rows", {"steps": 1}),
        ("video_memory", {"steps": 1}),
        ("volumes", {"steps": 1}),
        ("larger_than_memory", {"side": 600}),
        ("regression", {"steps": 1}),
        ("referring", {"steps": 1}),
        ("few_labels", {"steps": 1}),
        ("panoptic", {"steps": 1}),
    ],
)
def test_one_script_for_each_task(name, small, tmp_path, capsys):
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](str(tmp_path), **small)
    assert capsys.readouterr().out.strip()
