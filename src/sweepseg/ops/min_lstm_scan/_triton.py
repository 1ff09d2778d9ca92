"""The MinLSTM recurrence on GPUs."""

from .._triton import ChannelwiseLaunches
from ._cpu import _min_lstm_scan, scan

__all__ = ["scan"]

ChannelwiseLaunches(_min_lstm_scan, __package__)
