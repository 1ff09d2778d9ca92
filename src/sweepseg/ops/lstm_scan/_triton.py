"""The long short-term memory on GPUs."""

from .._triton import RecurrenceLaunches
from ._cpu import _lstm, scan

__all__ = ["scan"]

RecurrenceLaunches(_lstm, __package__, gates=4)
