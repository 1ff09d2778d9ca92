import subprocess
import sys

RESIDENT = """
import numpy as np
from sweepseg.inference.allocator import return_freed_memory

def resident():
    return int(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])

maps = [np.ones(5_000) for _ in range(2_000)]  # 40 kB each, which the C library does not ask the system for one by one
kept, full = maps[::2], resident()
del maps
freed = resident()
return_freed_memory()
print(full, freed, resident())
"""


def test_memory_that_lies_in_gaps_is_returned():
    full, freed, returned = map(
        int, subprocess.run([sys.executable, "-c", RESIDENT], check=True, capture_output=True, text=True).stdout.split()
    )
    assert freed > full - 10_000  # kB; without the call the gaps stay
    assert returned < full - 30_000
