"""Translate every Triton kernel for a GPU that need not be there: what the interpreter takes, the compiler may not.

A script for a process without TRITON_INTERPRET. It runs the cases of the contract on tensors in the CPU's memory and
compiles instead of launching, in a few seconds as far as Triton's own intermediate code. With ``--all`` it goes on to
machine code, in a minute or two, and lists what each kernel takes of registers and memory.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import CUDABackend

kernels: dict[str, Callable[..., Any]] = {}  # of the operations on GPUs
implement = torch.library.Library.impl


def remember(library: Any, name: str, kernel: Callable[..., Any], key: str = "", **options: Any) -> None:
    if key == "CUDA":
        kernels[name] = kernel
    implement(library, name, kernel, key, **options)


torch.library.Library.impl = remember

from ops import (  # noqa: E402
    contract,
    test_elman_scan,
    test_gla_scan,
    test_gru_scan,
    test_line_scan,
    test_linear_scan,
    test_lstm_scan,
    test_md_lstm_scan,
    test_min_gru_scan,
    test_min_lstm_scan,
    test_mlstm_scan,
    test_selective_scan,
)

from sweepseg.ops._dispatch import Backend  # noqa: E402
from sweepseg.ops._operation import replace_kernel  # noqa: E402

CASES = (
    *(test_linear_scan.CASE, test_min_gru_scan.CASE, test_min_lstm_scan.CASE),
    *(test_elman_scan.TANH, test_elman_scan.RELU, test_lstm_scan.MASKED),
    *(test_gru_scan.AFTER, test_gru_scan.BEFORE),
    *(test_selective_scan.SKIP, test_line_scan.CASE, test_mlstm_scan.CASE, test_gla_scan.CASE),
    *(test_md_lstm_scan.RIGHT, test_md_lstm_scan.LEFT),
)


class Hopper:
    """What triton asks of a driver before it launches."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


class TranslatedError(Exception):
    """Raised where the compiler would go on from Triton's intermediate code."""


def stop(*_: object) -> None:
    raise TranslatedError


def stop_early(backend: Any, stages: dict[str, Any], *others: Any, add_stages=CUDABackend.add_stages) -> None:
    add_stages(backend, stages, *others)
    stages["llir"] = stop


def usage(cubin: bytes) -> str:
    """Registers and stack, in the words of NVIDIA's tool."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with TemporaryDirectory() as folder:
        (Path(folder) / "kernel.cubin").write_bytes(cubin)
        command = [tool, "-res-usage", Path(folder) / "kernel.cubin"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]


def compile_only(kernel: Any, grid: tuple[int, ...]) -> Callable[..., None]:
    def launch(*arguments: Any, **options: Any) -> None:
        start = perf_counter()
        try:
            compiled = kernel.run(*arguments, grid=grid, warmup=True, **options)
        except TranslatedError:
            return
        if perf_counter() - start > 0.1:  # not one that is there already
            name = f"{kernel.__module__.split('.')[-2]}.{kernel.__name__}"
            used = f"{compiled.metadata.shared} bytes shared, {usage(compiled.asm['cubin'])}"
            print(f"{name:30}{perf_counter() - start:6.1f} s, {used}", flush=True)

    return launch


def main(*, to_machine_code: bool) -> None:
    Backend.refusal = lambda *_: None
    for name, kernel in kernels.items():
        replace_kernel(name, kernel)
    triton.runtime.driver.set_active(Hopper())
    triton.runtime.jit.JITFunction.__getitem__ = compile_only
    if not to_machine_code:
        CUDABackend.add_stages = stop_early
    for case in CASES:
        subject = contract.Subject(case, "triton", "cpu")
        inputs = subject.inputs((2, 3), 5, torch.float32)
        contract.evaluate(subject.run, inputs)
        del inputs["initial"]
        contract.evaluate(partial(subject.run, reverse=True), inputs)


if __name__ == "__main__":
    main(to_machine_code="--all" in sys.argv)
