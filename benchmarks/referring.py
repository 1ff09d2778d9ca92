"""Train networks that are told what to find, on sentences about digit scenes, and measure them on unseen combinations.

python benchmarks/referring.py --picture docs/referring.png

Every finished run is a row of the results file; runs that have a row are skipped and a run that was stopped is
continued, so the series survives interruptions. Each row: scores of the last checkpoint in percent, on test, whose
sentences all have a combination of words that is in none of train and val; nothing is chosen on test sentences. The CPU
time, of all threads together, is that since the last start.
"""

import argparse
from pathlib import Path

import numpy as np
from by_recipe import train_and_test
from PIL import Image, ImageDraw
from rows import add, has

import sweepseg
from sweepseg.data import open_by_name
from sweepseg.data.pairs import read_target
from sweepseg.models import REFERRERS
from sweepseg.models.segmenter import Segmenter
from sweepseg.tasks import Referring
from sweepseg.training.allocator import keep_freed_memory

COLUMNS = ["model", "seed", "steps", "parameters", "threads", "minutes", "cpu_minutes", *Referring.scores]
SHOWN, EVERY = 6, 150  # test sentences of the figure, and how many lie between them
SIDE, LABEL = 192, 16  # pixels of a picture of the figure, and above it of its sentence


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("docs/results/referring.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/referring"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", dest="models", nargs="+", choices=[*REFERRERS], default=[*REFERRERS])
    parser.add_argument("--epochs", type=float, help="instead of the recipe's")
    parser.add_argument("--picture", type=Path, help="where to draw answers of the first model")
    options = parser.parse_args()
    keep_freed_memory()
    for seed in options.seeds:
        for model in options.models:
            if not has(options.results, {"model": model, "seed": seed}):
                add(options.results, [run(model, seed, options.runs, options.epochs)], COLUMNS)
    if options.picture:
        model = sweepseg.load(options.runs / f"{options.models[0]}-{options.seeds[0]}")
        answers(model).save(options.picture, optimize=True)


def run(model: str, seed: int, runs: Path, epochs: float | None) -> dict:
    """Train one model and measure it; continue where an earlier attempt stopped."""
    facts, scores = train_and_test(
        "digits_referring.yaml",
        runs / f"{model}-{seed}",
        data="digits",
        task="referring",
        model=model,
        seed=seed,
        epochs=epochs,
    )
    return facts | {name: round(100 * scores[name].item(), 1) for name in Referring.scores}


def answers(model: Segmenter) -> Image.Image:
    """Test sentences, each above its picture, what it means and the answer."""
    dataset = open_by_name("digits", task="referring")
    shown = []
    for sample in dataset.splits["test"][::EVERY][:SHOWN]:
        found = sweepseg.segment(model, sample.image, sample.sentence)
        masks = [mask[..., None].repeat(3, 2) * np.uint8(255) for mask in (read_target(dataset, sample), found.mask)]
        picture = Image.new("RGB", (3 * SIDE, SIDE + LABEL), "white")
        for place, pixels in enumerate([np.asarray(Image.open(sample.image)), *masks]):
            enlarged = Image.fromarray(pixels.astype(np.uint8)).resize((SIDE - 4, SIDE - 4), Image.Resampling.NEAREST)
            picture.paste(enlarged, (place * SIDE, LABEL))
        ImageDraw.Draw(picture).text((2, 2), sample.sentence or "", "black")
        shown.append(np.asarray(picture))
    pairs = [np.concatenate(shown[place : place + 2], axis=1) for place in range(0, SHOWN, 2)]
    return Image.fromarray(np.concatenate(pairs)).quantize(128, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
