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
    """Give ``name`` its autograd formula, and ``<name>_backward`` the one that refuses.

    ``torch.library.register_autograd`` does the same but doubles the time of a call.

    Args:
        name: Of an operation that returns several tensors; ``<name>_backward`` may return a list.
        backward: (ctx, gradients of the results) -> gradients of the arguments.
        keep: (ctx, arguments, results) -> None; saves what ``backward`` needs.
    """
    _library.impl(name, _recorder(name, backward, keep), "Autograd")
    _library.impl(f"{name}_backward", _recorder(f"{name}_backward", _no_second_derivative, lambda *_: None), "Autograd")


def _recorder(name: str, derivative: Callable[..., Any], keep: Callable[..., None]) -> Callable[..., Any]:
    """The operation as one that autograd records wherever gradients are wanted at all."""
    operation = getattr(torch.ops.sweepseg, name).default
    results = list if operation._schema.returns[0].type.kind() == "ListType" else tuple

    class Formula(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> tuple:
            with torch._C._AutoDispatchBelowAutograd():
                output = tuple(operation(*inputs))
            keep(ctx, inputs, output)
            return output

        backward = staticmethod(derivative)

    def record(*inputs: Any) -> Any:
        if torch.is_grad_enabled():
            return results(Formula.apply(*inputs))
        with torch._C._AutoDispatchBelowAutograd():
            return operation(*inputs)

    return record


def _no_second_derivative(*_: object) -> None:
    raise RuntimeError(
        "the compiled kernels have first derivatives only; run inside `with sweepseg.ops.use_backend('reference')`"
    )
