"""Compiled functions as torch operations."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ._memory import needs_gradient

REMEDY = "run inside `with sweepseg.ops.use_backend('reference')`"

_library = torch.library.Library("sweepseg", "FRAGMENT")


class Operation:
    """``torch.ops.sweepseg.<name>``, run on the CPU by a function.

    A call does without torch's dispatcher where nobody but autograd could tell, which saves a third of its time.

    Args:
        name: Of the operation.
        kernel: What runs on the CPU.
    """

    def __init__(self, name: str, kernel: Callable[..., Any]):
        self.name, self.kernel = name, kernel
        self.registered = getattr(torch.ops.sweepseg, name).default
        self.formula: type[torch.autograd.Function] | None = None

    def __call__(self, *inputs: Any) -> Any:
        if not is_plain(inputs):
            return self.registered(*inputs)
        if differentiating_forward() and any(map(_has_tangent, inputs)):
            raise RuntimeError(f"the compiled kernels have no forward-mode derivatives; {REMEDY}")
        if self.formula is None or not needs_gradient(inputs):
            return self.kernel(*inputs)
        return self.formula.apply(*inputs)


_operations: dict[str, Operation] = {}


def define(name: str, schema: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> Operation:
    """The operation ``torch.ops.sweepseg.<name>``, run on the CPU by ``kernel``; ``fake`` makes its results unwritten.

    A kernel must take tensors of any strides: those that come need not be the ones that torch.compile saw.
    """
    _library.define(name + schema)
    _library.impl(name, kernel, "CPU")
    torch.library.register_fake(f"sweepseg::{name}", fake, lib=_library)
    _operations[name] = Operation(name, kernel)
    return _operations[name]


def replace_kernel(name: str, kernel: Callable[..., Any]) -> None:
    """Run the operation ``name`` on the CPU by another function."""
    with warnings.catch_warnings():  # of the one that it replaces
        warnings.simplefilter("ignore")
        _library.impl(name, kernel, "CPU", allow_override=True)
    if name in _operations:
        _operations[name].kernel = kernel


def make_differentiable(name: str, backward: Callable[..., Any], keep: Callable[..., None]) -> None:
    """Give ``name`` its autograd formula, and ``<name>_backward`` the one that refuses.

    ``torch.library.register_autograd`` does the same but doubles the time of a call.

    Args:
        name: Of an operation that returns several tensors; ``<name>_backward`` may return a list.
        backward: (ctx, gradients of the results) -> gradients of the arguments.
        keep: (ctx, arguments, results) -> None; saves what ``backward`` needs.
    """
    _differentiate(name, backward, keep)
    _differentiate(f"{name}_backward", no_second_derivative, lambda *_: None)


def _differentiate(name: str, derivative: Callable[..., Any], keep: Callable[..., None]) -> None:
    """Let autograd record the operation wherever gradients are wanted at all."""
    registered = getattr(torch.ops.sweepseg, name).default
    operation = _operations.get(name)  # None if it runs on GPUs alone
    results = list if registered._schema.returns[0].type.kind() == "ListType" else tuple

    class Formula(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> tuple:
            if operation is not None and is_plain(inputs):
                output = tuple(operation.kernel(*inputs))
            else:
                with torch._C._AutoDispatchBelowAutograd():
                    output = tuple(registered(*inputs))
            keep(ctx, inputs, output)
            return output

        backward = staticmethod(derivative)

    def record(*inputs: Any) -> Any:
        if torch.is_grad_enabled():
            return results(Formula.apply(*inputs))
        with torch._C._AutoDispatchBelowAutograd():
            return registered(*inputs)

    _library.impl(name, record, "Autograd")
    if operation is not None:
        operation.formula = Formula


def is_plain(inputs: tuple) -> bool:
    """Whether these are tensors with memory on the CPU and nobody traces, transforms, intercepts or profiles calls."""
    first = next(tensor for tensor in inputs if tensor is not None)
    return (
        not torch.compiler.is_compiling()
        and type(first) in (Tensor, torch.nn.Parameter)
        and first.is_cpu
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._get_tracing_state() is None
        and not torch._C._autograd._profiler_enabled()
    )


def differentiating_forward() -> bool:
    """Whether there may be tensors with forward-mode derivatives, which the kernels do not have."""
    return forward_ad._current_level >= 0


def _has_tangent(value: Any) -> bool:
    return isinstance(value, Tensor) and forward_ad.unpack_dual(value).tangent is not None


def no_second_derivative(*_: object) -> None:
    """Refuse to differentiate a gradient."""
    raise RuntimeError(f"the compiled kernels have first derivatives only; {REMEDY}")
