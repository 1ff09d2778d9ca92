import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from inference.models import model
from PIL import Image

from sweepseg.cli import run
from sweepseg.cli.parser import VERBS
from sweepseg.errors import Interrupted
from sweepseg.models.folder import save_model

PROGRAM = Path(sys.executable).with_name("sweepseg")


@pytest.fixture
def images(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image.new("RGB", (20 + i, 30), (i, 50, 90)).save(tmp_path / "in" / f"{i}.png")
    return tmp_path / "in"


def predict(images: Path, *options: str) -> int:
    return run(["predict", str(images), "--output", str(images.parent / "out"), *options])


def test_done_is_0(images, capsys):
    assert predict(images) == 0
    assert capsys.readouterr().out == f"3 segmented, 0 failed; masks are in {images.parent / 'out'}\n"


def test_usage_is_2_and_one_harmless_line(images, capsys):
    assert predict(images, "--output", str(images / "\x1b[31mred")) == 2
    err = capsys.readouterr().err
    assert err.startswith("sweepseg: ") and "lies inside the input folder" in err
    assert err.count("\n") == 1 and "\x1b" not in err


def test_some_failed_is_3_all_failed_is_4_and_each_is_one_line_even_when_quiet(images, capsys):
    bad = images / "bad.png"
    bad.write_text("no image")
    assert predict(images, "--quiet") == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"{bad}: not an image; PNG, JPEG, TIFF, BMP and WebP are read\n"
    assert predict(bad, "--output", str(images.parent / "other")) == 4


def test_output_that_is_a_file_is_5(images, capsys):
    (images.parent / "out").touch()
    assert predict(images) == 5
    assert "is a file, not a folder" in capsys.readouterr().err


def test_full_disk_is_5(images, capsys):
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, allowed[1]))  # bytes in one file
    try:
        assert predict(images) == 5
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert "file too large" in capsys.readouterr().err
    assert [path.name for path in (images.parent / "out").iterdir()] == ["report.jsonl"]


def test_refused_model_is_6(images, capsys):
    assert predict(images, "--model", str(images)) == 6
    save_model(images.parent / "model", model())
    config = images.parent / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_target_": "os.system"}))
    assert predict(images, "--model", str(images.parent / "model")) == 6
    assert "unknown key '_target_'" in capsys.readouterr().err
    assert not (images.parent / "out").exists()


def test_defect_of_ours_is_1_and_one_line_unless_debugging(monkeypatch, capsys):
    def defective():
        raise KeyError("a\nb")

    monkeypatch.setitem(VERBS, "doctor", defective)
    assert run(["doctor"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "internal error" in line and "KeyError" in line
    monkeypatch.setenv("SWEEPSEG_DEBUG", "1")
    with pytest.raises(KeyError):
        run(["doctor"])


@pytest.mark.parametrize(
    ("error", "code"), [(Interrupted(signal.SIGTERM, "saved"), 143), (KeyboardInterrupt(), 130), (MemoryError(), 1)]
)
def test_errors_that_end_a_verb_give_their_code(monkeypatch, capsys, error, code):
    def ended():
        raise error

    monkeypatch.setitem(VERBS, "doctor", ended)
    assert run(["doctor"]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_program_says_results_on_stdout_and_notices_and_refusals_on_stderr(images):
    (images / "bad.png").write_text("no image")
    (images / "0.png").rename(images / "0.jpg")
    child = subprocess.run([PROGRAM, "predict", "in"], cwd=images.parent, capture_output=True, text=True, timeout=60)
    assert child.returncode == 3
    assert child.stdout == "3 segmented, 1 failed; masks are in predictions\n"
    notices = [line for line in child.stderr.splitlines() if line.startswith("in/")]  # a slow machine draws a bar too
    assert len(notices) == 2
    assert notices[0].startswith("in/0.jpg is a PNG file") and notices[1].startswith("in/bad.png: not an image")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_prediction_leaves_whole_masks_and_a_report(tmp_path, signum, code):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((256, 256, 3), np.uint8)).save(tmp_path / "in" / "0.png")
    for i in range(1, 200):
        shutil.copy(tmp_path / "in" / "0.png", tmp_path / "in" / f"{i}.png")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it, and so their children
    child = subprocess.Popen(
        [PROGRAM, "predict", tmp_path / "in", "--output", tmp_path / "out", "--quiet"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not [*tmp_path.glob("out/*.png")] and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signum)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code and "Traceback" not in err
    masks = [*tmp_path.glob("out/*.png")]
    assert 0 < len(masks) < 200
    for mask in masks:
        assert np.asarray(Image.open(mask)).shape == (256, 256)
    rows = [json.loads(line) for line in (tmp_path / "out" / "report.jsonl").read_text().splitlines()]
    assert len(masks) - 1 <= len(rows) <= len(masks)
    assert {path.suffix for path in tmp_path.glob("out/*")} <= {".png", ".jsonl"}


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["predict", "--help"]])
def test_closed_pipe_ends_quietly(arguments):
    child = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, b"")


def test_help_of_every_verb_is_quick_and_imports_nothing_heavy():
    code = """
import sys
from sweepseg.cli import run
from sweepseg.cli.parser import VERBS
for verb in ([], *([verb] for verb in VERBS)):
    assert run([*verb, "--help"]) == 0
heavy = {"torch", "numpy", "PIL", "lightning", "kornia", "rich", "matplotlib", "optuna", "captum"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert out.count("usage: sweepseg") == 1 + len(VERBS)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1  # seconds for all of them


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sweepseg 0.")
