"""Sizes as people write them."""

import re

from ..errors import UsageError

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_bytes(text: str) -> int:
    """Bytes of "500MB", "4GB" or "1000000"; factors are powers of 1000.

    >>> parse_bytes("1.5GB")
    1500000000
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not match:
        raise UsageError(f"{text!r} is not an amount of memory; write it as 500MB or 4GB")
    return int(float(match[1]) * _FACTORS[match[2].upper()])
