"""The main job on the nuclei that come with sweepseg: segment, train beside the control, evaluate, show.

python examples/demo.py --output runs/demo
"""

import argparse
import base64
import html
import io
import math
import shutil
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import sweepseg
from sweepseg.cli.progress import bar
from sweepseg.data.pairs import read_pair
from sweepseg.io.masks import overlay
from sweepseg.layers.blocks import count_parameters
from sweepseg.tasks import task_for
from sweepseg.tasks.evaluation import evaluate

MODELS = ("sweepnet_small", "sweepnet_small_control")


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/demo"))
    parser.add_argument("--steps", type=int, default=400, help="optimizer steps of each training")
    options = parser.parse_args()
    for name in MODELS:  # trainings of an earlier demo
        shutil.rmtree(options.output / name, ignore_errors=True)
    dataset = sweepseg.nuclei_sample()

    started = time.monotonic()
    models = {"bundled sweepnet_small": sweepseg.load(sweepseg.bundled_model())}
    pictures = [sample.image for sample in dataset.splits["test"]]
    segmented = [sweepseg.segment(models["bundled sweepnet_small"], path) for path in pictures]
    print(f"segmented {len(pictures)} test pictures with the bundled weights in {time.monotonic() - started:.1f} s")

    histories, seconds = {}, {}
    for name in MODELS:
        trained = train(name, options.output / name, options.steps)
        models[f"{name}, {options.steps} steps"] = trained.model
        histories[name], seconds[f"{name}, {options.steps} steps"] = trained.history, trained.seconds

    rows = [["model", "parameters", "test mIoU", "nucleus IoU", "boundary F1", "training seconds"]]
    for name, model in models.items():
        task = task_for(model.config)
        scores = evaluate(model, dataset, "test", task, in_channels=len(model.config.mean), boundary=True)
        rows.append(
            [
                name,
                f"{count_parameters(model):,}",
                *(f"{100 * scores[key]:.1f}" for key in ("mean_iou", "foreground_iou", "mean_boundary_f1")),
                f"{seconds[name]:.0f}" if name in seconds else "-",
            ]
        )
    plot = draw_history(histories)
    plot.savefig(options.output / "history.png", dpi=110)
    overlays = {}
    for sample, result in zip(dataset.splits["test"], segmented, strict=True):
        image, target = read_pair(dataset, sample, len(models["bundled sweepnet_small"].config.mean))
        truth = overlay(as_rgb(image.transpose(1, 2, 0)), target.astype(np.uint8), dataset.palette)
        fresh = sweepseg.segment(models[f"{MODELS[0]}, {options.steps} steps"], sample.image).overlay()
        overlays[sample.name] = [as_rgb(result.image), truth, result.overlay(), fresh]
        Image.fromarray(np.hstack(overlays[sample.name])).save(options.output / f"{Path(sample.name).name}.png")
    page = options.output / "index.html"
    page.write_text(draw_page(rows, options.output / "history.png", overlays, options.steps), encoding="utf-8")

    print()
    for row in rows:
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths(rows), strict=True)))
    print(f"\nlook at {page}")
    print("the same on your own pictures, which lie in FOLDER/{images,masks}/{train,val}:")
    print("  sweepseg train FOLDER --output runs/mine")
    print("  sweepseg predict PICTURES --model runs/mine --output masks")


def train(name: str, output: Path, steps: int):
    """Train one model from scratch, with a bar."""
    settings = sweepseg.Settings(
        data="nuclei",
        output=str(output),
        model=name,
        steps=steps,
        batch_size=6,
        crop=(192, 192),
        learning_rate=4e-3,
        flip_vertical=True,
        ema=0.98,
        validate_every=10,
    )
    print(f"training {name}, {steps} steps")
    with bar() as update:

        def listen(progress) -> None:
            iou = "" if math.isnan(progress.mean_iou) else f" val mIoU {100 * progress.mean_iou:.1f}"
            update(f"loss {progress.loss:.3f}{iou}", progress.step, progress.steps)

        return sweepseg.train(settings, listen=listen)


def draw_history(histories: dict[str, list[dict]]) -> Figure:
    """Loss and validation mIoU against steps."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for name, history in histories.items():
        losses.plot([row["step"] for row in history], [row["loss"] for row in history], label=name)
        validated = [row for row in history if "val_mean_iou" in row]
        scores.plot(
            [row["step"] for row in validated],
            [100 * row["val_mean_iou"] for row in validated],
            marker="o",
            markersize=3,
            label=name,
        )
    losses.set(xlabel="step", ylabel="training loss")
    scores.set(xlabel="step", ylabel="val mIoU in %")
    losses.legend()
    return figure


def draw_page(rows: list[list[str]], plot: Path, overlays: dict[str, list[np.ndarray]], steps: int) -> str:
    """One HTML page with everything in it."""
    head, *body = rows
    table = "<tr>" + "".join(f"<th>{html.escape(c)}</th>" for c in head) + "</tr>"
    table += "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in body)
    figures = "".join(
        f"<h3>{html.escape(name)}</h3><div class=row>"
        + "".join(f'<img alt="" src="{embed(encode(picture))}">' for picture in pictures)
        + "</div>"
        for name, pictures in overlays.items()
    )
    return f"""<!doctype html><html lang=en><meta charset=utf-8><title>sweepseg demo</title>
<meta name=viewport content="width=device-width">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}}
table{{border-collapse:collapse}}td,th{{padding:.3rem .8rem;border-bottom:1px solid #ccc;text-align:right}}
td:first-child,th:first-child{{text-align:left}}.row{{display:grid;grid-template-columns:repeat(4,1fr);gap:.5rem}}
img{{width:100%}}h3{{font-weight:normal;color:#666;margin:1rem 0 .2rem}}</style>
<h1>sweepseg demo: nuclei</h1>
<p>Every model was measured on the {len(overlays)} test pictures. The control is the same network with each sweep
replaced by a 7 x 7 depthwise convolution of as many parameters. A demo of {steps} steps, one seed, shows that
everything runs; it is no comparison of models.</p>
<table>{table}</table>
<p><img style="max-width:60rem" alt="loss and mIoU" src="{embed(plot.read_bytes())}"></p>
<p>From left to right: picture, annotation, bundled weights, the model trained just now.</p>
{figures}</html>
"""


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) in [0, 1] as uint8 (H, W, 3)."""
    return np.broadcast_to(np.rint(image * 255).astype(np.uint8), (*image.shape[:2], 3))


def encode(picture: np.ndarray) -> bytes:
    """PNG bytes of a uint8 (H, W, 3) array."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
    return buffer.getvalue()


def embed(png: bytes) -> str:
    """A data URL, so that the page is one file."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def widths(rows: list[list[str]]) -> list[int]:
    """Width of each column of a text table."""
    return [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]


if __name__ == "__main__":
    main()
