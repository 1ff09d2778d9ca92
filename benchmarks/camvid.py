"""Train `sweepnet_small` and its control on CamVid, on the published split and leaving one sequence out.

python benchmarks/camvid.py CAMVID --results docs/results/camvid.csv --runs runs/camvid

Every finished run is a row of the results file; runs that have a row are skipped and a run that was stopped is
continued, so the series survives interruptions. Two of these with OMP_NUM_THREADS=1, one for each --model, use two
cores better than one with two threads. Each row: mIoU of one pooled matrix, last checkpoint, nothing chosen on val or
test. The CPU time, of all threads together, is that since the last start.
"""

import argparse
import time
from pathlib import Path

import torch
from by_recipe import train
from rows import add, has

import sweepseg
from sweepseg.layers.blocks import count_parameters
from sweepseg.tasks import task_for
from sweepseg.tasks.evaluation import evaluate
from sweepseg.training.allocator import keep_freed_memory

MODELS = ("sweepnet_small", "sweepnet_small_control")
SPLITS = (None, "0001TP", "0006R0", "0016E5")  # None: the published val; else the training sequence that is left out
COLUMNS = ["model", "hold_out", "seed", "steps", "parameters", "threads", "cpu_minutes", "mean_iou", "global_accuracy"]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path, default=Path("docs/results/camvid.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/camvid"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", dest="models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--hold-out", dest="splits", nargs="+", choices=SPLITS[1:], default=SPLITS)
    parser.add_argument("--epochs", type=float, help="instead of the recipe's")
    options = parser.parse_args()
    keep_freed_memory()
    for seed in options.seeds:
        for hold_out in options.splits:
            for model in options.models:
                key = {"model": model, "hold_out": hold_out or "", "seed": seed}
                if not has(options.results, key):
                    row = run(options.data, model, hold_out, seed, options.runs, options.epochs)
                    add(options.results, [row], COLUMNS)


def run(data: Path, model: str, hold_out: str | None, seed: int, runs: Path, epochs: float | None) -> dict:
    """Train one model and measure it; continue where an earlier attempt stopped."""
    started = time.process_time()
    output = runs / f"{model}-{hold_out or 'val'}-{seed}"
    settings = {"data": str(data), "model": model, "hold_out": hold_out, "seed": seed, "epochs": epochs}
    trained = train("camvid.yaml", output, **settings)
    dataset = sweepseg.open_dataset(data)
    dataset = dataset if hold_out is None else dataset.hold_out(hold_out)
    config = trained.model.config
    task = task_for(config)
    scores = evaluate(trained.model, dataset, "val", task, in_channels=len(config.mean))
    return {
        "model": model,
        "hold_out": hold_out or "",
        "seed": seed,
        "steps": trained.steps,
        "parameters": count_parameters(trained.model),
        "threads": torch.get_num_threads(),
        "cpu_minutes": round((time.process_time() - started) / 60, 1),
        "mean_iou": round(scores["mean_iou"].item(), 4),
        "global_accuracy": round(scores["global_accuracy"].item(), 4),
    }


if __name__ == "__main__":
    main()
