"""The Elman recurrence on GPUs."""

from .._triton import RecurrenceLaunches
from ._cpu import _scans, scan

__all__ = ["scan"]

for _nonlinearity, _scan in _scans.items():
    RecurrenceLaunches(_scan, __package__, gates=1, variant=f"_{_nonlinearity}")
