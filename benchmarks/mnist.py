"""Train the classifiers on MNIST and measure them on its test images.

python benchmarks/mnist.py MNIST --results docs/results/mnist.csv --runs runs/mnist

MNIST is a folder with the four IDX files. Every finished run is a row of the results file; runs that have a row are
skipped and a run that was stopped is continued, so the series survives interruptions. Each row: top-1 error of the last
checkpoint, in percent; all 60,000 training images are learned from and nothing is chosen on test images. The CPU time,
of all threads together, is that since the last start.
"""

import argparse
from pathlib import Path

from by_recipe import train_and_test
from rows import add, has

from sweepseg.training.allocator import keep_freed_memory

RECIPES = {
    "sweepnet_classifier": "mnist.yaml",
    "sweepnet_classifier_control": "mnist.yaml",
    "renet_classifier": "mnist.yaml",
    "renet_classifier_control": "mnist.yaml",
    "sequential_classifier": "mnist_sequential.yaml",
    "sequential_classifier_control": "mnist_sequential.yaml",
    "sequential_classifier_gru": "mnist_sequential.yaml",
    "sequential_classifier_gru_control": "mnist_sequential.yaml",
}
CHOSEN = ("sweepnet_classifier", "renet_classifier", "sequential_classifier")
COLUMNS = ["model", "seed", "steps", "parameters", "threads", "minutes", "cpu_minutes", "error"]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path, default=Path("docs/results/mnist.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/mnist"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", dest="models", nargs="+", choices=[*RECIPES], default=CHOSEN)
    parser.add_argument("--epochs", type=float, help="instead of the recipe's")
    options = parser.parse_args()
    keep_freed_memory()
    for seed in options.seeds:
        for model in options.models:
            if not has(options.results, {"model": model, "seed": seed}):
                row = run(options.data, model, seed, options.runs, options.epochs)
                add(options.results, [row], COLUMNS)


def run(data: Path, model: str, seed: int, runs: Path, epochs: float | None) -> dict:
    """Train one model and measure it; continue where an earlier attempt stopped."""
    facts, scores = train_and_test(
        RECIPES[model],
        runs / f"{model}-{seed}",
        data=str(data),
        task="classification",
        model=model,
        seed=seed,
        epochs=epochs,
    )
    return facts | {"error": round(100 * scores["error"].item(), 2)}


if __name__ == "__main__":
    main()
