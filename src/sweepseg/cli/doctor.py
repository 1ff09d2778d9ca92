"""What `sweepseg doctor` says."""

import importlib
import importlib.util
import os
import platform
from importlib.metadata import version

EXTRAS = {
    "matplotlib": "plots",
    "tensorboard": "tensorboard",
    "tifffile": "tiff",
    "av": "video",
    "nibabel": "volumes",
    "optuna": "tune",
    "captum": "explain",
}


def findings() -> list[str]:
    """One line for each fact about this machine and installation; a line that wants something done says what."""
    import torch

    lines = [
        f"sweepseg {version('sweepseg')}, Python {platform.python_version()}, torch {torch.__version__}",
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        f"GPU: {torch.cuda.get_device_name()}"
        if torch.cuda.is_available()
        else "GPU: none, everything runs on the CPU",
        _kernels(),
        _torchvision(),
    ]
    for module, extra in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            lines.append(f'{module} is not installed; for what needs it: pip install "sweepseg[{extra}]"')
    return lines


def _kernels() -> str:
    from ..ops import _native

    if _native.problem is None:
        return f"kernels: compiled for {_native.variant()}"
    return f"kernels: none, everything runs on the slower reference path in plain torch: {_native.problem}"


def _torchvision() -> str:
    if importlib.util.find_spec("torchvision") is None:
        return "torchvision: not installed, and not needed"
    try:
        torchvision = importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        return (
            f"torchvision: broken beside this torch ({error}), which also breaks lightning and torchmetrics; "
            "mend it: pip uninstall torchvision, or install the build that matches torch"
        )
    return f"torchvision: {torchvision.__version__}, works, and is not needed"
