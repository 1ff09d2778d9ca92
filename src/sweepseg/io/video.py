"""Video files, read and written frame by frame through PyAV.

Only regular files of three kinds of containers are opened, each by its one demuxer, through a file that we opened: no
playlist, no protocol and no second file is within reach of FFmpeg.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from ..errors import InputError, OutputError, UsageError, printable
from .decode import refusing
from .files import open_regular, reason, replacing
from .picture import MAX_PIXELS

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FRAME_RATE = Fraction(25)  # of videos made of pictures


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        image: uint8 (H, W, 3), the rows and columns as displayed; None if it cannot be read.
        seconds: Since the beginning of the video; None where the file does not say.
        problem: Why there is no image.
    """

    image: np.ndarray | None
    seconds: float | None = None
    problem: InputError | None = None


def container_of(start: bytes) -> str | None:
    """FFmpeg's demuxer for a file that begins with these 16 bytes; None for what is no video that we read."""
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"  # MP4 too
    if start.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"  # WebM too
    if start.startswith(b"RIFF") and start[8:12] == b"AVI ":
        return "avi"
    return None


@contextlib.contextmanager
def open_video(
    path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS
) -> Iterator[tuple[Iterator[Frame], Fraction]]:
    """Open a video; memory does not grow with its length.

    Args:
        path: MP4, MOV, Matroska, WebM or AVI, a regular file.
        max_pixels: Larger frames are refused, before they are decoded.

    Yields:
        The frames of its first video stream in the order of display, a damaged one with its problem, and, if the file
        was cut short, one more that says so; and the frames a second.

    Raises:
        InputError: It cannot be opened, is no such file, or holds no frame.
        UsageError: PyAV is not installed.
    """
    av = _av()
    with open_regular(path) as file:
        format = container_of(file.read(16))
        if format is None:
            raise InputError(path, "not a video; MP4, MOV, MKV, WebM and AVI files are read")
        cut = _ends_early(file, format)
        file.seek(0)
        options = {"protocol_whitelist": "none", "format_whitelist": format}
        try:
            container = cast("InputContainer", av.open(file, format=format, container_options=options))
        except av.FFmpegError as error:
            raise InputError(path, f"damaged or cut short: {reason(error)}") from error
        with container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise InputError(path, "holds no video stream")
            codec = stream.codec_context
            if codec.width * codec.height > max_pixels:
                raise InputError(path, _too_large(codec.width, codec.height, max_pixels))
            codec.options = {"err_detect": "explode", "max_pixels": str(max_pixels)}
            codec.thread_count = 1  # so that a damaged packet is told at its place
            frames = _frames(path, container, stream, max_pixels)
            if cut:
                end = InputError(path, "cut short: the file ends before the video does")
                frames = chain(frames, [Frame(None, problem=end)])
            yield frames, stream.average_rate or FRAME_RATE


def _ends_early(file: BinaryIO, container: str) -> bool:
    """Whether the outermost boxes, elements or chunks of a file say that it should be longer."""
    end, length = 0, os.fstat(file.fileno()).st_size
    while end < length:
        file.seek(end)
        head = file.read(16)
        if container == "mov":
            size = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        elif container == "avi":
            size = 8 + int.from_bytes(head[4:8], "little") if head[:4] == b"RIFF" else 0
        else:
            size = _element_size(head)
        if size < 8:  # to the end of the file, or something else that is appended
            return False
        end += size
    return end > length


def _element_size(head: bytes) -> int:
    """Bytes of a Matroska element, its head included; 0 where that is left open. Source: RFC 8794, section 6."""
    id_length = 9 - head[0].bit_length()
    size = head[id_length : id_length + 8]
    if not size or not size[0]:
        return 0
    size = size[: 9 - size[0].bit_length()]
    value = int.from_bytes(size, "big") & ((1 << 7 * len(size)) - 1)
    return 0 if value == (1 << 7 * len(size)) - 1 else id_length + len(size) + value


def _frames(
    path: str | os.PathLike[str], container: "InputContainer", stream: "VideoStream", max_pixels: int
) -> Iterator[Frame]:
    av = _av()
    count = lost = 0  # frames so far; and packets that could not be decoded, whose frames may yet come, made up
    packets = container.demux(stream)
    going = True
    while going:
        decoded: list[VideoFrame] = []
        try:
            packet = next(packets, None)
            going = packet is not None
            decoded = packet.decode() if packet is not None else []
        except av.FFmpegError:
            lost += 1
        if lost and (decoded or not going) and not any(frame.is_corrupt for frame in decoded):
            for _ in range(lost):
                count += 1
                yield Frame(None, problem=InputError(path, f"frame {count - 1} is damaged"))
        lost = 0 if decoded else lost
        for frame in decoded:
            count += 1
            try:
                yield _displayed(path, frame, count - 1, max_pixels)
            except InputError as error:
                yield Frame(None, problem=error)
    if not count:
        raise InputError(path, "holds no frame")


def _too_large(width: int, height: int, max_pixels: int) -> str:
    return f"frames of {width}x{height} pixels are too many: {max_pixels / 1e6:.4g} Mpx are allowed"


def _displayed(path: str | os.PathLike[str], frame: "VideoFrame", number: int, max_pixels: int) -> Frame:
    if frame.is_corrupt:
        raise InputError(path, f"frame {number} is damaged")
    if frame.width * frame.height > max_pixels:
        raise InputError(path, _too_large(frame.width, frame.height, max_pixels))
    with refusing(path):
        pixels = frame.to_ndarray(format="rgb24")
    return Frame(np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90)), frame.time)  # as a phone was held


@contextlib.contextmanager
def video_writer(path: str | os.PathLike[str], rate: Fraction = FRAME_RATE) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a WebM video (VP9) that is whole or not there; hands out what takes its frames, uint8 (H, W, 3).

    The first frame gives the size; later ones of another size are scaled to it.

    Raises:
        OutputError: See `files.replacing`.
        UsageError: PyAV is not installed.
    """
    av = _av()
    with contextlib.ExitStack() as stack:
        streams: list[VideoStream] = []  # one, from the first frame on

        def begin(height: int, width: int) -> None:
            temporary = stack.enter_context(replacing(path))
            container = stack.enter_context(av.open(stack.enter_context(open(temporary, "xb")), "w", format="webm"))
            options = {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0"}
            stream = container.add_stream("libvpx-vp9", rate=rate, options=options)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            stack.callback(lambda: container.mux(stream.encode()))
            streams.append(stream)

        def write(image: np.ndarray) -> None:
            if not streams:
                begin(*image.shape[:2])
            (stream,) = streams
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
            cast("OutputContainer", stream.container).mux(stream.encode(frame))

        try:
            yield write
        except OSError as error:
            raise OutputError(f"{printable(path)}: {reason(error)}") from error


def _av():
    try:
        import av
    except ImportError:
        raise UsageError('video files are read and written by PyAV; pip install "sweepseg[video]"') from None
    return av
