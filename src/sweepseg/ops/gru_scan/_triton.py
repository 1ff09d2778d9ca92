"""The gated recurrent unit on GPUs."""

from .._triton import RecurrenceLaunches
from ._cpu import SCANS, scan

__all__ = ["scan"]

RecurrenceLaunches(SCANS[True], __package__, gates=3, variant="_reset_after", resets="after")
RecurrenceLaunches(SCANS[False], __package__, gates=3, variant="_reset_before", resets="before")
