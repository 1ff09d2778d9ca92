"""The gated recurrent unit on GPUs."""

from typing import Any

from .._triton import RecurrenceLaunches
from ._cpu import _reset_after, _reset_before, scan

__all__ = ["scan"]


def _after() -> tuple[Any, Any]:
    from . import _triton_kernels

    return _triton_kernels.step_reset_after, _triton_kernels.slopes_reset_after


def _before() -> tuple[Any, Any]:
    from . import _triton_kernels

    return _triton_kernels.step_reset_before, _triton_kernels.slopes_reset_before


RecurrenceLaunches(_reset_after, _after, gates=3, resets="after")
RecurrenceLaunches(_reset_before, _before, gates=3, resets="before")
