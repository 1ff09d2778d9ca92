"""Peak memory of a training step, as the operating system sees it."""

import ctypes
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

MMAP_THRESHOLD = -3  # name of an option of mallopt(3), from glibc's malloc.h

MISSING = None if Path("/proc/self/clear_refs").exists() else "peak memory is read from Linux's /proc"


def peak_bytes(builds: Iterable[Callable[[], Callable[[], object]]]) -> list[int]:
    """The most memory that steps take beyond what was there before, each in turn in one process of its own.

    A build makes the inputs and returns the step, and both must be picklable. The step runs once to fill the caches of
    torch and its libraries, freed memory goes back to the system, the kernel's record of the greatest resident size is
    reset, and the step runs again: the record minus the size before it counts whatever was allocated, by torch, by
    libraries and by kernels alike.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return [process.submit(_peak, build, torch.get_num_threads()).result() for build in builds]


def _peak(build: Callable[[], Callable[[], object]], threads: int) -> int:
    torch.set_num_threads(threads)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(MMAP_THRESHOLD, 1 << 16)  # larger blocks go back to the system at once
    step = build()
    step()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")
