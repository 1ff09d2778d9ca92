"""The gated recurrent unit on GPUs."""

from .._triton import RecurrenceLaunches
from ._cpu import _reset_after, _reset_before, scan

__all__ = ["scan"]

RecurrenceLaunches(_reset_after, __package__, gates=3, variant="_reset_after", resets="after")
RecurrenceLaunches(_reset_before, __package__, gates=3, variant="_reset_before", resets="before")
