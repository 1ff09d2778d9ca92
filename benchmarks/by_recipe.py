"""Training as a recipe says, continued where it was stopped."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

import sweepseg
from sweepseg.cli.progress import bar, tracker
from sweepseg.data import Sample, open_by_name
from sweepseg.layers.blocks import count_parameters
from sweepseg.models import MODELS
from sweepseg.task_names import TaskName
from sweepseg.tasks import task_for
from sweepseg.tasks.evaluation import evaluate
from sweepseg.training.fit import Trained

RECIPES = Path(__file__).parents[1] / "recipes"


def train(
    recipe: str,
    output: Path,
    *,
    progress: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
    builders: Mapping[str, Callable[..., nn.Module]] = MODELS,
    **settings: Any,
) -> Trained:
    """Train with the settings of a recipe and these, of which None leaves the recipe's; a bar shows the loss."""
    chosen = yaml.safe_load((RECIPES / recipe).read_text())
    chosen |= {name: value for name, value in settings.items() if value is not None}
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}
    chosen |= {"output": str(output), "resume": (output / "checkpoints").exists()}
    with bar() as update:
        return sweepseg.train(
            sweepseg.Settings(**chosen),
            listen=lambda p: update(f"{output.name} loss {p.loss:.3f}", p.step, p.steps),
            say=print,
            progress=progress,
            builders=builders,
        )


def train_and_test(
    recipe: str, output: Path, *, data: str, task: TaskName, model: str, seed: int, epochs: float | None
) -> tuple[dict, dict[str, Tensor]]:
    """Train and measure on the test split: what a row tells of every run, and the scores."""
    started, cpu_started = time.monotonic(), time.process_time()
    progress = tracker("checking", quiet=False)
    trained = train(recipe, output, progress=progress, data=data, model=model, seed=seed, epochs=epochs)
    minutes, cpu_minutes = (time.monotonic() - started) / 60, (time.process_time() - cpu_started) / 60
    config = trained.model.config
    scores = evaluate(
        trained.model,
        open_by_name(data, task=task),
        "test",
        task_for(config),
        in_channels=len(config.mean),
        progress=tracker("measuring", quiet=False),
    )
    facts = {
        "model": model,
        "seed": seed,
        "steps": trained.steps,
        "parameters": count_parameters(trained.model),
        "threads": torch.get_num_threads(),
        "minutes": round(minutes, 1),
        "cpu_minutes": round(cpu_minutes, 1),
    }
    return facts, scores
