"""The linear recurrence on GPUs."""

from .._triton import ChannelwiseLaunches
from ._cpu import _linear_scan, scan

__all__ = ["scan"]

ChannelwiseLaunches(_linear_scan, __package__)
