"""IDX files against bytes written by hand after the format's description."""

import gzip

import pytest

from sweepseg.errors import InputError
from sweepseg.io.idx import read_idx

BYTES = b"\0\0\x08\x02" + b"\0\0\0\x02" + b"\0\0\0\x03" + bytes([1, 2, 3, 4, 5, 255])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_the_array(tmp_path, pack):
    path = tmp_path / "a-idx2-ubyte"
    path.write_bytes(pack(BYTES))
    assert read_idx(path).tolist() == [[1, 2, 3], [4, 5, 255]]
    assert read_idx(path) is read_idx(str(path))
    with pytest.raises(ValueError, match="read-only"):
        read_idx(path)[0] = 0


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(BYTES)
    read_idx(path)
    path.write_bytes(BYTES[:4] + b"\0\0\0\x01" + b"\0\0\0\x01" + b"\x07")
    assert read_idx(path).tolist() == [[7]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\x89PNG....", "not an IDX file of bytes"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "not an IDX file of bytes"),  # float32
        (b"\0\0\x08", "not an IDX file of bytes"),
        (BYTES[:-2], "ends after 4 of the 6 bytes"),
        (BYTES + b"\0", "holds more than the 6 bytes"),
        (gzip.compress(BYTES, mtime=0)[:-12], "damaged"),
        (b"\x1f\x8bjunk", "damaged"),
        (b"\0\0\x08\x02" + b"\xff" * 8, "its header announces 18446744065119617025 bytes"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_bad_files_are_refused(tmp_path, data, reason):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match=reason):
        read_idx(tmp_path / "a")
