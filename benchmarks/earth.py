"""Is exact also right: train on the west half of a world picture, segment the east half whole and in tiles.

python benchmarks/earth.py EARTH --results docs/results/earth.csv --folder runs/earth

EARTH holds west_4096.jpg and east_4096.jpg (4096 x 4096 pixels each) and water_8192x4096.png (more than 127: water).
Training sees crops of the west cut into pieces. The east is segmented by the same weights as one picture in fixed
memory (`--memory 1GB`: exactly what the whole picture in memory gives) and in tiles of several sizes; each row says
how well that agrees with the map. Seeds and models that have rows are skipped.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rows import add, has

import sweepseg
from sweepseg.cli import run
from sweepseg.metrics import ConfusionMatrix

PIECE = 512  # rows and columns of the pieces that the west is cut into
WAYS = {
    "exact": ["--memory", "1GB"],
    "tiles of 256": ["--tile", "256", "--overlap", "0.25"],
    "tiles of 512": ["--tile", "512", "--overlap", "0.25"],
    "tiles of 1024": ["--tile", "1024", "--overlap", "0.25"],
}
COLUMNS = ["model", "seed", "steps", "crop", "way", "mean_iou", "iou_water", "cpu_seconds"]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path, default=Path("docs/results/earth.csv"))
    parser.add_argument("--folder", type=Path, default=Path("runs/earth"))
    parser.add_argument("--model", dest="models", nargs="+", default=["sweepnet_small", "sweepnet_small_control"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--crop", type=int, default=256)
    options = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = None
    water = np.asarray(Image.open(options.data / "water_8192x4096.png")) > 127
    cut(options.data / "west_4096.jpg", water[:, :4096], options.folder / "west")
    target = torch.from_numpy(water[:, 4096:].astype(np.uint8))
    for seed in options.seeds:
        for model in options.models:
            output = options.folder / f"{model}-{seed}"
            for way, words in WAYS.items():
                key = {"model": model, "seed": seed, "steps": options.steps, "crop": options.crop, "way": way}
                if has(options.results, key):
                    continue
                if not (output / "model.safetensors").exists():
                    train(options, model, seed, output)
                row = key | segment(options.data / "east_4096.jpg", output, words, target)
                add(options.results, [row], COLUMNS)


def cut(picture: Path, water: np.ndarray, folder: Path) -> None:
    """Write the pieces of a picture and its mask as a data set."""
    pixels = np.asarray(Image.open(picture))
    for kind in ("images", "masks"):
        (folder / kind / "train").mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("0 land\n1 water\n")
    for top, left in np.ndindex(pixels.shape[0] // PIECE, pixels.shape[1] // PIECE):
        rows, columns = (slice(start * PIECE, (start + 1) * PIECE) for start in (top, left))
        Image.fromarray(pixels[rows, columns]).save(folder / "images" / "train" / f"{top}_{left}.png")
        mask = water[rows, columns].astype(np.uint8)
        Image.fromarray(mask).save(folder / "masks" / "train" / f"{top}_{left}.png")


def train(options: argparse.Namespace, model: str, seed: int, output: Path) -> None:
    """Train one model on the west."""
    settings = sweepseg.Settings(
        data=str(options.folder / "west"),
        output=str(output),
        model=model,
        seed=seed,
        steps=options.steps,
        crop=(options.crop, options.crop),
        batch_size=4,
        scale=(0.7, 1.4),
        colour=0.2,
        ema=0.99,
        precision="bfloat16",
        resume=(output / "checkpoints").exists(),
    )
    sweepseg.train(settings, say=print)


def segment(picture: Path, model: Path, words: list[str], target: torch.Tensor) -> dict:
    """Segment a picture from the command line and compare its mask."""
    masks, began = model / "masks", time.process_time()
    code = run(["predict", str(picture), "--model", str(model), "--output", str(masks), "--quiet", *words])
    seconds = time.process_time() - began
    report = json.loads((masks / "report.jsonl").read_text())
    if code or (words[0] == "--memory") != (report["mode"] == "out of core"):
        raise SystemExit(f"predict {' '.join(words)} ended with {code}: {report}")
    metric = ConfusionMatrix(2)
    metric.update(torch.from_numpy(np.array(Image.open(masks / f"{picture.stem}.png")))[None], target[None])
    scores = metric.compute()
    return {
        "mean_iou": round(scores["mean_iou"].item(), 4),
        "iou_water": round(scores["iou"][1].item(), 4),
        "cpu_seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
