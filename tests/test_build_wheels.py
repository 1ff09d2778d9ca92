"""What a release uploads; tools/build_wheels.py makes it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import build_wheels
import pytest
from PIL import Image

import sweepseg
from sweepseg.data import nuclei_sample

ROOT = Path(__file__).parents[1]

KERNELS = {
    "x86_64": {"kernels-x86-64.so", "kernels-x86-64-v3.so", "kernels-x86-64-v4.so"},
    "aarch64": {"kernels-aarch64.so"},
}
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine, two bytes at 18


def faults_of_library(library):
    """What keeps a shared library from loading on an old system, one line each."""
    faults = [f"needs {name.decode()}" for name in re.findall(rb"lib(?:stdc\+\+|c\+\+|gcc_s|m)\.so[.\d]*", library)]
    versions = {(int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", library)}
    if not versions or max(versions) > (2, 17):
        faults.append(f"needs glibc {versions}, at most 2.17 is wanted")
    return faults


@pytest.mark.skipif(sys.platform != "linux", reason="the libraries of other systems have other formats")
def test_kernels_need_an_old_c_library_alone():
    for path in (Path(sweepseg.__file__).parent / "ops" / "kernels").glob("*.so"):
        assert faults_of_library(path.read_bytes()) == [], path.name


@pytest.mark.parametrize("fault", [b"\0libstdc++.so.6", b"\0libm.so.6", b"\0GLIBC_2.34", b"\0GLIBC_3.0"])
def test_faults_are_seen(fault):
    fine = b"\x7fELF \0libc.so.6\0GLIBC_2.2.5\0GLIBC_2.14"
    assert faults_of_library(fine) == []
    assert faults_of_library(fine + fault + b"\0")


@pytest.mark.parametrize("machine", build_wheels.TOOLCHAINS)
def test_environment_names_the_machine(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("CMAKE_TOOLCHAIN_FILE", "of somebody else")
    variables = build_wheels.build_environment(machine, tmp_path)
    words = [sys.executable, "-c", "import sysconfig; print(sysconfig.get_platform())"]
    shown = subprocess.run(words, env=variables, check=True, capture_output=True, text=True).stdout
    assert shown.strip() == f"linux-{machine}"
    assert variables["PATH"].split(os.pathsep)[0] == str(tmp_path)
    toolchain = variables.get("CMAKE_TOOLCHAIN_FILE")
    assert (toolchain is None) == (machine == "x86_64")
    if toolchain:
        assert (
            f"-target {machine}-linux-gnu.{build_wheels.POLICY[-4:].replace('_', '.')}" in Path(toolchain).read_text()
        )


def test_refuses_other_machines(monkeypatch, capsys):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    monkeypatch.setattr(sys, "argv", ["build_wheels.py"])
    with pytest.raises(SystemExit):
        build_wheels.main()
    assert "riscv64; run it on x86-64 Linux with g++ installed" in capsys.readouterr().err


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    output = tmp_path_factory.mktemp("release")
    subprocess.run([sys.executable, ROOT / "tools" / "build_wheels.py", "--output", output], check=True)
    return output


def wheel_for(release, machine):
    (path,) = release.glob(f"sweepseg-*-py3-none-*manylinux_2_17_{machine}*.whl")
    return path


@pytest.mark.slow
def test_release_is_complete(release):
    assert sorted(path.suffix for path in release.iterdir()) == [".gz", ".whl", ".whl"]


@pytest.mark.slow
@pytest.mark.parametrize("machine", KERNELS)
def test_contents_of_wheel(release, machine):
    wheel = ZipFile(wheel_for(release, machine))
    files = {name: wheel.read(name) for name in wheel.namelist()}
    libraries = {name.rpartition("/")[2]: data for name, data in files.items() if name.endswith(".so")}
    assert libraries.keys() == KERNELS[machine]
    for library in libraries.values():
        assert int.from_bytes(library[18:20], "little") == ELF_MACHINES[machine]
        assert faults_of_library(library) == []
    top = f"sweepseg-{sweepseg.__version__}.dist-info"
    assert {name.split("/")[0] for name in files} == {"sweepseg", top}
    suffixes = {Path(name).suffix for name in files}
    assert not suffixes & {".cpp", ".h", ".cmake", ".pyc", ".a", ".o"}
    assert files[f"{top}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    weights = "weights/nuclei-sweepnet_small"
    for folder, place in {"src/sweepseg": "sweepseg", weights: f"sweepseg/{weights}"}.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix not in (".so", ".pyc"):
                assert files[f"{place}/{path.relative_to(ROOT / folder).as_posix()}"] == path.read_bytes()


@pytest.mark.slow
def test_wheel_runs_without_a_compiler(release, tmp_path):
    place = tmp_path / "site"
    words = ["install", "--quiet", "--no-deps", "--no-index", "--target", place, wheel_for(release, "x86_64")]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    environment = {"PATH": "", "PYTHONPATH": str(place), "HOME": str(tmp_path)}

    def sweepseg(*words):
        code = "from sweepseg.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            env=environment,
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert "kernels: compiled for x86-64" in sweepseg("doctor")
    picture = nuclei_sample().splits["test"][0].image
    sweepseg("predict", str(picture), "--output", "masks", "--quiet")
    assert Image.open(tmp_path / "masks" / f"{Path(picture).stem}.png").getextrema() == (0, 1)
