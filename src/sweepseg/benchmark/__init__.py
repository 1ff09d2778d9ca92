"""Speed and memory of kernels and models on this machine, beside what else does the same and beside its limits."""

from . import kernels, models

SUITES = {"kernels": kernels.cases, "models": models.cases}

__all__ = ["SUITES"]
