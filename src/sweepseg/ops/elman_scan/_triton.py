"""The Elman recurrence on GPUs."""

from .._triton import RecurrenceLaunches
from ._cpu import SCANS, scan

__all__ = ["scan"]

for _nonlinearity, _scan in SCANS.items():
    RecurrenceLaunches(_scan, __package__, gates=1, variant=f"_{_nonlinearity}")
