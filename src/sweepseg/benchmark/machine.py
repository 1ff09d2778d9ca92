"""The machine that was measured."""

import os
import platform
from pathlib import Path

import torch

from ..ops import _native


def describe() -> dict[str, str | int]:
    """Processor, cores, threads in use, torch release and the variant of the compiled kernels."""
    return {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "kernels": "none" if _native.problem else _native.variant(),
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The model's name, from Linux's list of processors where there is one."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
