"""Fixtures of the tests of the operations."""

from collections.abc import Iterator

import pytest
import torch

from sweepseg.ops._triton import INTERPRETED

collect_ignore = ["compile_kernels.py"]  # a script, which the search for doctests would import: it needs triton


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """Fill fresh memory with NaN, so that no kernel can read what it has not written and stay unnoticed."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(1).isnan().item()
    yield
    torch.use_deterministic_algorithms(False)


def prepare_the_interpreter_once() -> None:
    """Let functions that kernels call skip what the kernel did: exchange the language, nine tenths of all the time."""
    from triton.language.core import is_builtin
    from triton.runtime import interpreter

    def call(self, *arguments, **options):
        names = self.fn.__globals__
        if is_builtin((names.get("tl") or names["core"]).load):
            interpreter._patch_lang(self.fn)
        return self.rewrite()(*arguments, **options)

    interpreter.InterpretedFunction.__call__ = call


if INTERPRETED:
    prepare_the_interpreter_once()
