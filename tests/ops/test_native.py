"""Finding and loading the compiled kernels."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sweepseg import ops
from sweepseg.ops import _native

KERNELS = Path(_native.__file__).parent / "kernels"


def test_kernels_are_used_where_they_were_built():
    assert (_native.problem is None) == (KERNELS / f"kernels-{_native.variant()}.so").is_file()
    tables = [sys.modules[f"sweepseg.ops.{name}"].BACKENDS for name in ops.__all__ if name.endswith("_scan")]
    problems = {backend.problem for table in tables for name, backend in table.items() if name == "cpu"}
    assert problems == {_native.problem}


@pytest.mark.parametrize(
    ("machine", "capability", "variant"),
    [
        ("x86_64", "AVX512", "x86-64-v4"),
        ("x86_64", "AVX2", "x86-64-v3"),
        ("AMD64", "DEFAULT", "x86-64"),
        ("aarch64", "SVE256", "aarch64"),
        ("arm64", "DEFAULT", "arm64"),
    ],
)
def test_instruction_set_of_the_machine(monkeypatch, machine, capability, variant):
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    assert _native.variant() == variant


def test_every_instruction_set_computes_the_same():
    """The part of the contract that depends on it, on the instruction sets that torch does not choose here."""
    arguments = ["-m", "pytest", "-q", "-x", str(Path(__file__).parent), "-k", "cpu-cpu-float or large_maps"]
    runs = {
        capability: subprocess.Popen([sys.executable, *arguments], env=os.environ | {"ATEN_CPU_CAPABILITY": capability})
        for capability in ("avx2", "default")
    }
    assert {capability: run.wait() for capability, run in runs.items()} == dict.fromkeys(runs, 0)


def test_missing_library(tmp_path):
    library, problem = _native.load(tmp_path / "kernels-z80.so")
    assert library is None
    assert problem == "built without kernels-z80.so; install a wheel, or a C++ compiler and then sweepseg again"


def test_damaged_library(tmp_path):
    path = tmp_path / "kernels-z80.so"
    path.write_bytes(b"no library")
    library, problem = _native.load(path)
    assert library is None
    assert "kernels-z80.so cannot be loaded" in problem and "\n" not in problem


@pytest.mark.parametrize("problem", [None, "built without kernels"])
def test_missing_function(monkeypatch, problem):
    monkeypatch.setattr(_native, "library", None if problem else object())
    monkeypatch.setattr(_native, "problem", problem)
    assert _native.function("sweepseg_magic") is None
    assert (problem or "they lack sweepseg_magic; install sweepseg again") in _native.problem_with("sweepseg_magic")


def test_denormal_numbers_survive():
    """Loading a library that was built with -ffast-math makes the whole process flush them to zero."""
    assert torch.full((64,), 1e-40).mul(0.5).min() > 0
