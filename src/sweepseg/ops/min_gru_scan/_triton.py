"""The MinGRU recurrence on GPUs."""

from .._triton import ChannelwiseLaunches
from ._cpu import _min_gru_scan, scan

__all__ = ["scan"]

ChannelwiseLaunches(_min_gru_scan, __package__)
