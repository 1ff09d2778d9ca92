"""All that changes during a run, and going on from where it was saved."""

import math
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelFileError, SweepsegError, UsageError
from ..models.segmenter import Segmenter
from .checkpoint import load_state, save_state, saved_states
from .settings import Settings

MODULES = ("model", "average", "optimizer")
VALUES = ("step", "loss_sum", "loss_count", "history", "best", "misses")


@dataclass
class Run:
    """The changing parts of a run.

    Attributes:
        model: The model that the optimizer moves.
        average: The moving average of its weights.
        optimizer: The optimizer.
        step: Optimizer steps done.
        loss_sum: Sum of the losses since the last row of the history.
        loss_count: Number of them.
        history: The rows of metrics.csv.
        best: Score, step and weights of the best validation so far, for early stopping.
        misses: Validations since then.
        watched: Name of the score that decides which validation is the best.
    """

    model: Segmenter
    average: Segmenter
    optimizer: torch.optim.Optimizer
    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    history: list[dict] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=lambda: {"score": -math.inf, "step": 0, "weights": None})
    misses: int = 0
    watched: str = "mean_iou"

    @property
    def scores(self) -> dict[str, float]:
        """Scores of the last validation by name; none before the first."""
        rows = (row for row in reversed(self.history) if f"val_{self.watched}" in row)
        return {name.removeprefix("val_"): value for name, value in next(rows, {}).items() if name.startswith("val_")}

    def remember_best(self) -> None:
        """Keep the averaged weights if the last validation is the best so far."""
        self.misses += 1
        score = self.scores[self.watched]
        if score > self.best["score"]:
            weights = {name: value.cpu().clone() for name, value in self.average.state_dict().items()}
            self.best, self.misses = {"score": score, "step": self.step, "weights": weights}, 0

    def require_finite(self, folder: Path) -> None:
        """Refuse to go on with NaN or infinite weights.

        Raises:
            SweepsegError: A weight, or a buffer of a norm, is not finite; the message names it.
        """
        for name, value in self.model.state_dict().items():
            if not torch.isfinite(value).all():
                raise SweepsegError(
                    f"{name} became NaN or infinite by step {self.step}; {last_good(folder)}: lower the learning rate"
                )

    def save(self, folder: Path, settings: Settings, fingerprint: str) -> None:
        """Write the state into a folder of checkpoints, unless a weight is not finite."""
        self.require_finite(folder)
        state = {name: getattr(self, name).state_dict() for name in MODULES}
        state |= {name: getattr(self, name) for name in VALUES}
        state |= {"settings": settings.as_dict(), "pictures": fingerprint, "environment": environment()}
        save_state(folder, state, self.step)

    def resume(self, folder: Path, settings: Settings, fingerprint: str, say: Callable[[str], None]) -> None:
        """Go on from the newest state of a folder.

        Raises:
            UsageError: There is no state, which never means to start afresh in silence, or it is of another run.
            ModelFileError: It is damaged, or not a state of this model and optimizer.
        """
        states = saved_states(folder)
        if not states:
            raise UsageError(f"no checkpoint in {folder}; leave out --resume to start a new run")
        path = states[-1]
        state = load_state(path)
        try:
            differing = settings.differing(state["settings"])
            if differing:
                raise UsageError(
                    f"{path} was trained with another {', '.join(differing)}; resume with those of that run"
                )
            if state["pictures"] != fingerprint:
                raise UsageError(
                    f"{path} was trained on other pictures; bring back those of that run, or start a new one"
                )
            changes = [
                f"{k} {state['environment'][k]} became {now}"
                for k, now in environment().items()
                if state["environment"][k] != now
            ]
            self._restore(state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ModelFileError(f"{path}: not a state of this model and optimizer ({text})") from None
        say(f"continuing at step {self.step}")
        if changes:
            say(f"warning: {', '.join(changes)}; the result will differ in its last bits")

    def _restore(self, state: dict) -> None:
        for name in VALUES:
            if type(state[name]) is not type(getattr(self, name)):
                raise TypeError(f"{name} is a {type(state[name]).__name__}")
            setattr(self, name, state[name])
        if "mean_iou" in self.best:  # as it was called before there were other tasks
            self.best["score"] = self.best.pop("mean_iou")
        for name in MODULES:
            getattr(self, name).load_state_dict(state[name])
        for parameter, moments in self.optimizer.state.items():  # torch checks their number but not their shapes
            for moment in moments.values():
                if moment.dim() and moment.shape != parameter.shape:
                    raise ValueError(f"the optimizer holds {tuple(moment.shape)} for a {tuple(parameter.shape)}")


def environment() -> dict[str, Any]:
    """What besides the settings decides the last bits: numbers are summed in an order that depends on these."""
    processor = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {"torch": str(torch.__version__), "threads": torch.get_num_threads(), "processor": processor}


def last_good(folder: Path) -> str:
    """Where to go on from, for messages."""
    states = saved_states(folder)
    return f"the last good state is {states[-1]}" if states else "no state was saved before"
