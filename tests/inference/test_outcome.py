"""What the numbers of inputs mean for the exit code."""

from pathlib import Path

import pytest

from sweepseg.errors import InputError
from sweepseg.inference.outcome import Predicted


@pytest.mark.parametrize(
    ("done", "skipped", "failed", "code"), [(0, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 3), (0, 1, 1, 3), (0, 0, 1, 4)]
)
def test_exit_code(done, skipped, failed, code):
    error = InputError("a.png", "damaged")
    assert Predicted([Path("a")] * done, [Path("b")] * skipped, [error] * failed).exit_code == code
