"""Freed memory stays with the process, seen from the outside."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, torch
from sweepseg.training.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
kept = torch.ones(1)
before = resident()
big = torch.ones(1 << 26)
del big
print(resident() - before > 1 << 27)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("mode", "stays"), [("keep", "True"), ("default", "False")])
def test_freed_memory_stays(mode, stays):
    program = [sys.executable, "-c", PROGRAM, mode]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip() == stays
