"""A stream of a million rows: how far the mask lags behind, how much memory is taken, how fast it is.

python benchmarks/live.py --results docs/results/live.csv

`sweepnet_nano_causal` with untrained weights (they change neither time nor memory) on rows of chance of one channel.
The memory is the largest resident size of the process in each tenth of the rows. The rate is compared with that of the
same model on a picture of 4,096 of these rows in memory; both in processor time of one thread, so other work on the
machine shows little. A row of the results file is a finished run.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rows import add
from untrained import resident, untrained

import sweepseg

COLUMNS = [
    "model", "rows", "width", "strip", "look_ahead", "lag", "ms_per_row", "in_memory_ms_per_row", "rate_ratio",
    "mb_first_tenth", "mb_last_tenth", "mb_largest",
]  # fmt: skip
PICTURE = 4096  # rows of the picture in memory


def main() -> None:
    """Stream, print and append a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("docs/results/live.csv"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--strip", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    row = measure(options.rows, options.width, options.strip)
    add(options.results, [row], COLUMNS)


def measure(rows: int, width: int, strip: int) -> dict:
    """One stream and the picture that it is compared with."""
    name = "sweepnet_nano_causal"
    model = untrained(name, 2, 1)
    segmenter = sweepseg.StreamingSegmenter(model, strip=strip)
    random = np.random.default_rng(0)
    memory, seconds, lag, given = [], 0.0, 0, 0
    for part in range(10):
        memory.append(0.0)
        while segmenter.rows < rows * (part + 1) // 10:
            fresh = random.integers(0, 256, (strip, width), np.uint8)
            began = time.process_time()
            given += len(segmenter.push(fresh))
            seconds += time.process_time() - began
            lag = max(lag, segmenter.rows - given)
            memory[-1] = max(memory[-1], resident())
        print(f"{segmenter.rows} rows, {memory[-1]:.0f} MB, {1000 * seconds / segmenter.rows:.2f} ms a row", flush=True)
    streamed = seconds / segmenter.rows
    given += len(segmenter.finish())
    if given != segmenter.rows:
        raise SystemExit(f"{segmenter.rows} rows went in and {given} rows of the mask came out")
    whole = in_memory(model, width) / PICTURE
    return {
        "model": name,
        "rows": segmenter.rows,
        "width": width,
        "strip": strip,
        "look_ahead": segmenter.look_ahead,
        "lag": lag,
        "ms_per_row": round(1000 * streamed, 3),
        "in_memory_ms_per_row": round(1000 * whole, 3),
        "rate_ratio": round(whole / streamed, 2),
        "mb_first_tenth": round(memory[0], 1),
        "mb_last_tenth": round(memory[-1], 1),
        "mb_largest": round(max(memory), 1),
    }


def in_memory(model: torch.nn.Module, width: int) -> float:
    """Seconds of the processor for a picture in memory, the median of three."""
    image = torch.rand(1, 1, PICTURE, width).to(memory_format=torch.channels_last)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        with torch.inference_mode():
            model(image)
        seconds.append(time.process_time() - began)
    return sorted(seconds)[1]


if __name__ == "__main__":
    main()
