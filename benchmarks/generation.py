"""Train the generators on MNIST in black and white and measure how likely they find its test images.

python benchmarks/generation.py MNIST --picture docs/generation.png

MNIST is a folder with the four IDX files. Every finished run is a row of the results file; runs that have a row are
skipped and a run that was stopped is continued, so the series survives interruptions. Each row: nats a test image of
the last checkpoint; all 60,000 training images are learned from and nothing is chosen on test images. Each pixel is
drawn once, by numpy's PCG64 of seed 0. The CPU time, of all threads together, is that since the last start.
"""

import argparse
from pathlib import Path

import numpy as np
from by_recipe import train_and_test
from rows import add, has

import sweepseg
from sweepseg.inference.generate import generate
from sweepseg.io.images import write_image
from sweepseg.models import GENERATORS
from sweepseg.models.segmenter import Segmenter
from sweepseg.training.allocator import keep_freed_memory

COLUMNS = ["model", "seed", "steps", "parameters", "threads", "minutes", "cpu_minutes", "nats"]
SIDE, DRAWN = 28, 10  # pixels of a picture, pictures a row of the figure


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path, default=Path("docs/results/generation.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/generation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", dest="models", nargs="+", choices=[*GENERATORS], default=[*GENERATORS])
    parser.add_argument("--epochs", type=float, help="instead of the recipe's")
    parser.add_argument("--picture", type=Path, help="where to draw samples of the models, a row each")
    options = parser.parse_args()
    keep_freed_memory()
    for seed in options.seeds:
        for model in options.models:
            if not has(options.results, {"model": model, "seed": seed}):
                row = run(options.data, model, seed, options.runs, options.epochs)
                add(options.results, [row], COLUMNS)
    if options.picture:
        models = [sweepseg.load(options.runs / f"{model}-{options.seeds[0]}") for model in options.models]
        write_image(options.picture, np.concatenate([shown(model) for model in models]))


def run(data: Path, model: str, seed: int, runs: Path, epochs: float | None) -> dict:
    """Train one model and measure it; continue where an earlier attempt stopped."""
    facts, scores = train_and_test(
        "mnist_generation.yaml",
        runs / f"{model}-{seed}",
        data=str(data),
        task="generation",
        model=model,
        seed=seed,
        epochs=epochs,
    )
    return facts | {"nats": round(scores["nats"].item(), 2)}


def shown(model: Segmenter) -> np.ndarray:
    """A row of samples of seed 0, twice as large, uint8 (2 SIDE, 2 DRAWN SIDE, 1)."""
    row = np.concatenate([*generate(model, DRAWN, size=(SIDE, SIDE))], axis=1)
    return row.repeat(2, axis=0).repeat(2, axis=1)


if __name__ == "__main__":
    main()
