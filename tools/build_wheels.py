"""Builds what a release uploads: the source distribution, and wheels for x86-64 and 64-bit ARM Linux.

    python tools/build_wheels.py --output dist

Runs on x86-64 Linux with g++ and the package index in reach; its other tools go into an environment of its own. g++
compiles the kernels for x86-64, Zig those for ARM (native/aarch64.cmake). auditwheel reads the symbols of every library
and names each wheel after the oldest C library that will do, which has to be that of manylinux_2_17.
"""

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ["auditwheel==6.8.2", "build==1.6.1", "cmake==4.4.4", "hatchling==1.33.0", "ninja==1.13.2", "ziglang==0.15.1"]
TOOLCHAINS = {"x86_64": None, "aarch64": ROOT / "native" / "aarch64.cmake"}  # None: the machine's own compiler
POLICY = "manylinux_2_17"
AUDIT = ["repair", "--only-plat", "--patcher", "none"]  # nothing to patch: the kernels need the C library alone


def build_environment(machine: str, tools: Path) -> dict[str, str]:
    """The variables under which a wheel for a machine is built with the programs in the folder ``tools``."""
    variables = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "_PYTHON_HOST_PLATFORM": f"linux-{machine}",  # what sysconfig.get_platform answers, so the wheel's tag
    }
    variables.pop("CMAKE_TOOLCHAIN_FILE", None)
    if toolchain := TOOLCHAINS[machine]:
        variables["CMAKE_TOOLCHAIN_FILE"] = str(toolchain)
    return variables


def build(output: Path) -> None:
    """Write the source distribution and the wheels into a folder.

    Everything is built from the source distribution, which holds nothing that an earlier build left in the checkout.

    Raises:
        subprocess.CalledProcessError: A step failed; it has said why.
        SystemExit: A wheel needs a newer C library than its name would say.
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        venv.create(work / "tools", with_pip=True)
        tools = work / "tools" / "bin"
        subprocess.run([tools / "python", "-m", "pip", "install", "--quiet", *TOOLS], check=True)
        package = [tools / "python", "-m", "build", "--no-isolation"]  # isolated, pip would fetch an ARM CMake for ARM
        subprocess.run([*package, "--sdist", "--outdir", work, ROOT], check=True)
        (sdist,) = work.glob("*.tar.gz")
        for machine in TOOLCHAINS:
            source, plain, named = (work / machine / name for name in ("source", "plain", "named"))
            shutil.unpack_archive(sdist, source, filter="data")
            variables = build_environment(machine, tools)
            subprocess.run([*package, "--wheel", "--outdir", plain, *source.iterdir()], env=variables, check=True)
            subprocess.run([tools / "auditwheel", *AUDIT, "--wheel-dir", named, *plain.iterdir()], check=True)
            (wheel,) = named.iterdir()
            if f"{POLICY}_{machine}" not in wheel.name:
                raise SystemExit(f"{wheel.name} does not run on {POLICY}; `auditwheel show` names the symbols")
            shutil.copy(wheel, output)
        shutil.copy(sdist, output)


def main() -> None:
    """Read the arguments, look whether this machine will do, and build."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the files (default: dist)")
    arguments = parser.parse_args()
    if (platform.system(), platform.machine()) != ("Linux", "x86_64") or shutil.which("g++") is None:
        parser.error(f"this is {platform.system()} on {platform.machine()}; run it on x86-64 Linux with g++ installed")
    build(arguments.output.resolve())


if __name__ == "__main__":
    main()
