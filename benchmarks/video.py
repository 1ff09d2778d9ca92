"""What memory over time is worth, and what it costs: `sweepnet_small_video` beside its per-frame control.

python benchmarks/video.py digits cost --results docs/results/video.csv --folder runs/video
python benchmarks/video.py FOLDER --steps 400 --crop 192 --hold-out scooter-black

``digits`` are clips of `digit_scenes.clip`: digits that move and hide behind each other and a pillar, under heavy noise
that is drawn afresh for every frame; FOLDER is any data set of videos, such as DAVIS, and those whose names begin as
--hold-out says are not for training. Scores are those of the last checkpoint on the videos of the split that training
did not see: mIoU of one pooled matrix, consistency over 8 frames, and J & F where there is one object. ``cost``
segments frames one by one: 300 by these models and by `sweepnet_small`, in turns on one thread, for the milliseconds of
the processor, and 10,000 by the model that remembers, for the largest resident size in the first and in the last tenth
(steps: these numbers of frames). Runs that have a row are skipped.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rows import add, has
from untrained import resident, untrained

import sweepseg
from sweepseg.data.digit_scenes import NAMES, clip
from sweepseg.tasks import task_for
from sweepseg.tasks.evaluation import evaluate, evaluate_videos
from sweepseg.training.allocator import keep_freed_memory

MODELS = ("sweepnet_small_video", "sweepnet_small_video_control")
CLIPS = {"train": 200, "test": 40}
FRAMES, NOISE = 8, 60.0  # of a clip; standard deviation in units of 0 to 255
COLUMNS = [
    "case", "model", "seed", "steps", "mean_iou", "video_consistency", "j_and_f",
    "ms_per_frame", "mb_first_tenth", "mb_last_tenth",
]  # fmt: skip


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", help="digits, cost, or the folder of a data set")
    parser.add_argument("--results", type=Path, default=Path("docs/results/video.csv"))
    parser.add_argument("--folder", type=Path, default=Path("runs/video"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--hold-out", help="videos that are not for training, by how their names begin")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if "cost" in options.cases:
        add(options.results, cost(), COLUMNS)
    keep_freed_memory()
    for which in options.cases:
        if which == "cost":
            continue
        data = options.folder / "digits-data" if which == "digits" else Path(which)
        if which == "digits" and not data.exists():
            make(data)
        for seed in options.seeds:
            for model in MODELS:
                key = {
                    "case": f"{data.name} {options.hold_out or ''}".strip(),
                    "model": model,
                    "seed": seed,
                    "steps": options.steps,
                }
                if not has(options.results, key):
                    add(options.results, [key | scores(options, data, model, seed)], COLUMNS)


def make(folder: Path) -> None:
    """Write the clips as a data set of numbered frames."""
    unfinished = folder.with_suffix(".unfinished")
    for split, count in CLIPS.items():
        for index in range(count):
            film = clip(0, split, index, frames=FRAMES)
            noise = np.random.default_rng((index, split == "train")).normal(0, NOISE, film.image.shape)
            pixels = np.clip(film.image + noise, 0, 255).astype(np.uint8)
            for kind, frames in (("images", pixels), ("masks", film.mask)):
                place = unfinished / kind / split / f"{index:03}"
                place.mkdir(parents=True, exist_ok=True)
                for number, frame in enumerate(frames):
                    Image.fromarray(frame).save(place / f"{number:05}.png")
    (unfinished / "classes.txt").write_text("\n".join(("background", *NAMES)))
    unfinished.rename(folder)


def scores(options: argparse.Namespace, data: Path, model: str, seed: int) -> dict:
    """Train a model and measure it on the videos that are not for training."""
    output = options.folder / f"{data.name}{options.hold_out or ''}-{model}-{seed}-{options.steps}"
    settings = sweepseg.Settings(
        data=str(data),
        output=str(output),
        model=model,
        seed=seed,
        steps=options.steps,
        hold_out=options.hold_out,
        clip_length=FRAMES,
        batch_size=4,
        crop=(options.crop, options.crop),
        scale=(0.8, 1.25),
        flip=data.name != "digits-data",
        colour=0.2,
        ema=0.99,
        class_weights="inverse_sqrt",
        validate_every=10_000,
        resume=(output / "checkpoints").exists(),
    )
    trained = sweepseg.train(settings, say=print).model
    dataset = sweepseg.open_dataset(data)
    dataset = dataset.hold_out(options.hold_out) if options.hold_out else dataset
    config = trained.config
    split = "test" if any(sample.mask for sample in dataset.splits.get("test", ())) else "val"
    which = (trained, dataset, split, task_for(config))
    videos = evaluate_videos(*which, in_channels=len(config.mean))
    found = {
        "mean_iou": evaluate(*which, in_channels=len(config.mean))["mean_iou"].item(),
        "video_consistency": videos["video_consistency"],
        "j_and_f": videos.get("J&F", math.nan),
    }
    return {name: round(value, 4) for name, value in found.items() if not math.isnan(value)}


def cost(frames: int = 10_000, timed: int = 300, side: int = 128) -> list[dict]:
    """Time of the models on the same frames, in turns, and memory of the one that remembers over many."""
    models = (*MODELS, "sweepnet_small")
    segmenters = {name: sweepseg.VideoSegmenter(untrained(name, 11, 3)) for name in models}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    random = np.random.default_rng(0)
    memory = []
    for number in range(frames):
        frame = random.integers(0, 256, (side, side, 3), np.uint8)
        for name, segmenter in segmenters.items():
            if number < timed or name == MODELS[0]:
                began = time.process_time()
                segmenter.push(frame)
                seconds[name].append(time.process_time() - began)
        memory.append(resident())
    tenth = frames // 10
    sizes = {"mb_first_tenth": round(max(memory[:tenth]), 1), "mb_last_tenth": round(max(memory[-tenth:]), 1)}
    rows = [
        {
            "case": f"cost, {side} x {side}",
            "model": name,
            "steps": frames if name == MODELS[0] else timed,
            "ms_per_frame": round(1000 * float(np.median(taken[:timed])), 2),
        }
        for name, taken in seconds.items()
    ]
    rows[0] |= sizes
    return rows


if __name__ == "__main__":
    main()
