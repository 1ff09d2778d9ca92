"""Videos in, masks out: frame by frame, whatever the source, and whatever is wrong with single frames."""

import gc
import json
import os
import resource
import signal

import numpy as np
import pytest
import torch
from io_videos import encode, frames
from PIL import Image
from stirring import as_if_trained

from sweepseg.errors import ModelFileError, OutputError, UsageError
from sweepseg.inference import video as module
from sweepseg.inference.segment import segment
from sweepseg.inference.video import VideoSegmenter, is_cut, predict_video
from sweepseg.io.images import read_image

from .models import model

CLIP = frames(6, 20, 24)


@pytest.fixture(scope="module")
def remembering():
    """A model whose masks depend on earlier frames."""
    return as_if_trained(model(builder="sweepnet_small_video"))


@pytest.fixture(scope="module")
def masks(remembering):
    """What it says of `CLIP` at once."""
    with torch.inference_mode():
        clip = torch.from_numpy(CLIP.transpose(0, 3, 1, 2)).float().div(255)
        logits, _ = remembering.run(clip[None])
    masks = (logits[0, :, 0] > 0).numpy().astype(np.uint8)
    alone = np.stack([segment(remembering, image).mask for image in CLIP])
    assert (masks[0] == alone[0]).all() and (masks[1:] != alone[1:]).any(axis=(1, 2)).all()
    return masks


def write_frames(folder, images, name="{:05}.png"):
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / name.format(number))
    return folder


def written(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def report(output):
    return [json.loads(line) for line in (output / "report.jsonl").read_text().splitlines()]


def test_from_python_frames_come_from_anything_that_can_be_iterated(remembering, masks):
    segmenter = VideoSegmenter(remembering)
    assert np.array_equal(np.stack([result.mask for result in map(segmenter.push, iter(CLIP))]), masks)


@pytest.mark.parametrize("source", ["file", "folder"])
def test_masks_and_report_of_a_video(remembering, masks, tmp_path, source):
    if source == "file":
        path = encode(tmp_path / "clip.mkv", CLIP)
        names = [f"clip/{i:06}" for i in range(6)]
    else:
        path = write_frames(tmp_path / "in" / "clip", CLIP, "{}.png").parent
        names = [f"clip/{i}" for i in range(6)]
    counts = predict_video(path, remembering, tmp_path / "out", overlay=True)
    assert (counts.done, counts.failed, counts.exit_code) == (6, 0, 0)
    assert np.array_equal(written(tmp_path / "out" / "clip"), masks)
    rows = report(tmp_path / "out")
    assert [row["frame"] for row in rows] == names
    assert [row["began"] for row in rows] == [True] + 5 * [False]
    assert {(row["status"], row["height"], row["width"]) for row in rows} == {("done", 20, 24)}
    with module.open_video(tmp_path / "out" / "clip.overlay.webm") as (shown, rate):
        assert rate == (10 if source == "file" else 25)
        assert [frame.image.shape for frame in shown] == 6 * [(20, 24, 3)]
    palette = Image.open(next((tmp_path / "out" / "clip").glob("*.png"))).getpalette()
    assert palette[3:6] == [*remembering.config.palette[1]]


def test_each_folder_of_frames_is_a_video_of_its_own_in_the_order_of_its_numbers(remembering, masks, tmp_path):
    write_frames(tmp_path / "in" / "a", CLIP, "{}.png")
    write_frames(tmp_path / "in" / "b", np.concatenate((CLIP, CLIP))[: 6 + 5], "f{}.png")  # 10 comes after 9
    predict_video(tmp_path / "in", remembering, tmp_path / "out")
    assert np.array_equal(written(tmp_path / "out" / "a"), masks)
    rows = report(tmp_path / "out")
    assert [row["frame"] for row in rows if row["began"]] == ["a/0", "b/f0"]
    assert [row["frame"] for row in rows][6:] == [f"b/f{i}" for i in range(11)]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "b" / "f5.png")), masks[5])


def test_a_video_goes_on_from_a_saved_state(remembering, masks, tmp_path):
    first, second = encode(tmp_path / "first.mkv", CLIP[:2]), encode(tmp_path / "second.mkv", CLIP[2:])
    state = tmp_path / "state"
    predict_video(first, remembering, tmp_path / "out", save=state)
    predict_video(second, remembering, tmp_path / "out", state=state)
    assert np.array_equal(written(tmp_path / "out" / "second"), masks[2:])
    segmenter = VideoSegmenter(remembering)
    segmenter.push(CLIP[0])
    assert np.array_equal(VideoSegmenter(remembering, state=segmenter.state).push(CLIP[1]).mask, masks[1])


@pytest.mark.parametrize("other", ["model", "size"])
def test_a_state_of_another_model_or_size_is_refused(remembering, tmp_path, other):
    predict_video(encode(tmp_path / "a.mkv", CLIP), remembering, tmp_path / "out", save=tmp_path / "state")
    source = encode(tmp_path / "b.mkv", frames(2, 40, 24)) if other == "size" else tmp_path / "a.mkv"
    chosen = remembering if other == "size" else model()
    with pytest.raises(ModelFileError, match="the state holds context16_norm_time"):
        predict_video(source, chosen, tmp_path / "out", state=tmp_path / "state")


def test_cuts_begin_afresh_where_they_are_asked_for(remembering, masks, tmp_path):
    source = encode(tmp_path / "a.mkv", np.concatenate((255 - CLIP // 8, CLIP)))
    for cuts in (False, True):
        predict_video(source, remembering, tmp_path / "out", cuts=cuts)
        began = [i for i, row in enumerate(report(tmp_path / "out")) if row["began"]]
        assert began == ([0, 6] if cuts else [0])
    assert np.array_equal(written(tmp_path / "out" / "a")[6:], masks)


def test_cuts_are_told_by_colours_and_not_by_motion():
    picture = np.random.default_rng(0).random((40, 50, 3)).astype(np.float32)
    assert not is_cut(picture, np.roll(picture, 17, axis=1))
    assert not is_cut(picture, picture.clip(0.2, 0.8))  # 40 % of the pixels change
    assert is_cut(picture, picture.clip(0.4, 0.6)) and is_cut(picture * 0.2, picture)


def test_frames_of_another_size_begin_afresh(remembering, masks, tmp_path):
    folder = write_frames(tmp_path / "in", CLIP[:2])
    Image.fromarray(frames(1, 32, 28)[0]).save(folder / "00002.png")
    predict_video(folder, remembering, tmp_path / "out", overlay=True)
    assert [(row["began"], row["height"]) for row in report(tmp_path / "out")] == [(True, 20), (False, 20), (True, 32)]
    assert (tmp_path / "out" / "in.overlay.webm").is_file()


def test_bad_frames_get_a_line_each_and_the_video_goes_on(remembering, masks, tmp_path):
    folder = write_frames(tmp_path / "in", CLIP)
    data = (folder / "00003.png").read_bytes()
    (folder / "00006.png").write_bytes(data[: len(data) // 2])
    Image.fromarray(CLIP[0]).save(folder / "00007.png", save_all=True, append_images=[Image.fromarray(CLIP[1])])
    os.symlink("nowhere.png", folder / "00008.png")
    os.mkfifo(folder / "00009.png")
    Image.fromarray(np.zeros((2, 3000), np.uint8)).save(folder / "00010.png")
    lines = []
    counts = predict_video(folder, remembering, tmp_path / "out", say=lines.append)
    assert (counts.done, counts.failed, counts.exit_code) == (7, 4, 3)
    assert [line.rpartition("/")[2][:9] for line in lines] == [f"{i:05}.png" for i in (6, 7, 8, 9)]
    (tmp_path / "out" / "00010.png").unlink()
    assert np.array_equal(written(tmp_path / "out"), masks)
    rows = report(tmp_path / "out")
    assert [row["status"] for row in rows] == 6 * ["done"] + 4 * ["failed"] + ["done"]
    assert all(row["reason"] for row in rows[6:10])


def test_a_bad_frame_leaves_the_state_as_it_was(remembering, masks, tmp_path):
    folder = write_frames(tmp_path / "in", [*CLIP[:3], *CLIP[2:]])
    (folder / "00002.png").write_bytes(b"no picture")
    predict_video(folder, remembering, tmp_path / "out")
    assert np.array_equal(written(tmp_path / "out"), masks)


def test_a_bad_file_fails_with_one_line(remembering, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"#EXTM3U\nhttp://localhost/a.ts\n")
    lines = []
    counts = predict_video(tmp_path / "a.mp4", remembering, tmp_path / "out", say=lines.append)
    assert counts.exit_code == 4 and len(lines) == 1 and "not a video" in lines[0]
    assert report(tmp_path / "out")[0]["status"] == "failed"


def test_frames_that_do_not_fit_in_memory_are_refused(remembering, tmp_path):
    folder = write_frames(tmp_path / "in", CLIP[:1])
    Image.fromarray(np.zeros((3000, 3000), np.uint8)).save(folder / "00001.png")
    lines = []
    counts = predict_video(folder, remembering, tmp_path / "out", memory=1_000_000_000, say=lines.append)
    assert (counts.done, counts.failed) == (1, 1) and "3000x3000 pixels are too many" in lines[0]


def test_failing_allocation_is_a_bad_frame(remembering, tmp_path, monkeypatch):
    def push(self, image):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(VideoSegmenter, "push", push)
    lines = []
    predict_video(write_frames(tmp_path / "in", CLIP[:1]), remembering, tmp_path / "out", say=lines.append)
    assert "24x20 pixels are too large for memory" in lines[0]


@pytest.mark.parametrize("case", ["missing", "inside", "twice", "no frame"])
def test_what_cannot_be_meant_is_refused_before_any_work(remembering, tmp_path, case):
    folder = write_frames(tmp_path / "in", CLIP[:1])
    Image.fromarray(CLIP[0]).save(folder / "00000.jpg")
    (tmp_path / "empty").mkdir()
    source, output, why = {
        "missing": (tmp_path / "nothing.mp4", tmp_path / "out", "does not exist"),
        "inside": (folder, folder / "out", "lies inside the input folder"),
        "twice": (folder, tmp_path / "out", "would have the same output"),
        "no frame": (tmp_path / "empty", tmp_path / "out", "holds no image"),
    }[case]
    with pytest.raises(UsageError, match=why):
        predict_video(source, remembering, output)
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file_or_full_stops_the_run(remembering, tmp_path):
    folder = write_frames(tmp_path / "in", CLIP)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"):
        predict_video(folder, remembering, tmp_path / "file")
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, allowed[1]))
    try:
        with pytest.raises(OutputError, match="file too large"):
            predict_video(folder, remembering, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
        signal.signal(signal.SIGXFSZ, before)


def test_a_model_without_memory_takes_each_frame_by_itself(tmp_path):
    picture = as_if_trained(model("multiclass", 3))
    predict_video(encode(tmp_path / "a.mkv", CLIP[:3]), picture, tmp_path / "out", save=tmp_path / "state")
    alone = np.stack([segment(picture, image).mask for image in CLIP[:3]])
    assert np.array_equal(written(tmp_path / "out" / "a"), alone)


def test_multilabel_has_a_mask_a_class(tmp_path):
    predict_video(encode(tmp_path / "a.mkv", CLIP[:1]), model("multilabel", 2), tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out" / "a" / "000000").iterdir())] == ["class0.png", "class1.png"]


def memory_stays_fixed(segmenter):
    """No more tensors are alive after 500 frames than after 20."""

    def alive():
        gc.collect()
        return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

    counts = []
    for number in range(500):
        segmenter.push(np.full((16, 16, 3), number % 256, np.uint8))
        if number in (20, 499):
            counts.append(alive())
    assert counts[1] <= counts[0]  # fewer, where what other tests left is let go


class Hoards(VideoSegmenter):
    """Keeps every state that there was."""

    def push(self, image):
        self.kept = [*getattr(self, "kept", []), self.state]
        return super().push(image)


def test_memory_does_not_grow_with_the_length(remembering):
    memory_stays_fixed(VideoSegmenter(remembering))
    with pytest.raises(AssertionError):
        memory_stays_fixed(Hoards(remembering))


def test_frames_are_read_as_elsewhere(tmp_path, remembering):
    """16 bits keep their depth."""
    deep = (np.arange(20 * 24).reshape(20, 24) * 100).astype(np.uint16)
    (tmp_path / "in").mkdir()
    Image.fromarray(deep).save(tmp_path / "in" / "0.png")
    predict_video(tmp_path / "in", remembering, tmp_path / "out")
    expected = segment(remembering, read_image(tmp_path / "in" / "0.png")).mask
    assert np.array_equal(written(tmp_path / "out")[0], expected)


def test_an_interrupted_run_leaves_whole_masks_and_its_report(remembering, masks, tmp_path):
    def listen(counts):
        if counts.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_video(encode(tmp_path / "a.mkv", CLIP), remembering, tmp_path / "out", overlay=True, listen=listen)
    assert np.array_equal(written(tmp_path / "out" / "a"), masks[:3])
    assert len(report(tmp_path / "out")) == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "report.jsonl"}
