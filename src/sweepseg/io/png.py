"""16-bit colour PNG at full depth; Pillow silently keeps 8 of the 16 bits."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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
