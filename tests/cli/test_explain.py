import json

import numpy as np
import pytest
from PIL import Image

from sweepseg.cli import run
from sweepseg.models.folder import bundled_model


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 60, (32, 48), dtype=np.uint8)
    pixels[10:22, 14:30] = 200
    Image.fromarray(pixels).save(tmp_path / "cell.png")
    return str(tmp_path / "cell.png")


def size(path):
    with Image.open(path) as image:
        return image.size


def test_a_pixel_and_a_region_are_explained(picture, tmp_path, capsys):
    out = tmp_path / "out" / "why.png"
    assert run(["explain", picture, "--at", "[16,22]", "--output", str(out), "--method", "saliency"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("saliency for nucleus: half of it within ") and printed.endswith(f"{out}\n")
    first = out.read_bytes()
    assert size(out)[0] > 300

    words = ["explain", picture, "--region", "[0,0,4,4]", "--output", str(out), "--class-name", "nucleus", "--json"]
    assert run(words) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["class"], facts["method"]) == ("nucleus", "integrated_gradients")
    assert 0 < facts["half_within"] < 60 and out.read_bytes() != first


def test_receptive_fields_of_two_models_are_drawn_side_by_side(picture, tmp_path, capsys):
    out = tmp_path / "field.png"
    words = ["explain", picture, "--receptive-field", "--output", str(out)]
    assert run([*words, "--quiet"]) == 0
    alone = size(out)
    assert run([*words, "--control", str(bundled_model()), "--json"]) == 0
    captured = capsys.readouterr()
    one, two = json.loads(captured.out)
    assert one == two and 0 < one["half_within"] < one["most_within"]
    assert size(out)[0] > alone[0]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--at", "[32,0]"], 2, "32 rows and 48 columns; rows 32 to 32, columns 0 to 0 do not lie in it"),
        (["--at", "[1,1]", "--region", "[0,0,1,1]"], 2, "leave one out"),
        (["--class-name", "cat"], 2, "the model does not know cat; it knows background, nucleus"),
        (["--control", "x"], 2, "add --receptive-field"),
        (["--receptive-field", "--class-name", "nucleus"], 2, "a receptive field has no class"),
        (["--model", "nowhere"], 6, "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_questions_that_make_no_sense_are_refused(picture, tmp_path, capsys, options, code, words):
    assert run(["explain", picture, "--output", str(tmp_path / "out.png"), *options]) == code
    assert words in capsys.readouterr().err and not (tmp_path / "out.png").exists()


def test_a_picture_that_cannot_be_read_is_named(tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert run(["explain", str(tmp_path / "bad.png"), "--output", str(tmp_path / "out.png")]) == 3
    assert "bad.png" in capsys.readouterr().err
