"""Thin structures: vessels of DRIVE by Dice, cracks of CrackForest by F1 within 2 pixels, each beside its control.

python benchmarks/thin.py drive DRIVE --results docs/results/thin.csv --runs runs/thin
python benchmarks/thin.py crackforest CRACKFOREST

Trains by recipes/drive.yaml or recipes/crackforest.yaml. The threshold on the probability is the one that is best on
the training pictures; the scores are those of the test split, pooled over its pictures, at that threshold, without
averaging and with mirror images averaged (flip). F1 counts a predicted pixel as right within 2 pixels of a true one,
and a true pixel as found within 2 pixels of a predicted one. Runs that have a row are skipped.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from by_recipe import train
from rows import add, has
from torch import Tensor

import sweepseg
from sweepseg.data.pairs import read_pair
from sweepseg.inference.averaging import Averaged
from sweepseg.metrics import within
from sweepseg.training.allocator import keep_freed_memory

MODELS = ("sweepnet_small", "sweepnet_small_control")
TOLERANCE = 2.0  # pixels
THRESHOLDS = [i / 40 for i in range(4, 37)]
COLUMNS = ["data", "model", "seed", "steps", "flip", "score", "threshold", "value", "at_half", "cpu_minutes"]

Counts = tuple[float, float, float, float]  # right, predicted, found, true


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["drive", "crackforest"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path, default=Path("docs/results/thin.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/thin"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", dest="models", nargs="+", default=MODELS)
    options = parser.parse_args()
    keep_freed_memory()
    for seed in options.seeds:
        for model in options.models:
            key = {"data": options.name, "model": model, "seed": seed}
            if not has(options.results, key):
                add(options.results, [key | row for row in run(options, model, seed)], COLUMNS)


def run(options: argparse.Namespace, model: str, seed: int) -> list[dict]:
    """Train one model and measure it, with and without mirror images."""
    began = time.process_time()
    output = options.runs / f"{options.name}-{model}-{seed}"
    trained = train(f"{options.name}.yaml", output, data=str(options.data), model=model, seed=seed)
    minutes = round((time.process_time() - began) / 60, 1)
    dataset = sweepseg.open_dataset(options.data)
    score, count = ("dice", hits) if options.name == "drive" else ("f1 within 2 pixels", near_hits)
    rows = []
    for flip in (False, True):
        views = Averaged(trained.model, flip=flip)
        known, test = (probabilities(views, dataset, split) for split in ("train", "test"))
        best = max(THRESHOLDS, key=lambda threshold: f1(known, threshold, count))
        rows.append(
            {
                "steps": trained.steps,
                "flip": flip,
                "score": score,
                "threshold": best,
                "value": round(f1(test, best, count), 4),
                "at_half": round(f1(test, 0.5, count), 4),
                "cpu_minutes": minutes,
            }
        )
    return rows


def probabilities(model: Averaged, dataset: sweepseg.data.SegmentationSet, split: str) -> list[tuple[Tensor, Tensor]]:
    """The probability of the object and the target, both (1, H, W), of each picture."""
    found = []
    for sample in dataset.splits[split]:
        image, target = read_pair(dataset, sample, len(model.model.config.mean))
        with torch.inference_mode():
            logits = model(torch.from_numpy(image)[None])
        found.append((logits[:, 0].sigmoid(), torch.from_numpy(target)[None]))
    return found


def f1(pairs: list[tuple[Tensor, Tensor]], threshold: float, count: Callable[[Tensor, Tensor], Counts]) -> float:
    """2 P R / (P + R) of precision and recall pooled over pictures, where pixels that are ignored do not count."""
    counted = [count((p > threshold) & (target != 255), target == 1) for p, target in pairs]
    right, predicted, found, true = map(sum, zip(*counted, strict=True))
    precision, recall = right / max(predicted, 1), found / max(true, 1)
    return 2 * precision * recall / max(precision + recall, 1e-12)


def hits(mask: Tensor, true: Tensor) -> Counts:
    """Pixels that agree; then F1 is Dice."""
    right = (mask & true).sum().item()
    return right, mask.sum().item(), right, true.sum().item()


def near_hits(mask: Tensor, true: Tensor) -> Counts:
    """Pixels that agree within the tolerance."""
    right, found = (mask & within(TOLERANCE, true)).sum(), (true & within(TOLERANCE, mask)).sum()
    return right.item(), mask.sum().item(), found.item(), true.sum().item()


if __name__ == "__main__":
    main()
