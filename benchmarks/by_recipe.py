"""Training as a recipe says, continued where it was stopped."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import nn

import sweepseg
from sweepseg.cli.progress import bar
from sweepseg.data import Sample
from sweepseg.models import MODELS
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
