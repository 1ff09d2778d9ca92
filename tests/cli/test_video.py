import json

import numpy as np
from inference.models import model
from io_videos import encode, frames

from sweepseg.cli import run
from sweepseg.models.folder import save_model


def test_a_video_on_the_command_line_in_two_parts(tmp_path, capsys):
    save_model(tmp_path / "model", model(builder="sweepnet_small_video"))
    for name in ("a", "b"):
        encode(tmp_path / f"{name}.mkv", frames(3))
    words = ["--model", str(tmp_path / "model"), "--output", str(tmp_path / "out")]
    state = str(tmp_path / "state")
    assert run(["video", str(tmp_path / "a.mkv"), *words, "--save-state", state, "--overlay"]) == 0
    assert "3 frames segmented, 0 failed" in capsys.readouterr().out
    assert run(["video", str(tmp_path / "b.mkv"), *words, "--state", state, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"done": 3, "failed": 0, "output": str(tmp_path / "out")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "a.overlay.webm", "b", "report.jsonl"}
    (tmp_path / "c.mp4").write_bytes(np.random.default_rng(0).bytes(100))
    assert run(["video", str(tmp_path / "c.mp4"), *words, "--quiet"]) == 4
    captured = capsys.readouterr()
    assert captured.out == "" and "c.mp4: not a video" in captured.err
    assert run(["video", str(tmp_path / "a.mkv"), *words, "--state", str(tmp_path / "c.mp4")]) == 6
