"""The MinGRU recurrence on GPUs."""

from types import ModuleType

from .._triton import ChannelwiseLaunches
from ._cpu import _min_gru_scan, scan

__all__ = ["scan"]


def _cell() -> ModuleType:
    from . import _triton_kernels

    return _triton_kernels


ChannelwiseLaunches(_min_gru_scan, _cell)
