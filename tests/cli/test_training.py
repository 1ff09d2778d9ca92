import csv
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from sweepseg.cli import run
from sweepseg.data.digit_scenes import enlarged, glyphs
from sweepseg.models.folder import load


def test_training_on_the_command_line_gives_a_model_folder_and_its_settings(tmp_path, capsys):
    options = ["--output", str(tmp_path / "run"), "--steps", "2", "--batch-size", "2", "--crop", "[32,32]"]
    words = ["train", "nuclei", *options]
    assert run(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 steps in ") and f"sweepseg predict IMAGES --model {tmp_path / 'run'}" in out
    assert load(tmp_path / "run").config.classes == ("background", "nucleus")
    settings = yaml.safe_load((tmp_path / "run" / "settings.yaml").read_text())
    assert (settings["steps"], settings["crop"]) == (2, [32, 32])

    assert run([*words, "--quiet"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "holds an earlier run" in captured.err


def test_classes_of_images_are_learned_measured_and_predicted(tmp_path, capsys):
    """Five handwritten digits of which each is a fifth."""
    for split, count in (("train", 20), ("val", 6)):
        for digit in range(5):
            folder = tmp_path / "data" / split / f"digit{digit}"
            folder.mkdir(parents=True)
            for i, ink in enumerate(enlarged(glyphs(split)[digit][:count], 14, 14)):
                Image.fromarray(ink.astype(np.uint8)).save(folder / f"{i}.png")
    data, model, out = (str(tmp_path / name) for name in ("data", "model", "out"))
    options = ["--steps", "30", "--batch-size", "20", "--ema", "0.5", "--no-flip", "--scale", "[0.9,1.1]"]
    words = ["--task", "classification", "--model", "sweepnet_classifier", "--output", model]
    assert run(["train", data, *words, *options, "--validate-every", "99"]) == 0
    assert "val accuracy " in capsys.readouterr().out

    assert run(["val", data, "--model", model, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["accuracy"] > 0.6 and sum(map(sum, scores["matrix"])) == 30
    assert run(["val", data, "--model", model]) == 0
    assert f"accuracy {100 * scores['accuracy']:.2f}, error" in capsys.readouterr().out

    assert run(["predict", str(tmp_path / "data" / "val"), "--model", model, "--output", out]) == 0
    assert capsys.readouterr().out == f"30 recognised, 0 failed; answers are in {out}\n"
    rows = [*csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines())]
    right = [row["class"] == row["file"].split("/")[0] for row in rows]
    assert np.mean(right) == pytest.approx(scores["accuracy"])

    assert run(["val", data, "--model", model, "--video"]) == 2
    assert "video is not measured for classification" in capsys.readouterr().err
