"""Train the models of objects and measure what they find: nuclei that touch, and digits that hide each other.

python benchmarks/objects.py digits
python benchmarks/objects.py nuclei --data NUCLEI

The digits are scenes of `sweepseg.data.digit_scenes`, 4,000 to learn from and 500 of other glyphs to measure on. NUCLEI
is made by `python tools/make_nuclei_training_set.py DSB2018 NUCLEI --fifth`; measured is on the fifth in its val. Every
finished run is a row of the results file; runs that have a row are skipped and a run that was stopped is continued. The
scores, in percent but for the count error, are those of the last checkpoint; `docs/instances.md` says what they are. PQ
is panoptic quality, objects being things and the background stuff.
"""

import argparse
import shutil
import time
from pathlib import Path

import torch
from by_recipe import train
from rows import add, has

import sweepseg
from sweepseg.data import DataSet, read_pair
from sweepseg.data.bundled import write_scenes
from sweepseg.inference.panoptic import merge
from sweepseg.metrics_panoptic import PanopticQuality
from sweepseg.models.segmenter import Segmenter
from sweepseg.tasks import task_for
from sweepseg.tasks.evaluation import evaluate
from sweepseg.training.allocator import keep_freed_memory

MODELS = {"digits": ("rsis", "rsis_control"), "nuclei": ("sweepnet_small", "sweepnet_small_control")}
SPLITS = {"digits": "test", "nuclei": "val"}
SCENES = {"train": 4000, "val": 100, "test": 500}
SCORES = ("ap50", "box_ap50", "object_jaccard", "symmetric_best_dice")
COLUMNS = ["data", "model", "seed", "steps", *SCORES, "count_error", "pq", "threads", "cpu_minutes"]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*MODELS])
    parser.add_argument("--data", type=Path, help="the folder of nuclei")
    parser.add_argument("--results", type=Path, default=Path("docs/results/objects.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/objects"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--model", dest="models", nargs="+", help="by default the network and its control")
    options = parser.parse_args()
    if options.name == "nuclei" and options.data is None:
        parser.error("nuclei needs --data")
    keep_freed_memory()
    data = options.data or digits(options.runs / "digits-data")
    for seed in options.seeds:
        for model in options.models or MODELS[options.name]:
            key = {"data": options.name, "model": model, "seed": seed}
            if not has(options.results, key):
                output = options.runs / f"{options.name}-{model}-{seed}"
                add(options.results, [key | run(options.name, data, model, seed, output)], COLUMNS)


def digits(folder: Path) -> Path:
    """The folder with the scenes, which are written unless they are there."""
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_scenes(unfinished, SCENES)
        unfinished.rename(folder)
    return folder


def run(name: str, data: Path, model: str, seed: int, output: Path) -> dict:
    """Train one model and measure it; continue where an earlier attempt stopped."""
    began = time.process_time()
    trained = train(f"{name}_objects.yaml", output, data=str(data), model=model, seed=seed)
    minutes = round((time.process_time() - began) / 60, 1)
    config = trained.model.config
    task = task_for(config)
    dataset = sweepseg.open_dataset(data, task=config.task)
    scores = evaluate(trained.model, dataset, SPLITS[name], task, in_channels=len(config.mean))
    shares = {score: round(100 * scores[score].item(), 1) for score in SCORES}
    error = round(scores["count_error"].item(), 3)
    facts = {"pq": panoptic_quality(trained.model, dataset, SPLITS[name])}
    facts |= {"steps": trained.steps, "threads": torch.get_num_threads(), "cpu_minutes": minutes}
    return facts | shares | {"count_error": error}


def panoptic_quality(model: Segmenter, dataset: DataSet, split: str) -> float:
    """PQ in percent."""
    classes = ("background", *model.config.classes)
    metric = PanopticQuality(len(classes), stuff=[0])
    for sample in dataset.splits[split]:
        _, target = read_pair(dataset, sample, in_channels=len(model.config.mean))
        planes = merge(sweepseg.segment(model, sample.image), classes)
        metric.update(torch.from_numpy(planes)[None], torch.from_numpy(target)[None])
    return round(100 * metric.compute()["pq"].item(), 1)


if __name__ == "__main__":
    main()
