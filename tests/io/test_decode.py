import logging
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, ImageOps
from processes import PRINT_PEAK

from sweepseg.errors import InputError
from sweepseg.io.images import read_image

from .corpus import DEEP_RGB, GREY, RGB, accepted, chunk, deep_png, encoded, exif, refused, tiff

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on damage that we refuse or mend


@pytest.mark.parametrize("case", refused(), ids=lambda case: case.row)
def test_bad_file_is_refused_with_a_reason_and_its_good_twin_is_read(case, tmp_path):
    path = tmp_path / case.name
    path.write_bytes(case.good)
    assert read_image(path).size
    path.write_bytes(case.bad)
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert re.search(case.reason, caught.value.reason), caught.value.reason
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).isprintable()


@pytest.mark.parametrize("case", accepted(), ids=lambda case: case.row)
def test_readable_file_gives_its_pixels(case, tmp_path, caplog):
    path = tmp_path / case.name
    path.write_bytes(case.data)
    started = time.monotonic()
    pixels = read_image(path)
    assert time.monotonic() - started < 2
    assert pixels.dtype == case.pixels.dtype and pixels.dtype.isnative
    assert pixels.shape == case.pixels.shape
    assert abs(pixels.astype(float) - case.pixels).mean() <= case.tolerance
    logged = " ".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert re.search(case.log, logged) if case.log else not logged


STORED = {  # EXIF orientation -> how to store an upright image so that it is displayed upright
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("kind", ["8-bit PNG", "16-bit PNG", "8-bit TIFF", "16-bit TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_24_every_exif_orientation_gives_the_displayed_frame(orientation, kind, tmp_path):
    upright = (RGB if kind.startswith("8") else DEEP_RGB)[:5, :7]
    stored = np.ascontiguousarray(STORED[orientation](upright))
    if stored.dtype == np.uint8:
        reference = Image.fromarray(stored)
        reference.getexif()[274] = orientation
        assert np.array_equal(ImageOps.exif_transpose(reference), upright)  # Pillow agrees with the table above
    path = tmp_path / "x"
    path.write_bytes(
        {
            "8-bit PNG": lambda: encoded(stored, "PNG", exif=exif(orientation)),
            "16-bit PNG": lambda: deep_png(stored, [4], extra=chunk(b"eXIf", exif(orientation).tobytes()[6:])),
            "8-bit TIFF": lambda: encoded(stored, "TIFF", exif=exif(orientation)),
            "16-bit TIFF": lambda: tiff(stored, photometric="rgb", extratags=[(274, 3, 1, orientation, True)]),
        }[kind]()
    )
    assert np.array_equal(read_image(path), upright)


def test_random_damage_lets_no_other_error_escape(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "x"
    samples = [case.data for case in accepted() if len(case.data) < 20_000]
    outcomes = {"read": 0, "refused": 0}
    for _ in range(400):
        data = bytearray(samples[rng.integers(len(samples))])
        for position in rng.integers(0, len(data), rng.integers(1, 8)):
            data[position if rng.random() < 0.5 else position % 64 % len(data)] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data)
        try:
            read_image(path)
            outcomes["read"] += 1
        except InputError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 20  # the damage is neither harmless nor hopeless


CHILD = """
import resource, sys, warnings
import numpy
warnings.simplefilter("ignore")
from sweepseg.errors import InputError
from sweepseg.io.images import read_image
"""


def in_child(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", CHILD + code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_32_header_that_claims_too_much_costs_no_memory(tmp_path):
    (case,) = [case for case in refused() if case.row == "32"]
    (tmp_path / "x.png").write_bytes(case.bad)
    code = f"""
try:
    read_image(sys.argv[1])
except InputError:
    {PRINT_PEAK}
"""
    assert int(in_child(code, tmp_path / "x.png")) < 300_000  # kB


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_63_failed_allocation_refuses_the_one_image(suffix, tmp_path):
    Image.new("RGB", (6000, 6000)).save(tmp_path / f"x.{suffix}", compression="tiff_deflate")
    (tmp_path / "small.png").write_bytes(encoded(RGB, "PNG"))
    code = """
read_image(sys.argv[2])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
try:
    read_image(sys.argv[1])
except InputError as error:
    print(error.reason)
print(read_image(sys.argv[2]).shape)
"""
    output = in_child(code, tmp_path / f"x.{suffix}", tmp_path / "small.png")
    assert output.splitlines() == ["too large for memory", "(40, 48, 3)"]


def test_10_no_program_is_started_whatever_the_file(tmp_path):
    for case in refused():
        (tmp_path / f"{case.row}-{case.name}").write_bytes(case.bad)
    code = """
import pathlib
events = []
sys.addaudithook(lambda event, _: events.append(event))
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        read_image(path)
    except InputError:
        pass
bad = ("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.", "pickle.", "ctypes.")
print(events.count("open"), sorted({event for event in events if event.startswith(bad)}))
import subprocess
subprocess.run(["true"])
print("subprocess.Popen" in events)
"""
    opened, rest = in_child(code, tmp_path).split(maxsplit=1)
    assert int(opened) >= len(refused())
    assert rest == "[]\nTrue"  # the last line shows that the hook would have seen it


def test_a_limit_of_the_caller_holds_in_both_directions(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded(GREY, "PNG"))
    assert read_image(tmp_path / "x.png", max_pixels=GREY.size).shape == (40, 48, 1)
    with pytest.raises(InputError, match="limit"):
        read_image(tmp_path / "x.png", max_pixels=GREY.size - 1)


def test_pixels_above_pillows_own_limit_are_read_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    (tmp_path / "x.png").write_bytes(encoded(GREY, "PNG"))
    assert read_image(tmp_path / "x.png").size == GREY.size
