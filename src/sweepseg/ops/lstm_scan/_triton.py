"""The long short-term memory on GPUs."""

from .._triton import RecurrenceLaunches
from ._cpu import SCAN, scan

__all__ = ["scan"]

RecurrenceLaunches(SCAN, __package__, gates=4)
