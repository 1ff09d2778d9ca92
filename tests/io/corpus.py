"""Makes the image files that the tests read, good ones and bad ones, from a fixed seed.

Rows are those of the project's list of faults: 1-36 are about one image file.
"""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (40, 48), np.uint8)
RGB = rng.integers(0, 256, (40, 48, 3), np.uint8)
DEEP_GREY = rng.integers(0, 65536, (40, 48), np.uint16)
DEEP_RGB = rng.integers(0, 65536, (40, 48, 3), np.uint16)
SMOOTH = np.stack(np.broadcast_arrays(np.arange(48), np.arange(0, 160, 4)[:, None], 90), 2).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, color: int, raw: bytes, *, interlace: int = 0, extra: bytes = b"") -> bytes:
    """A PNG by hand; ``raw`` has a filter byte before each row."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(raw, 9))
        + chunk(b"IEND", b"")
    )


def deep_png(pixels: np.ndarray, kinds: list[int], *, extra: bytes = b"") -> bytes:
    """A 16-bit PNG of (H, W, C) whose rows use these filters in turn, written straight from the PNG specification."""
    height, width, channels = pixels.shape
    size = 2 * channels
    data = pixels.astype(">u2").view(np.uint8).reshape(height, width * size).astype(int)
    rows = []
    for y in range(height):
        kind = kinds[y % len(kinds)]
        row = [kind]
        for i in range(width * size):
            a = data[y, i - size] if i >= size else 0
            b = data[y - 1, i] if y else 0
            c = data[y - 1, i - size] if y and i >= size else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row.append((data[y, i] - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
        rows.append(bytes(int(value) for value in row))
    return png(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], b"".join(rows), extra=extra)


def tiff(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **({"photometric": "minisblack"} | options))
    return buffer.getvalue()


def five(pixels: np.ndarray) -> bytes:
    """A TIFF of five channels, pixel by pixel."""
    return tiff(pixels, planarconfig="contig")


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def first_directory(data: bytes, *, next_directory: int | None = None) -> bytes:
    """A little-endian TIFF whose first directory is followed by the given offset (by itself if None)."""
    (start,) = struct.unpack("<I", data[4:8])
    (entries,) = struct.unpack("<H", data[start : start + 2])
    end = start + 2 + 12 * entries
    return data[:end] + struct.pack("<I", start if next_directory is None else next_directory) + data[end + 4 :]


@dataclass(frozen=True)
class Refused:
    """A bad file, a pattern of the reason, and its good twin, which is read."""

    row: str
    name: str
    bad: bytes
    reason: str
    good: bytes


@dataclass(frozen=True)
class Accepted:
    """A file, its pixels as (H, W, C), how far they may be off on average, and a pattern of what is logged."""

    row: str
    name: str
    data: bytes
    pixels: np.ndarray
    tolerance: float = 0
    log: str | None = None


def refused() -> list[Refused]:
    good_png, good_jpeg, good_tiff = encoded(RGB, "PNG"), encoded(RGB, "JPEG"), encoded(RGB, "TIFF")
    packed_tiff = encoded(RGB, "TIFF", compression="tiff_deflate")
    deep = deep_png(DEEP_RGB, [4])
    first, *others = Image.fromarray(RGB), Image.fromarray(SMOOTH)
    gif, apng, webp, two_pages = (
        encoded(first, format, save_all=True, append_images=others) for format in ("GIF", "PNG", "WEBP", "TIFF")
    )
    lines = bytes(1 + 48 * 3) * 40
    nan, inf = np.ones((40, 48), np.float32), np.ones((40, 48, 5), np.float32)
    nan[7, 11], inf[3, 2, 4] = np.nan, np.inf
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(80_000_000), 9))
    return [
        Refused("1", "x.png", b"", "^empty file$", good_png),
        Refused("2", "x.png", good_png[: len(good_png) // 2], "truncated", good_png),
        Refused("2-deep", "x.png", deep[: len(deep) // 2], "cannot be read", deep),
        Refused("3", "x.jpg", good_jpeg[: len(good_jpeg) // 2], "truncated", good_jpeg),
        Refused("4", "x.tif", good_tiff[: len(good_tiff) // 2], "cut short", good_tiff),
        Refused("4-packed", "x.tif", packed_tiff[: len(packed_tiff) // 2], "cannot be read|cut short", packed_tiff),
        Refused("5", "x.png", good_png[:20], "cannot be read", good_png),
        Refused("5-tiff", "x.tif", good_tiff[:6], "cannot be read", good_tiff),
        Refused("6", "x.png", flipped(good_png, len(good_png) // 2), "broken|cannot be read", good_png),
        Refused("6-deep", "x.png", flipped(deep, len(deep) // 2), "cannot be read", deep),
        Refused("8", "x.png", b"just some text in a file", "^not an image; PNG", good_png),
        Refused("10", "x.png", encoded(RGB, "EPS"), "^not an image", good_png),
        Refused("11-svg", "x.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "^not an image", good_png),
        Refused("11-html", "x.png", b"<!doctype html><html></html>", "^not an image", good_png),
        Refused("14", "x.png", png(1, 1, 16, 2, bytes(7), interlace=1), "without interlacing", deep),
        Refused("23", "x.png", png(0, 40, 8, 2, bytes(40)), "not identified|no image", good_png),
        Refused("25-gif", "x.gif", gif, "GIF", good_png),
        Refused("25-apng", "x.png", apng, "2 frames", good_png),
        Refused("25-webp", "x.webp", webp, "2 frames", encoded(RGB, "WEBP")),
        Refused("26", "x.tif", two_pages, "2 pages", good_tiff),
        Refused("27", "x.tif", tiff(nan), r"non-finite .*\(7, 11\)", tiff(np.nan_to_num(nan))),
        Refused("27-five", "x.tif", five(inf), r"non-finite .*\(3, 2\)", five(np.ones_like(inf))),
        Refused("28-float64", "x.tif", tiff(np.ones((4, 5))), "float64", tiff(np.ones((4, 5), np.float32))),
        Refused("28-int32", "x.tif", tiff(np.full((4, 5), -1, np.int32)), "int32", tiff(np.ones((4, 5), np.uint16))),
        Refused("30", "x.png", png(60000, 60000, 1, 0, bytes(100)), r"3600 Mpx > limit of", good_png),
        Refused("31", "x.png", png(12000, 12000, 1, 0, bytes(1501 * 12000)), "144 Mpx > limit of 89.48 Mpx", good_png),
        Refused("32", "x.png", png(9000, 9000, 8, 2, b""), "cannot hold 9000x9000", png(48, 40, 8, 2, lines)),
        Refused("32-jpeg", "x.jpg", _forged_jpeg(good_jpeg), "cannot hold 9000x9000", good_jpeg),
        Refused("33", "x.png", png(48, 40, 8, 2, lines, extra=text), "too large", png(48, 40, 8, 2, lines)),
    ]


def _forged_jpeg(data: bytes) -> bytes:
    """The same with 9000x9000 pixels in its frame header."""
    size = data.index(b"\xff\xc0") + 5
    return data[:size] + struct.pack(">HH", 9000, 9000) + data[size + 4 :]


def accepted() -> list[Accepted]:
    palette = Image.fromarray(GREY % 7, "P")
    palette.putpalette(RGB[0, :7].tobytes())
    one_bit = Image.fromarray(GREY > 128)
    alpha = np.dstack([RGB, GREY])
    cmyk = Image.fromarray(SMOOTH).convert("CMYK")
    overviews = io.BytesIO()
    with tifffile.TiffWriter(overviews) as writer:
        writer.write(DEEP_RGB, photometric="rgb")
        writer.write(DEEP_RGB[::2, ::2], photometric="rgb", subfiletype=1)
    broken = b"II*\0\xff\xff\xff\xff" + bytes(60_000)
    grey = GREY[..., None]
    deep4 = np.dstack([DEEP_RGB, DEEP_GREY])
    files = [
        Accepted("9", "x.png", encoded(RGB, "PNG"), RGB, log=None),
        Accepted("9-jpeg-as-png", "x.png", encoded(SMOOTH, "JPEG", quality=95), SMOOTH, 3, "JPEG file"),
        Accepted("9-bmp", "x.bmp", encoded(RGB, "BMP"), RGB),
        Accepted("9-webp", "x.webp", encoded(RGB, "WEBP", lossless=True), RGB),
        Accepted("9-tiff", "x.tiff", encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
        Accepted("7", "x.jpg", flipped(encoded(SMOOTH, "JPEG"), -8), SMOOTH, 255),
        Accepted("12", "x.png", encoded(RGB, "PNG") + b"PK\x03\x04" + bytes(100), RGB),
        Accepted("13", "x.png", encoded(DEEP_GREY, "PNG"), DEEP_GREY[..., None]),
        Accepted("13-tiff", "x.tif", encoded(DEEP_GREY, "TIFF"), DEEP_GREY[..., None]),
        Accepted("13-big-endian", "x.tif", tiff(DEEP_GREY, byteorder=">"), DEEP_GREY[..., None]),
        Accepted("13-white-is-0", "x.tif", tiff(DEEP_GREY, photometric="miniswhite"), 65535 - DEEP_GREY[..., None]),
        Accepted("14-tiff", "x.tif", tiff(DEEP_RGB, photometric="rgb"), DEEP_RGB),
        Accepted("14-planar", "x.tif", tiff(np.moveaxis(DEEP_RGB, 2, 0), photometric="rgb"), DEEP_RGB),
        Accepted("15", "x.tif", tiff(deep4, photometric="rgb", extrasamples=["unassalpha"]), DEEP_RGB, log="alpha"),
        Accepted("15-infrared", "x.tif", tiff(deep4, photometric="rgb", extrasamples=["unspecified"]), deep4),
        Accepted("15-png", "x.png", deep_png(deep4, [0, 1, 2, 3, 4]), DEEP_RGB, log="alpha"),
        Accepted("16", "x.jpg", encoded(cmyk, "JPEG", quality=95), SMOOTH, 3),
        Accepted("17-rgba", "x.png", encoded(alpha, "PNG"), RGB, log="alpha"),
        Accepted("17-opaque", "x.png", encoded(np.dstack([RGB, np.full_like(GREY, 255)]), "PNG"), RGB),
        Accepted("17-la", "x.png", encoded(np.dstack([GREY, GREY]), "PNG"), grey, log="alpha"),
        Accepted("18", "x.png", encoded(palette, "PNG"), RGB[0, :7][GREY % 7]),
        Accepted("20", "x.png", encoded(one_bit, "PNG"), np.where(grey > 128, 255, 0).astype(np.uint8)),
        Accepted("26-overviews", "x.tif", overviews.getvalue(), DEEP_RGB),
        Accepted("27-finite", "x.tif", tiff(GREY.astype(np.float32)), grey.astype(np.float32)),
        Accepted("28-five", "x.tif", five(np.dstack([deep4, DEEP_GREY])), np.dstack([deep4, DEEP_GREY])),
        Accepted("29", "x.tif", first_directory(encoded(RGB, "TIFF")), RGB),
        Accepted("35-icc", "x.png", encoded(RGB, "PNG", icc_profile=b"no profile at all" * 1000), RGB),
        Accepted("35-exif", "x.png", encoded(RGB, "PNG", exif=b"Exif\0\0no header at all"), RGB),
        Accepted("35-exif-jpeg", "x.jpg", encoded(SMOOTH, "JPEG", quality=95, exif=b"Exif\0\0" + broken), SMOOTH, 3),
    ]
    for row, value in (("36-black", 0), ("36-white", 255), ("36-constant", 77)):
        pixels = np.full((9, 9, 1), value, np.uint8)
        files.append(Accepted(row, "x.png", encoded(pixels[..., 0], "PNG"), pixels))
    for height, width in ((1, 1), (1, 9), (9, 1), (2, 3), (97, 131), (10, 100_000), (100_000, 10)):
        pixels = rng.integers(0, 256, (height, width, 1), np.uint8)
        files.append(Accepted(f"21-{height}x{width}", "x.png", encoded(pixels[..., 0], "PNG"), pixels))
    return files
