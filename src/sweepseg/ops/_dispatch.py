"""The only place where a backend is picked: the ``backend`` argument, else `use_backend`, else the device."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Backend:
    """One implementation of an operation.

    Args:
        run: The implementation; all backends of an operation share one signature.
        devices: The torch device types it runs on; None means any.
    """

    run: Callable[..., Any]
    devices: tuple[str, ...] | None = None

    def runs_on(self, device: torch.device) -> bool:
        """Whether tensors on this device can be handed to it."""
        return self.devices is None or device.type in self.devices


_requested: str | None = None  # a plain variable, because torch.compile traces it and no ContextVar


@contextmanager
def use_backend(name: str | None) -> Iterator[None]:
    """Run every operation inside the ``with`` block on one backend, in all threads.

    Args:
        name: A key of the operations' ``BACKENDS``; None returns the choice to the device.
    """
    global _requested
    previous, _requested = _requested, name
    try:
        yield
    finally:
        _requested = previous


def choose(backends: Mapping[str, Backend], requested: str | None, device: torch.device) -> Callable[..., Any]:
    """The implementation to run.

    Args:
        backends: The operation's table, the preferred one first.
        requested: The caller's ``backend`` argument. None asks `use_backend`, then takes the first that runs.
        device: Where the tensors are.

    Raises:
        ValueError: The backend asked for does not exist or does not run on ``device``. Nothing is tried in its place.
    """
    name = requested or _requested
    if name is None:
        return next(backend.run for backend in backends.values() if backend.runs_on(device))
    if name not in backends:
        raise ValueError(f"backend {name!r} does not exist for this operation; choose one of {', '.join(backends)}")
    if not backends[name].runs_on(device):
        able = ", ".join(other for other, backend in backends.items() if backend.runs_on(device))
        raise ValueError(f"backend {name!r} does not run on {device}; move the tensors or choose one of {able}")
    return backends[name].run
