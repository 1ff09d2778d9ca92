"""Compiled functions as torch operations."""

from collections.abc import Callable
from typing import Any

import torch

_library = torch.library.Library("sweepseg", "FRAGMENT")


def define(name: str, schema: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """The operation ``torch.ops.sweepseg.<name>``, run on the CPU by ``kernel``; ``fake`` makes its results unwritten.

    A kernel must take tensors of any strides: those that come need not be the ones that torch.compile saw.
    """
    _library.define(name + schema)
    _library.impl(name, kernel, "CPU")
    torch.library.register_fake(f"sweepseg::{name}", fake, lib=_library)
    return getattr(torch.ops.sweepseg, name).default


def make_differentiable(name: str, backward: Callable[..., Any], keep: Callable[..., None]) -> None:
    """Give ``name`` its autograd formula, and ``<name>_backward`` the one that refuses."""
    torch.library.register_autograd(f"sweepseg::{name}", backward, setup_context=keep, lib=_library)
    torch.library.register_autograd(f"sweepseg::{name}_backward", _no_second_derivative, lib=_library)


def _no_second_derivative(*_: object) -> None:
    raise RuntimeError(
        "the compiled kernels have first derivatives only; run inside `with sweepseg.ops.use_backend('reference')`"
    )
