"""The only place where a backend is picked: the ``backend`` argument, else `use_backend`, else the device."""

from collections.abc import Callable, Iterable, Iterator, Mapping
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
        problem: Why it cannot run on this machine, and what to do; None if it can.
        lacks: Names of the optional arguments that it does not handle.
    """

    run: Callable[..., Any]
    devices: tuple[str, ...] | None = None
    problem: str | None = None
    lacks: tuple[str, ...] = ()

    def can_run(self, device: str, options: Iterable[str] = ()) -> bool:
        """Whether it can run on tensors of this device type with these optional arguments."""
        if self.problem is not None or (self.devices is not None and device not in self.devices):
            return False
        return not options or not any(option in self.lacks for option in options)

    def refusal(self, device: torch.device, options: Iterable[str] = ()) -> str | None:
        """Why it cannot, and what to do; None if it can."""
        if self.can_run(device.type, options):
            return None
        if self.problem is not None:
            return f"is not available: {self.problem},"
        if self.devices is not None and device.type not in self.devices:
            return f"does not run on {device}; move the tensors"
        lacking = ", ".join(option for option in options if option in self.lacks)
        return f"does not handle {lacking}; leave it out"


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


def choose(
    backends: Mapping[str, Backend], requested: str | None, device: torch.device, options: Iterable[str] = ()
) -> Callable[..., Any]:
    """The implementation to run.

    Args:
        backends: The operation's table, the preferred one first.
        requested: The caller's ``backend`` argument. None asks `use_backend`, then takes the first that can run.
        device: Where the tensors are.
        options: Names of the optional arguments that are in use, of those that some backend lacks.

    Raises:
        ValueError: The backend asked for does not exist or cannot run. Nothing is tried in its place.
    """
    name = requested or _requested
    if name is None:
        return next(backend.run for backend in backends.values() if backend.can_run(device.type, options))
    if name not in backends:
        raise ValueError(f"backend {name!r} does not exist for this operation; choose one of {', '.join(backends)}")
    refusal = backends[name].refusal(device, options)
    if refusal is not None:
        able = ", ".join(other for other, backend in backends.items() if backend.can_run(device.type, options))
        raise ValueError(f"backend {name!r} {refusal} or choose one of {able}")
    return backends[name].run


def runs_compiled(backends: Mapping[str, Backend], device: torch.device) -> bool:
    """Whether `choose` takes the compiled kernels for an operation without options that they lack."""
    able = [name for name, backend in backends.items() if backend.can_run(device.type)]
    return "cpu" in able and (_requested or able[0]) == "cpu"
