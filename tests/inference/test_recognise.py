"""Answers for images and files, by networks whose answer the test knows: they read the brightness."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sweepseg.errors import UsageError
from sweepseg.inference.averaging import Averaged
from sweepseg.inference.predict import predict
from sweepseg.inference.recognise import recognise
from sweepseg.inference.segment import segment
from sweepseg.inference.streaming import StreamingSegmenter
from sweepseg.io.files import only_run
from sweepseg.models.segmenter import ModelConfig, Segmenter

from .models import model as segmenter


class Brightness(nn.Module):
    """Class k of three by the mean over the image, or over every column, which is then a place of a line."""

    def __init__(self, places: bool):
        super().__init__()
        self.axes = 2 if places else (2, 3)

    def forward(self, image):
        third = (image.mean(1, keepdim=True).mean(self.axes) * 3).floor().clamp(0, 2)  # (B, 1) or (B, 1, T)
        classes = torch.arange(3.0).view(1, 3, *[1] * (third.dim() - 2))
        return -4 * (third - classes).abs()


def model(task):
    classes = ("dark", "middle", "bright") if task == "classification" else ("d", "m")
    config = ModelConfig(builder="", task=task, classes=classes, palette=(), mean=(0.0,), std=(1.0,))
    return Segmenter(Brightness(task == "sequence"), config)


LINE = np.repeat(np.array([0, 0, 120, 250, 120, 0], np.uint8)[None], 4, 0)  # d d m - m d


def test_class_of_an_array():
    answer = recognise(model("classification"), np.full((5, 7), 130, np.uint8))
    assert answer.text == "middle"
    assert answer.probability == pytest.approx(1 / (1 + 2 * np.exp(-4)), rel=1e-5)


def test_text_of_an_array():
    answer = recognise(model("sequence"), LINE)
    assert answer.text == "dmmd" and 0.8 < answer.probability < 1


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name, value in (("a", 10), ("deep/b", 250)):
        Image.fromarray(np.full((6, 6, 3), value, np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize(
    ("task", "column", "answers"), [("classification", "class", ["dark", "bright"]), ("sequence", "text", ["d", ""])]
)
def test_files_get_a_table_and_a_report(files, tmp_path, task, column, answers):
    result = predict(files, model(task), tmp_path / "out")
    assert result.exit_code == 0 and [path.name for path in result.done] == ["a.png", "b.png"]
    rows = [*csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines())]
    assert [(row["file"], row[column]) for row in rows] == [*zip(("a.png", "deep/b.png"), answers, strict=True)]
    report = [json.loads(line) for line in (tmp_path / "out" / "report.jsonl").read_text().splitlines()]
    assert [row[column] for row in report] == answers and all(len(row["sha256"]) == 64 for row in report)
    for row, line in zip(rows, report, strict=True):
        assert float(row["probability"]) == pytest.approx(line["probability"], abs=1e-6)


def test_bad_files_get_a_line_and_do_not_stop_the_others(files, tmp_path):
    (files / "broken.png").write_bytes(b"\x89PNG")
    Image.fromarray(np.full((2, 2), 10, np.uint16) * 1000).save(files / "deep16.png")
    (files / "volume.nii").write_bytes(b"5")
    lines = []
    result = predict(files, model("classification"), tmp_path / "out", say=lines.append)
    assert result.exit_code == 3 and len(result.done) == 3 and "broken.png" in lines[0] and len(lines) == 2
    assert "is a volume, but" in lines[1]
    statuses = [json.loads(line)["status"] for line in (tmp_path / "out" / "report.jsonl").read_text().splitlines()]
    assert sorted(statuses) == ["done", "done", "done", "failed", "failed"]
    assert predict(files / "broken.png", model("classification"), tmp_path / "out").exit_code == 4


@pytest.mark.parametrize("option", ["overlay", "probs", "geotiff", "resume", "skip_existing"])
def test_options_for_masks_are_refused(files, tmp_path, option):
    with pytest.raises(UsageError, match=f"{option} is for masks, the model is for task sequence"):
        predict(files, model("sequence"), tmp_path / "out", **{option: True})
    assert not (tmp_path / "out").exists()


def test_masks_and_answers_are_not_mixed_up():
    with pytest.raises(UsageError, match=r"task binary, whose answer is a mask; use sweepseg.segment"):
        recognise(segmenter(), np.zeros((4, 4), np.uint8))
    for use in (lambda one: segment(one, LINE), StreamingSegmenter, Averaged):
        with pytest.raises(UsageError, match="task classification and gives no mask; use sweepseg predict"):
            use(model("classification"))


def test_second_run_into_a_folder_is_refused(files, tmp_path):
    with only_run(tmp_path / "out"), pytest.raises(UsageError, match="another run writes into"):
        predict(files, model("classification"), tmp_path / "out")
