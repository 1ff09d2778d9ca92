"""The IDX files of MNIST and its relatives: one array of bytes behind a header, often compressed by gzip.

Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits, "File formats".
"""

import gzip
import math
import os
import zlib
from functools import lru_cache

import numpy as np

from ..errors import InputError
from .files import open_regular

MAX_BYTES = 1 << 32
MAGIC = b"\0\0\x08"  # the last byte is the type of the values, unsigned bytes; other types are not in use


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of a file, uint8 of any number of dimensions; it is read once and shared, so it cannot be written to.

    Raises:
        InputError: The file cannot be read, is no IDX file of bytes, or is shorter or longer than its header says.
    """
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
    return _read(os.fspath(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read(path: str, changed: int, size: int) -> np.ndarray:
    try:
        with open_regular(path) as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if compressed else raw as file:
                magic, dimensions = file.read(3), file.read(1)
                if magic != MAGIC or dimensions in (b"", b"\0"):
                    raise InputError(path, "not an IDX file of bytes, which begins with 00 00 08")
                shape = [int.from_bytes(file.read(4), "big") for _ in range(dimensions[0])]
                wanted = math.prod(shape)
                if wanted > MAX_BYTES:
                    raise InputError(path, f"its header announces {wanted} bytes; at most {MAX_BYTES} are read")
                data = file.read(wanted + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(path, f"damaged: {error}") from None
    if len(data) != wanted:
        fault = f"ends after {len(data)} of" if len(data) < wanted else "holds more than"
        raise InputError(path, f"{fault} the {wanted} bytes that its header announces")
    return np.frombuffer(data, np.uint8).reshape(shape)
