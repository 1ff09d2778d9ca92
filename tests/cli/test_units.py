import pytest

from sweepseg.cli.units import parse_bytes
from sweepseg.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500MB", 500_000_000),
        ("4GB", 4 * 10**9),
        ("1.5g", 1_500_000_000),
        (" 64 kB ", 64_000),
        ("1000", 1000),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes_as_people_write_them(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1GB", "4XB", "1,5GB", "GB", "1GB 2MB", "inf"])
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError, match="write it as 500MB or 4GB"):
        parse_bytes(text)
