"""What Pillow does not do with PNG: read 16-bit colour at full depth, and write images that do not fit in memory."""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples a pixel


@dataclass(frozen=True)
class Header:
    """The image header chunk, which stands first in every PNG."""

    width: int
    height: int
    bits: int
    color: int
    compression: int
    filter: int
    interlace: int

    @classmethod
    def parse(cls, start: bytes) -> "Header":
        """Read the header from the first 29 bytes of a file."""
        return cls(*struct.unpack(">IIBBBBB", start[16:29]))

    @property
    def channels(self) -> int:
        """Samples a pixel."""
        return CHANNELS[self.color]


def decode16(data: bytes) -> np.ndarray:
    """Decode a 16-bit PNG of any colour type that is not interlaced.

    Args:
        data: The whole file.

    Returns:
        (H, W, C) uint16.

    Raises:
        ValueError: The file is damaged or interlaced.

    Source: ISO/IEC 15948 (PNG), clauses 7 and 9.
    """
    header = Header.parse(data)
    if header.interlace:
        raise ValueError("interlaced 16-bit colour is not read; save it without interlacing")
    stride = header.width * header.channels * 2
    packed = b"".join(body for kind, body in _chunks(data) if kind == b"IDAT")
    raw = zlib.decompressobj().decompress(packed, header.height * (stride + 1))
    if len(raw) < header.height * (stride + 1):
        raise ValueError("the image data ends early")
    rows = np.frombuffer(raw, np.uint8).reshape(header.height, stride + 1)
    filtered = rows[:, 1:].reshape(header.height, header.width, header.channels * 2)
    return _unfilter(filtered, rows[:, 0]).view(">u2").astype(np.uint16)  # (H, W, C)


def chunk_kinds(file: BinaryIO) -> Iterator[bytes]:
    """The types of all chunks, without reading what they hold."""
    file.seek(len(SIGNATURE))
    while len(start := file.read(8)) == 8:
        yield start[4:]
        file.seek(int.from_bytes(start[:4], "big") + 4, os.SEEK_CUR)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        body = data[position + 8 : end]
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[position + 4 : end])):
            raise ValueError("broken chunk: its checksum is wrong")
        yield data[position + 4 : position + 8], body
        position = end + 4


def _unfilter(filtered: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Undo the row filters; each byte needs those left of, above and above left of it.

    All pixels of one anti-diagonal have these at the same moment, so one step does a whole anti-diagonal.

    Args:
        filtered: (H, W, bytes of one pixel) uint8.
        kinds: (H,) uint8, the filter of each row.
    """
    height, width, _ = filtered.shape
    out = np.zeros((height + 1, width + 1, filtered.shape[2]), np.uint8)  # row and column 0 stand for the border
    for step in range(height + width - 1):
        row = np.arange(max(0, step - width + 1), min(height, step + 1))
        column = step - row
        left, above, corner = (
            out[r, c].astype(np.int16) for r, c in ((row + 1, column), (row, column + 1), (row, column))
        )
        to_left, to_above, to_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
        nearest = np.where(
            (to_left <= to_above) & (to_left <= to_corner), left, np.where(to_above <= to_corner, above, corner)
        )
        predicted = np.choose(kinds[row, None], [np.zeros_like(left), left, above, (left + above) // 2, nearest])
        out[row + 1, column + 1] = filtered[row, column] + predicted.astype(np.uint8)
    return np.ascontiguousarray(out[1:, 1:])


class Writer:
    """Writes an 8-bit PNG in bands of rows, from the top.

    Args:
        file: Where to.
        height: Rows.
        width: Columns.
        palette: Colours (red, green, blue) of up to 256 indices; without it rows are RGB.

    Source: ISO/IEC 15948 (PNG), clauses 5, 10 and 11.
    """

    def __init__(self, file: BinaryIO, height: int, width: int, palette: Sequence[tuple[int, int, int]] | None = None):
        self.file, self.deflate = file, zlib.compressobj()
        file.write(SIGNATURE)
        self._write(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3 if palette else 2, 0, 0, 0))
        if palette:
            self._write(b"PLTE", np.array(palette, np.uint8).tobytes())

    def write(self, rows: np.ndarray) -> None:
        """Append rows (h, W), or (h, W, 3), uint8."""
        for row in rows:
            self._write(b"IDAT", self.deflate.compress(b"\0" + row.tobytes()))  # filter 0

    def finish(self) -> None:
        """End the image after its last row."""
        self._write(b"IDAT", self.deflate.flush())
        self._write(b"IEND", b"")

    def _write(self, kind: bytes, body: bytes) -> None:
        if body or kind == b"IEND":
            self.file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
