"""Learning curves over shares of the labels, with and without the pictures whose labels are left out.

python benchmarks/few_labels.py NUCLEI --results docs/results/few_labels.csv --runs runs/few_labels

NUCLEI is made by tools/make_nuclei_training_set.py with --fifth; the bundled "nuclei" will do for a try. Trains by
recipes/few_labels.yaml, equally many steps with and without. A seed draws which pictures have labels, the same ones
for both, and those of a smaller share among those of a larger one. Each row: mIoU of one pooled matrix on the test
pictures, or on val where there are none, last checkpoint. To choose settings, --hold-out 1/5 measures on training
pictures instead. Runs that have a row are skipped and a run that was stopped is continued. The CPU time is that since
the last start.
"""

import argparse
import time
from pathlib import Path

from by_recipe import train
from rows import add, has

from sweepseg.data import open_by_name
from sweepseg.tasks import task_for
from sweepseg.tasks.evaluation import evaluate
from sweepseg.training.allocator import keep_freed_memory

SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
COLUMNS = ["data", "hold_out", "labels", "consistency", "seed", "steps", "cpu_minutes", "mean_iou"]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--results", type=Path, default=Path("docs/results/few_labels.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/few_labels"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", type=float, nargs="+", default=SHARES)
    parser.add_argument("--consistency", type=float, default=1.0)
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--hold-out")
    options = parser.parse_args()
    keep_freed_memory()
    for seed in options.seeds:
        for share in options.labels:
            for consistency in (0.0, options.consistency) if share < 1 else (0.0,):
                settings = {"labels": share, "consistency": consistency, "seed": seed, "hold_out": options.hold_out}
                key = settings | {"data": Path(options.data).name, "hold_out": options.hold_out or ""}
                if not has(options.results, key):
                    add(options.results, [key | run(options, settings)], COLUMNS)


def run(options: argparse.Namespace, settings: dict) -> dict:
    """Train one model and measure it."""
    started = time.process_time()
    values = (Path(options.data).name, *settings.values())
    name = "-".join(str(value).replace("/", "_") for value in values if value is not None)
    trained = train("few_labels.yaml", options.runs / name, data=options.data, steps=options.steps, **settings)
    dataset = open_by_name(options.data)
    if options.hold_out:
        dataset, split = dataset.hold_out(options.hold_out), "val"
    else:
        split = "test" if "test" in dataset.splits else "val"
    config = trained.model.config
    scores = evaluate(trained.model, dataset, split, task_for(config), in_channels=len(config.mean))
    return {
        "steps": trained.steps,
        "cpu_minutes": round((time.process_time() - started) / 60, 1),
        "mean_iou": round(scores["mean_iou"].item(), 4),
    }


if __name__ == "__main__":
    main()
