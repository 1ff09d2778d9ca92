"""Video files: every frame as it was encoded, and one line for what cannot be read."""

import os
import resource
import signal
import struct
import sys
import tracemalloc

import av
import numpy as np
import pytest
from io_videos import encode, frames

from sweepseg.errors import InputError, OutputError, UsageError
from sweepseg.io.video import container_of, open_video, video_writer

LOSSY = {"codec": "mpeg4", "pixels": "yuv420p"}
WAYS = {
    "ffv1.mkv": {},
    "ffv1.avi": {},
    "mpeg4.mp4": LOSSY,
    "mjpeg.mov": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "vp9.webm": {"codec": "libvpx-vp9", "pixels": "yuv420p"},
}


def read(path, **options):
    with open_video(path, **options) as (opened, rate):
        return [*opened], rate


@pytest.mark.parametrize("name", WAYS)
def test_every_frame_in_order_with_its_time(tmp_path, name):
    images = frames(7)
    found, rate = read(encode(tmp_path / name, images, **WAYS[name]))
    assert rate == 10 and len(found) == 7 and not any(frame.problem for frame in found)
    assert [frame.seconds for frame in found] == pytest.approx([i / 10 for i in range(7)], abs=2e-3)
    assert {(frame.image.dtype, frame.image.shape) for frame in found} == {(np.dtype(np.uint8), images[0].shape)}
    if name.startswith("ffv1"):  # without loss
        assert np.array_equal(np.stack([frame.image for frame in found]), images)
    for place, frame in enumerate(found):
        assert np.abs(images.astype(int) - frame.image).mean((1, 2, 3)).argmin() == place


def test_frames_are_turned_as_they_are_displayed(tmp_path):
    """By a quarter to the right, as QuickTime's matrix says: x' = -y, y' = x."""
    path = encode(tmp_path / "a.mp4", frames(2), **LOSSY)
    (upright, _), _ = read(path)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    (turned, _), _ = read(path)
    assert np.array_equal(turned.image, np.rot90(upright.image, -1))


def damaged(path, place, length=60):
    data = bytearray(path.read_bytes())
    data[place : place + length] = bytes(length)
    path.write_bytes(data)
    return path


def test_a_damaged_frame_is_named_and_the_others_are_read(tmp_path):
    path = encode(tmp_path / "a.mov", frames(9), codec="mjpeg", pixels="yuvj420p")
    starts = [i for i in range(path.stat().st_size) if path.read_bytes()[i : i + 3] == b"\xff\xd8\xff"]
    found, _ = read(damaged(path, starts[4], 200))
    assert [place for place, frame in enumerate(found) if frame.problem] == [4]
    assert found[4].problem.reason == "frame 4 is damaged" and len(found) == 9


def test_what_the_decoder_makes_up_is_no_frame(tmp_path):
    """MPEG-4 conceals damage; the frame counts as damaged, and only once."""
    path = encode(tmp_path / "a.mp4", frames(9, 64, 96), **LOSSY)
    found, _ = read(damaged(path, path.read_bytes().index(b"mdat") + 300))
    assert [place for place, frame in enumerate(found) if frame.problem] == [0] and len(found) == 9


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.mp4"])
def test_a_video_that_was_cut_short_says_so_and_a_whole_one_does_not(tmp_path, name):
    images = np.random.default_rng(0).integers(0, 256, (9, 64, 96, 3), dtype=np.uint8)
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = encode(tmp_path / name, images, codec="mjpeg", pixels="yuvj420p", **options)
    assert not any(frame.problem for frame in read(path)[0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found, _ = read(path)
    assert 0 < sum(frame.problem is None for frame in found) < 9
    assert found[-1].problem.reason == "cut short: the file ends before the video does"


def test_what_is_appended_to_a_video_or_has_no_declared_size_is_no_cut(tmp_path):
    path = encode(tmp_path / "a.mkv", frames(3), live="1")
    assert len(read(path)[0]) == 3
    path = encode(tmp_path / "a.avi", frames(3))
    path.write_bytes(path.read_bytes() + bytes(1000))
    assert len(read(path)[0]) == 3


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"
REFUSED = {
    "playlist": (PLAYLIST, "not a video; MP4"),
    "playlist that calls itself a video": (b"\0\0\0\x18ftypisom" + PLAYLIST, "damaged or cut short"),
    "archive": (b"PK\x03\x04" + bytes(100), "not a video; MP4"),
    "concat": (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video; MP4"),
    "empty": (b"", "empty file"),
    "head alone": (b"\x1a\x45\xdf\xa3" + bytes(50), "damaged or cut short"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_video_is_refused(tmp_path, name):
    content, why = REFUSED[name]
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=why) as refused:
        read(path)
    assert str(refused.value.path) == str(path) and "\n" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://localhost/a.mp4", "concat:a.mp4|b.mp4", "pipe:0", "a.mp4"])
def test_only_files_are_opened(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read(url)


def test_pipes_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="not a regular file"):
        read(tmp_path / "a.mp4")


def test_a_video_without_frames_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no frame|damaged or cut short"):
        read(encode(tmp_path / "a.avi", frames(1)[:0], **LOSSY))
    path = encode(tmp_path / "a.mkv", frames(1))
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"\x1f\x43\xb6\x75")])  # before the first cluster
    with pytest.raises(InputError, match=r"holds no frame|damaged or cut short"):
        read(path)


def test_sound_alone_is_no_video(tmp_path):
    with av.open(tmp_path / "a.mkv", "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="holds no video stream"):
        read(tmp_path / "a.mkv")


def test_large_frames_are_refused_before_they_are_decoded(tmp_path):
    path = encode(tmp_path / "a.mkv", frames(2))
    with pytest.raises(InputError, match=r"frames of 24x16 pixels are too many: 0\.000383 Mpx are allowed"):
        read(path, max_pixels=24 * 16 - 1)
    assert len(read(path, max_pixels=24 * 16)[0]) == 2


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(path):
        tracemalloc.start()
        with open_video(path) as (opened, _):
            for _ in opened:
                pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    short, long = (encode(tmp_path / f"{count}.mkv", frames(count, 64, 64)) for count in (20, 500))
    peak(short)
    assert peak(long) < peak(short) + 2 * 64 * 64 * 3


def test_what_is_written_can_be_read(tmp_path):
    images = frames(6, 33, 47)
    with video_writer(tmp_path / "new" / "a.webm") as write:
        for image in images:
            write(image)
        write(np.full((10, 12, 3), 200, np.uint8))  # of another size: scaled
    found, rate = read(tmp_path / "new" / "a.webm")
    assert rate == 25 and [frame.image.shape for frame in found] == [images[0].shape] * 7
    assert np.abs(found[3].image.astype(int) - images[3]).mean() < 30
    assert abs(found[6].image.mean() - 200) < 5


def test_an_unfinished_video_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), video_writer(tmp_path / "a.webm") as write:
        write(frames(1)[0])
        raise KeyError
    with video_writer(tmp_path / "b.webm"):
        pass
    assert not [*tmp_path.iterdir()]


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path):
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, allowed[1]))
    try:
        with pytest.raises(OutputError, match=r"a\.webm: file too large"), video_writer(tmp_path / "a.webm") as write:
            for image in np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8):
                write(image)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
        signal.signal(signal.SIGXFSZ, before)
    assert not [*tmp_path.iterdir()]


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r'pip install "sweepseg\[video\]"'):
        read(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("start", "container"),
    [
        (b"\0\0\0\x20ftypisom", "mov"),
        (b"\0\0\0\x08wide\0\0", "mov"),
        (b"\x1a\x45\xdf\xa3\x01", "matroska"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (b"G" + bytes(15), None),
    ],
)
def test_containers_are_told_by_their_content(start, container):
    assert container_of(start) == container
