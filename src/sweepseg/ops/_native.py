"""The compiled CPU kernels: one library per instruction set, loaded once for what torch finds on this machine."""

import ctypes
import platform
from pathlib import Path
from typing import Any

import torch

VARIANTS = {"AVX512": "x86-64-v4", "AVX2": "x86-64-v3"}  # torch.backends.cpu.get_cpu_capability() -> instruction set


def variant() -> str:
    """The instruction set to run on, in the words of the compiler."""
    machine = platform.machine()
    if machine not in ("x86_64", "AMD64"):
        return machine
    return VARIANTS.get(torch.backends.cpu.get_cpu_capability(), "x86-64")


def load(path: Path) -> tuple[ctypes.CDLL | None, str | None]:
    """The library, or None and why there is none, one line."""
    if not path.is_file():
        return None, f"built without {path.name}; install a wheel, or a C++ compiler and then sweepseg again"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return None, f"{path.name} cannot be loaded ({error}); install sweepseg again"
    library.sweepseg_use_threads(ctypes.CDLL(torch._C.__file__).torch_parallel_for)
    return library, None


def functions(name: str, *arguments: type) -> dict[torch.dtype, Any]:
    """For each dtype the library's function ``sweepseg_<name>_<dtype>``; see `function`.

    There is bfloat16 among them only where library and machine have what it takes.
    """
    dtypes = {torch.float32: "float", torch.float64: "double"}
    if multiplies_bfloat16() and hasattr(library, f"sweepseg_{name}_bfloat16"):
        dtypes[torch.bfloat16] = "bfloat16"
    return {dtype: function(f"sweepseg_{name}_{suffix}", *arguments) for dtype, suffix in dtypes.items()}


def function(name: str, *arguments: type) -> Any:
    """A function of the library that takes these ctypes and returns nothing; None if there is a `problem_with` it."""
    if library is None or problem_with(name) is not None:
        return None
    symbol = library[name]  # a new object, unlike an attribute: nobody else sets its types
    symbol.argtypes, symbol.restype = arguments, None
    return symbol


def multiplies_bfloat16() -> bool:
    """Whether the library is one for machines that may multiply bfloat16, and this one does."""
    probe = getattr(library, "sweepseg_multiplies_bfloat16", None)
    return probe is not None and bool(probe())


def problem_with(name: str) -> str | None:
    """Why there is no function of this name, and what to do, one line; None if there is one."""
    if library is None:
        return problem
    if not hasattr(library, name):
        return f"the compiled kernels are older than the Python code, they lack {name}; install sweepseg again"
    return None


library, problem = load(Path(__file__).parent / "kernels" / f"kernels-{variant()}.so")
