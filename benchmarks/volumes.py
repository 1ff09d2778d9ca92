"""Train `sweepnet_volume_small`, its control and MONAI's U-Net on MSD Hippocampus, every fifth volume held out.

python benchmarks/volumes.py HIPPOCAMPUS --seeds 0 1 2 --results docs/results/volumes.csv --runs runs/volumes

Every finished run is a row of the results file; runs that have a row are skipped and a run that was stopped is
continued, so the series survives interruptions. Run it with OMP_NUM_THREADS=1 in a process for each --model. Each row:
Dice of one pooled confusion matrix over the volumes held out, class by class and the mean of those that are not the
background; last checkpoint, nothing chosen on them. All three have the settings of the recipe. MONAI's U-Net is left
out with a line where MONAI is not installed. The CPU time, of all threads together, is that since the last start.
"""

import argparse
import time
from pathlib import Path

import torch
from by_recipe import train
from rows import add, has

import sweepseg
from sweepseg.compare import BUILDERS
from sweepseg.errors import UsageError
from sweepseg.layers.blocks import count_parameters
from sweepseg.tasks import task_for
from sweepseg.tasks.evaluation import evaluate
from sweepseg.training.allocator import keep_freed_memory

MODELS = ("sweepnet_volume_small", "sweepnet_volume_small_control", "monai_unet_volume")
HOLD_OUT = "1/5"
COLUMNS = ["model", "hold_out", "seed", "steps", "parameters", "threads", "cpu_minutes", "mean_dice", "dice"]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path, default=Path("docs/results/volumes.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/volumes"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", dest="models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    options = parser.parse_args()
    keep_freed_memory()
    for model in options.models:
        try:
            BUILDERS[model](2)
        except UsageError as error:
            print(f"{model} is left out: {error}")
            continue
        for seed in options.seeds:
            if not has(options.results, {"model": model, "seed": seed}):
                row = run(options.data, model, seed, options.runs, options.steps)
                add(options.results, [row], COLUMNS)


def run(data: Path, model: str, seed: int, runs: Path, steps: int | None) -> dict:
    """Train one model and measure it; continue where an earlier attempt stopped."""
    started = time.process_time()
    output = runs / f"{model}-{seed}"
    settings = {"data": str(data), "model": model, "seed": seed, "steps": steps, "hold_out": HOLD_OUT}
    trained = train("msd_hippocampus.yaml", output, builders=BUILDERS, **settings)
    dataset = sweepseg.open_dataset(data).hold_out(HOLD_OUT)
    config = trained.model.config
    task = task_for(config)
    dice = evaluate(trained.model, dataset, "val", task, in_channels=len(config.mean))["dice"]
    return {
        "model": model,
        "hold_out": HOLD_OUT,
        "seed": seed,
        "steps": trained.steps,
        "parameters": count_parameters(trained.model),
        "threads": torch.get_num_threads(),
        "cpu_minutes": round((time.process_time() - started) / 60, 1),
        "mean_dice": round(dice[1:].mean().item(), 4),
        "dice": " ".join(f"{name} {score:.4f}" for name, score in zip(config.classes, dice.tolist(), strict=True)),
    }


if __name__ == "__main__":
    main()
