import json

import numpy as np
import pytest
from PIL import Image

from sweepseg.cli import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of grey pictures, trained on the command line for a moment."""
    folder = tmp_path_factory.mktemp("generation")
    for split in ("train", "val"):
        (folder / "data" / split).mkdir(parents=True)
        for index in range(3):
            pixels = np.random.default_rng(index).integers(0, 256, (6, 5), np.uint8)
            Image.fromarray(pixels).save(folder / "data" / split / f"{index}.png")
    words = ["--task", "generation", "--model", "pixel_rnn_row", "--steps", "2", "--batch-size", "2", "--quiet"]
    assert run(["train", str(folder / "data"), *words, "--output", str(folder / "model")]) == 0
    return folder


def pictures(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


def test_pictures_are_written_and_completed(trained, tmp_path, capsys):
    words = ["generate", "--model", str(trained / "model"), "--count", "3", "--seed", "5"]
    assert run([*words, "--size", "[6,5]", "--output", str(tmp_path / "new")]) == 0
    assert "3 pictures are in" in capsys.readouterr().out
    new = pictures(tmp_path / "new")
    assert [path.name for path in sorted((tmp_path / "new").iterdir())] == ["0000.png", "0001.png", "0002.png"]
    assert all(picture.shape == (6, 5) and {*np.unique(picture)} <= {0, 255} for picture in new)
    black = tmp_path / "black.png"
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(black)
    assert run([*words, "--complete", str(black), "--rows", "4", "--output", str(tmp_path / "done"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["0000.png", "0001.png", "0002.png"]
    assert not np.stack(pictures(tmp_path / "done"))[:, :4].any()
    assert run([*words, "--complete", str(black), "--output", str(tmp_path / "half"), "--quiet"]) == 0
    half = np.stack(pictures(tmp_path / "half"))
    assert not half[:, :3].any() and half[:, 3:].any() and not capsys.readouterr().out


def test_what_is_wrong_is_said(trained, tmp_path, capsys):
    words = ["generate", "--model", str(trained / "model"), "--output", str(tmp_path / "out")]
    image = str(trained / "data" / "val" / "0.png")
    for wrong, message in (
        (["--rows", "3"], "rows is 3, of no image; name one with --complete"),
        (["--complete", image, "--rows", "7"], "rows is 7;"),
        (["--count", "0"], "0 pictures of 28 x 28 pixels; give at least 1"),
    ):
        assert run([*words, *wrong]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_val_measures_and_predict_refuses(trained, tmp_path, capsys):
    model = ["--model", str(trained / "model")]
    assert run(["val", str(trained / "data"), *model, "--quiet"]) == 0
    assert "nats a picture" in capsys.readouterr().out
    assert run(["predict", str(trained / "data" / "val"), *model, "--output", str(tmp_path / "out")]) == 2
    assert "makes pictures; use sweepseg generate" in capsys.readouterr().err
    assert run(["val", str(trained / "data"), *model, "--flip"]) == 2
