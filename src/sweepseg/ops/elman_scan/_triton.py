"""The Elman recurrence on GPUs."""

from typing import Any

from .._triton import RecurrenceLaunches
from ._cpu import _scans, scan

__all__ = ["scan"]


def _tanh() -> tuple[Any, Any]:
    from . import _triton_kernels

    return _triton_kernels.step_tanh, _triton_kernels.slopes_tanh


def _relu() -> tuple[Any, Any]:
    from . import _triton_kernels

    return _triton_kernels.step_relu, _triton_kernels.slopes_relu


RecurrenceLaunches(_scans["tanh"], _tanh, gates=1)
RecurrenceLaunches(_scans["relu"], _relu, gates=1)
