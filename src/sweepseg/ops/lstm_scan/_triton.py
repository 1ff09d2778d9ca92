"""The long short-term memory on GPUs."""

from typing import Any

from .._triton import RecurrenceLaunches
from ._cpu import _lstm, scan

__all__ = ["scan"]


def _cell() -> tuple[Any, Any]:
    from . import _triton_kernels

    return _triton_kernels.step, _triton_kernels.slopes


RecurrenceLaunches(_lstm, _cell, gates=4)
