"""Compiles native/ into the package when a wheel or an editable installation is built."""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Kernels(BuildHookInterface):
    """Puts the compiled kernels into src/sweepseg/ops/kernels and names the platform in the wheel's tag.

    Without a C++ compiler the wheel is pure: all of sweepseg works then, on its slower reference path, and
    `sweepseg doctor` says so. A compiler that fails ends the build.
    """

    def initialize(self, version: str, build_data: dict) -> None:
        """Build and install the libraries."""
        if not any(map(shutil.which, [os.environ.get("CXX", "c++"), "g++", "clang++"])):
            self.app.display_warning("no C++ compiler was found: sweepseg is built without its compiled kernels")
            return
        root = Path(self.root)
        build, target = root / "build" / "native", root / "src" / "sweepseg" / "ops" / "kernels"
        subprocess.run(["cmake", "--fresh", "-G", "Ninja", "-S", root / "native", "-B", build], check=True)
        subprocess.run(["cmake", "--build", build], check=True)
        subprocess.run(["cmake", "--install", build, "--prefix", target], check=True)
        build_data["artifacts"].append("src/sweepseg/ops/kernels/*.so")
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
