"""The MinGRU recurrence on GPUs."""

from .._triton import ChannelwiseLaunches
from ._cpu import SCAN, scan

__all__ = ["scan"]

ChannelwiseLaunches(SCAN, __package__)
