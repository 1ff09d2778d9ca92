"""Segmenting pictures that do not fit in memory: time, memory and agreement, each against the picture as a whole.

python benchmarks/streaming.py --results docs/results/streaming.csv --folder runs/streaming

Every case is a run of ``sweepseg predict`` in a process of its own, and a row of the results file; cases that have a
row are skipped, so the series survives interruptions. The pictures are made from those that come with sweepseg, turned
and darkened in an order of chance that is always the same, and stay in the folder. The peak is the greatest resident
size of the process (VmHWM), the CPU time that of all its threads. A machine that others use shows in the wall time;
ratios of CPU time hardly move.

``--cases speed`` takes minutes, ``memory`` and ``wide`` hours and some 13 GB on the disk.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.windows import Window
from rows import read, write

import sweepseg
from sweepseg.io import read_image

SIDE = 512  # rows and columns of the GeoTIFF's tiles
WHOLE = ["--memory", "1000GB"]
CASES = {
    # name: (height, width, options, the case that it is compared with)
    "speed": {
        "in memory": (4000, 4000, WHOLE, None),
        "in parts": (4000, 4000, ["--memory", "1GB"], "in memory"),
        "in parts, 600 MB": (4000, 4000, ["--memory", "600MB"], "in memory"),
        "tiles of 512, overlap 25 %": (4000, 4000, ["--tile", "512", "--overlap", "0.25"], "in memory"),
    },
    "memory": {
        "half the height": (10_000, 20_000, ["--memory", "600MB"], None),
        "20,000 x 20,000": (20_000, 20_000, ["--memory", "600MB"], "half the height"),
    },
    "wide": {"100,000 x 10,000": (10_000, 100_000, ["--memory", "1GB"], None)},
}
COLUMNS = [
    "case", "height", "width", "options", "threads", "seconds", "cpu_seconds", "cpu_seconds_per_megapixel", "peak_mb",
    "temporary_mb", "compared_with", "time_ratio", "cpu_ratio", "memory_ratio", "changed_labels",
]  # fmt: skip
CHILD = """
import json, sys, time
from sweepseg.cli import run
from sweepseg.inference import predict  # what is imported late would be measured

wall, cpu = time.perf_counter(), time.process_time()
code = run(sys.argv[1:])
seconds = time.perf_counter() - wall, time.process_time() - cpu
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([code, *seconds, int(status["VmHWM"].split()[0]) * 1024]))
"""


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("docs/results/streaming.csv"))
    parser.add_argument("--folder", type=Path, default=Path("runs/streaming"))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--side", type=int, help="of the pictures of the speed cases, instead of 4000")
    options = parser.parse_args()
    for group in options.cases:
        for name, (height, width, words, other) in CASES[group].items():
            if group == "speed" and options.side:
                height = width = options.side
            rows = {(row["case"], row["height"]): row for row in read(options.results)}
            if (name, str(height)) not in rows:
                compared = next((row for (case, _), row in reversed(rows.items()) if case == other), None)
                row = measure(name, height, width, words, compared, options.folder)
                write(options.results, [*read(options.results), row], COLUMNS)
    rows = read(options.results)
    shown = [COLUMNS, *([row[column] for column in COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for line in shown:
        print("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())


def measure(name: str, height: int, width: int, words: list[str], other: dict | None, folder: Path) -> dict:
    """Segment one picture in a process of its own."""
    picture = folder / f"{width}x{height}.tif"
    if not picture.exists():
        make(picture, height, width)
    output = folder / name.replace(" ", "-").replace(",", "")
    child = [sys.executable, "-c", CHILD, "predict", str(picture), "--output", str(output), *words]
    told = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    code, seconds, cpu, peak = json.loads(told)
    if code:
        raise SystemExit(f"{name}: sweepseg predict ended with {code}")
    report = json.loads((output / "report.jsonl").read_text())
    row = {
        "case": name,
        "height": height,
        "width": width,
        "options": " ".join(words),
        "threads": os.environ.get("OMP_NUM_THREADS", os.cpu_count()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "cpu_seconds_per_megapixel": round(cpu / (height * width / 1e6), 3),
        "peak_mb": round(peak / 1e6),
        "temporary_mb": round(report.get("temporary_bytes", 0) / 1e6),
    }
    if other:
        row |= {
            "compared_with": other["case"],
            "time_ratio": round(seconds / float(other["seconds"]), 2),
            "cpu_ratio": round(cpu / float(other["cpu_seconds"]), 2),
            "memory_ratio": round(peak / 1e6 / float(other["peak_mb"]), 3),
        }
        if (other["height"], other["width"]) == (str(height), str(width)):
            theirs = folder / other["case"].replace(" ", "-").replace(",", "")
            row["changed_labels"] = changed_labels(output / f"{picture.stem}.png", theirs / f"{picture.stem}.png")
    return row


def changed_labels(mask: Path, other: Path) -> float:
    """The share of pixels of which two masks say different classes."""
    Image.MAX_IMAGE_PIXELS = None
    return float(np.mean(np.asarray(Image.open(mask)) != np.asarray(Image.open(other))))


def make(path: Path, height: int, width: int) -> None:
    """Write a tiled, compressed GeoTIFF of the bundled pictures, one window at a time."""
    root = sweepseg.nuclei_sample().root / "images"
    pictures = [read_image(file) for file in sorted(root.rglob("*.png"))]
    pictures = [picture[:256, :256, :3] for picture in pictures if min(picture.shape[:2]) >= 256]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    layout = {"tiled": True, "blockxsize": SIDE, "blockysize": SIDE, "compress": "deflate", "interleave": "pixel"}
    size = {"height": height, "width": width, "count": 3, "dtype": "uint8"}
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)}
    with rasterio.open(unfinished, "w", driver="GTiff", bigtiff="if_safer", **size, **layout, **where) as file:
        for top in range(0, height, SIDE):
            for left in range(0, width, SIDE):
                block = np.empty((SIDE, SIDE, 3), np.uint8)
                for row, column in np.ndindex(SIDE // 256, SIDE // 256):
                    random = np.random.default_rng((top // 256 + row, left // 256 + column))
                    picture = pictures[random.integers(len(pictures))]
                    picture = np.rot90(picture, random.integers(4)) * random.uniform(0.7, 1.0)
                    block[row * 256 : row * 256 + 256, column * 256 : column * 256 + 256] = picture
                block = block[: height - top, : width - left]
                file.write(block.transpose(2, 0, 1), window=Window(left, top, block.shape[1], block.shape[0]))
    unfinished.rename(path)


if __name__ == "__main__":
    main()
