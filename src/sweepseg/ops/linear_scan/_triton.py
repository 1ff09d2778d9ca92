"""The linear recurrence on GPUs."""

from types import ModuleType

from .._triton import ChannelwiseLaunches
from ._cpu import _linear_scan, scan

__all__ = ["scan"]


def _cell() -> ModuleType:
    from . import _triton_kernels

    return _triton_kernels


ChannelwiseLaunches(_linear_scan, _cell)
