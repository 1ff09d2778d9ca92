import os
import select
import signal
import threading
import time
from dataclasses import replace
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from inference.models import model

from sweepseg.cli import run
from sweepseg.cli.stream import _write, stream
from sweepseg.inference.segment import segment
from sweepseg.inference.streaming import StreamingSegmenter
from sweepseg.models.folder import load, save_model

WIDTH, LOOK_AHEAD = 8, 98


def save(folder: Path, seed: int = 0, **config) -> str:
    segmenter = model("multiclass", 3, 1, "sweepnet_small_causal", seed)
    segmenter.config = replace(segmenter.config, **config)
    save_model(folder, segmenter)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (180, WIDTH), np.uint8)


@pytest.fixture(scope="module")
def mask(folder, image):
    """What the whole picture gives, in bytes."""
    mask = segment(load(folder), image).mask
    assert len(np.unique(mask)) > 1
    return mask.tobytes()


@pytest.fixture(scope="module")
def saved(folder, image, tmp_path_factory):
    """The state after 20 rows."""
    segmenter, path = StreamingSegmenter(load(folder)), tmp_path_factory.mktemp("saved") / "state"
    segmenter.push(image[:20])
    segmenter.save_state(path)
    return path.read_bytes()


def streamed(folder: str, path: Path, rows: np.ndarray | bytes, *options: str) -> int:
    """Exit code of a run whose input are these rows and whose output is the file `mask` beside it."""
    (path / "rows").write_bytes(bytes(rows))
    words = ["stream", str(path / "rows"), "--model", folder, "--output", str(path / "mask")]
    return run([*words, *(() if "--width" in options else ("--width", str(WIDTH))), *options])


def test_file_gives_the_mask_of_the_whole_picture(folder, image, mask, tmp_path, capsys):
    assert streamed(folder, tmp_path, image) == 0
    assert (tmp_path / "mask").read_bytes() == mask
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "180 rows in, 180 mask rows out\n")
    assert streamed(folder, tmp_path, image, "--quiet", "--strip", "32") == 0
    assert (tmp_path / "mask").read_bytes() == mask
    assert capsys.readouterr().err == ""


def test_uint16_and_colour_are_read_as_they_lie(tmp_path, image):
    save_model(tmp_path / "model", model("multiclass", 3, 3, "sweepnet_small_causal"))
    colour = image.reshape(36, 5, WIDTH)[:, :3].swapaxes(1, 2).astype(np.uint16) * 200
    words = ("--channels", "3", "--dtype", "uint16")
    assert streamed(str(tmp_path / "model"), tmp_path, colour.tobytes(), *words) == 0
    assert (tmp_path / "mask").read_bytes() == segment(load(tmp_path / "model"), colour).mask.tobytes()


def test_joined_streams_give_the_mask_of_one(folder, image, mask, tmp_path, capsys):
    state = tmp_path / "state"
    words = ("--state", str(state))
    assert streamed(folder, tmp_path, image[:70], *words) == 0
    assert (tmp_path / "mask").read_bytes() == b""
    assert capsys.readouterr().err == f"70 rows in, 0 mask rows out; {state} goes on from there\n"
    assert streamed(folder, tmp_path, image[70:171], *words) == 0
    assert (tmp_path / "mask").read_bytes() == mask[: (171 - LOOK_AHEAD) * WIDTH]
    assert streamed(folder, tmp_path, image[171:], *words) == 0
    assert state.exists()
    (tmp_path / "mask").rename(tmp_path / "above")  # the next machine has a file of its own
    assert streamed(folder, tmp_path, b"", *words, "--finish") == 0
    assert (tmp_path / "above").read_bytes() + (tmp_path / "mask").read_bytes() == mask
    assert not state.exists()


def test_live_rows_come_out_while_the_input_is_open_and_a_signal_saves_the_rest(folder, image, mask, tmp_path, capsys):
    rows, out, state = (str(tmp_path / name) for name in ("rows.fifo", "mask.fifo", "state"))
    os.mkfifo(rows)
    os.mkfifo(out)
    above = []

    def camera_and_reader() -> None:
        with open(out, "rb", buffering=0) as masks, open(rows, "wb", buffering=0) as camera:
            camera.write(image[: LOOK_AHEAD + 3].tobytes())
            while sum(map(len, above)) < 3 * WIDTH:
                above.append(masks.read(1000))
            camera.write(image[LOOK_AHEAD + 3].tobytes())
            above.append(masks.read(1000))
            waits = not select.select([masks], [], [], 0.2)[0]
            above.append(b"" if waits else b"too early")
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=camera_and_reader)
    thread.start()
    words = ["stream", rows, "--model", folder, "--width", str(WIDTH), "--output", out, "--state", state]
    assert run(words) == 143
    thread.join()
    assert capsys.readouterr().err == f"sweepseg: 102 rows in, 4 mask rows out; {state} goes on from there\n"
    assert streamed(folder, tmp_path, image[102:], "--state", state, "--finish") == 0
    assert b"".join(above) + (tmp_path / "mask").read_bytes() == mask


def test_reader_that_leaves_ends_it_like_other_pipes_and_nothing_is_lost(folder, image, mask, tmp_path, monkeypatch):
    def left_by_its_reader(*_, **__) -> FileIO:
        reader, writer = os.pipe()
        os.close(reader)
        return FileIO(writer, "w")

    state = str(tmp_path / "state")
    (tmp_path / "rows").write_bytes(image[: LOOK_AHEAD + 5].tobytes())
    with monkeypatch.context() as patch, pytest.raises(BrokenPipeError):  # which `run` ends with 0 and no word
        patch.setattr("sweepseg.cli.stream._open_output", left_by_its_reader)
        stream(str(tmp_path / "rows"), folder, WIDTH, state=state)
    taken = StreamingSegmenter.from_state(load(folder), state).rows
    assert LOOK_AHEAD < taken <= LOOK_AHEAD + 5
    assert streamed(folder, tmp_path, image[taken:], "--state", state, "--finish") == 0
    assert (tmp_path / "mask").read_bytes() == mask


def test_full_disk_is_5_and_nothing_is_lost(folder, image, mask, tmp_path, capsys):
    words = ("--state", str(tmp_path / "state"))
    assert streamed(folder, tmp_path, image[:110], *words, "--output", "/dev/full") == 5
    assert capsys.readouterr().err == "sweepseg: /dev/full: no space left on device\n"
    taken = StreamingSegmenter.from_state(load(folder), tmp_path / "state").rows
    assert streamed(folder, tmp_path, image[taken:], *words, "--finish") == 0
    assert (tmp_path / "mask").read_bytes() == mask


class Filling(FileIO):
    """A file on a disk with little space left."""

    left = 3 * WIDTH + 5

    def write(self, data):
        if not self.left:
            raise OSError(28, "No space left on device")
        count = super().write(data[: self.left])
        self.left -= count
        return count


def test_full_disk_leaves_whole_rows(folder, image, mask, tmp_path):
    segmenter = StreamingSegmenter(load(folder))
    rows = segmenter.push(image)
    with Filling(tmp_path / "mask", "w") as sink, pytest.raises(Exception, match="no space left"):
        _write(sink, segmenter, rows)
    assert (tmp_path / "mask").read_bytes() + segmenter.finish().tobytes() == mask


def test_file_that_grows_is_followed_until_it_is_quiet(folder, image, mask, tmp_path):
    growing, out = tmp_path / "growing", tmp_path / "mask"
    growing.write_bytes(image[:120].tobytes())

    def grow() -> None:
        while not out.exists() or out.stat().st_size < (120 - LOOK_AHEAD) * WIDTH:
            time.sleep(0.02)
        with open(growing, "ab") as file:
            file.write(image[120:].tobytes())

    thread = threading.Thread(target=grow)
    thread.start()
    words = ["stream", str(growing), "--model", folder, "--width", str(WIDTH), "--output", str(out)]
    assert run([*words, "--follow", "2"]) == 0
    thread.join()
    assert out.read_bytes() == mask


def test_rows_that_come_in_pieces_are_put_together(folder, image, mask, tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def feed() -> None:
        with open(tmp_path / "pipe", "wb", buffering=0) as pipe:
            for piece in np.array_split(image.ravel(), 17):
                pipe.write(piece.tobytes())
                time.sleep(0.02)

    thread = threading.Thread(target=feed)
    thread.start()
    words = ["stream", str(tmp_path / "pipe"), "--model", folder, "--width", str(WIDTH)]
    assert run([*words, "--output", str(tmp_path / "mask")]) == 0
    thread.join()
    assert (tmp_path / "mask").read_bytes() == mask


def test_input_that_ends_within_a_row_is_3_and_all_before_is_there(folder, image, tmp_path, capsys):
    assert streamed(folder, tmp_path, image[:120].tobytes() + b"12345") == 3
    assert capsys.readouterr().err == f"{tmp_path / 'rows'}: ends after 5 of the 8 bytes of row 120\n"
    assert (tmp_path / "mask").read_bytes() == segment(load(folder), image[:120]).mask.tobytes()


def test_input_that_ends_within_a_row_keeps_the_rows_in_the_state(folder, image, mask, tmp_path):
    words = ("--state", str(tmp_path / "state"))
    assert streamed(folder, tmp_path, image[:120].tobytes() + b"12345", *words) == 3
    assert streamed(folder, tmp_path, image[120:], *words, "--finish") == 0
    assert (tmp_path / "mask").read_bytes() == mask


@pytest.mark.parametrize(("rows", "words"), [(b"", "empty; rows of 8 bytes"), (b"123", "ends after 3 of the 8 bytes")])
def test_input_without_a_row_is_4(folder, tmp_path, capsys, rows, words):
    assert streamed(folder, tmp_path, rows) == 4
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_values_out_of_range_are_3_with_their_row_and_all_before_is_there(image, tmp_path, capsys):
    folder = save(tmp_path / "model", input_range=(0.0, 4095.0))
    rows = image.astype(np.uint16) * 16
    rows[122, 3] = 4096
    words = ("--dtype", "uint16", "--state", str(tmp_path / "state"))
    assert streamed(folder, tmp_path, rows.tobytes(), *words) == 3
    err = capsys.readouterr().err
    assert "rows: row 122: values lie in" in err and err.count("\n") == 1
    assert len((tmp_path / "mask").read_bytes()) == (122 - LOOK_AHEAD) * WIDTH
    rows[122, 3] = 4095
    assert streamed(folder, tmp_path, rows[122:].tobytes(), *words, "--finish") == 0
    assert (tmp_path / "mask").read_bytes() == segment(load(folder), rows).mask.tobytes()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--width", "0"], 2, "--width and --channels of at least 1"),
        (["--channels", "2"], 2, "2 channels but the model takes 1"),
        (["--strip", "20"], 2, "strip is 20; give a multiple of 16"),
        (["--dtype", "int8"], 2, "dtype is 'int8'; give uint8 or uint16"),
        (["--state", "rows"], 2, "are one file"),
        (["--output", "rows"], 2, "are one file"),
        (["--output", "other", "--state", "./other"], 2, "are one file"),
        (["--model", "nowhere"], 6, "nowhere"),
        (["--output", "rows/mask"], 5, "rows/mask"),
        (["--output", "."], 5, "is a directory"),
        (["--state", "rows/state"], 5, "is a file, not a folder"),
        (["--state", "rows.state", "--width", "4"], 6, "of a stream with --width 8, not 4"),
        (["--state", "rows.state", "--strip", "32"], 6, "of a stream with --strip 16, not 32"),
        (["--state", "damaged"], 6, "damaged"),
    ],
)
def test_refused_before_any_row_is_taken(folder, image, saved, tmp_path, monkeypatch, capsys, options, code, words):
    monkeypatch.chdir(tmp_path)
    files = {"rows.state": saved, "damaged": saved[:-1], "rows": image[:20].tobytes(), "mask": b"an earlier one"}
    before = {tmp_path / name: data for name, data in files.items()}
    for path, data in before.items():
        path.write_bytes(data)
    assert streamed(folder, tmp_path, image[:20], *options) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_input_that_is_not_there_is_2(folder, tmp_path, capsys):
    assert run(["stream", str(tmp_path / "rows"), "--model", folder, "--width", "8", "--output", "/dev/null"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_model_that_needs_the_whole_picture_is_2(tmp_path, capsys):
    save_model(tmp_path / "model", model())
    assert streamed(str(tmp_path / "model"), tmp_path, b"") == 2
    assert "train sweepnet_small_causal" in capsys.readouterr().err
    assert not (tmp_path / "mask").exists()


def test_state_of_another_model_is_6(folder, image, tmp_path, capsys):
    words = ("--state", str(tmp_path / "state"))
    assert streamed(folder, tmp_path, image, *words) == 0
    assert streamed(save(tmp_path / "other", seed=1), tmp_path, image, *words) == 6
    assert "began with another model" in capsys.readouterr().err
