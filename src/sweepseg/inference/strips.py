"""Running a model on strips of rows from the top, with the whole picture's answer.

Every stage runs as far down as its inputs reach: a local stage holds back the rows that its halo does not cover yet, a
sweep carries its state. Border rules act at the true borders of the picture only.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers.stages import Local, StagedModel, Swept, check_image


class _Rows:
    """The rows of a map that are still needed: those from ``start`` to ``end``."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self.kept: Tensor | None = None

    def set(self, start: int, kept: Tensor | None) -> None:
        self.start, self.kept = start, kept
        self.end = start + (0 if kept is None else kept.shape[2])

    def append(self, rows: Tensor) -> None:
        self.kept = rows if self.kept is None else torch.cat([self.kept, rows], dim=2)
        self.end += rows.shape[2]

    def window(self, start: int, end: int) -> Tensor:
        assert self.kept is not None and self.start <= start <= end <= self.end
        return self.kept[:, :, start - self.start : end - self.start]

    def drop_before(self, row: int) -> None:
        if self.kept is not None and row > self.start:
            self.kept = self.kept[:, :, row - self.start :].clone()  # a view would keep all rows alive
            self.start = row


class StripRunner:
    """Segments a picture that arrives in strips of rows.

    Args:
        model: A streamable model, in evaluation mode: each sweep needs only what lies above.

    Raises:
        ValueError: The model has a sweep that needs the whole picture, or takes volumes.
    """

    def __init__(self, model: StagedModel):
        if model.dimensions == 3:
            raise ValueError(f"{type(model).__name__} takes volumes, which are segmented whole and not row by row")
        if not model.streamable:
            raise ValueError(
                f"{type(model).__name__} has sweeps that need the whole picture; "
                "build it with causal=True, or train sweepnet_small_causal"
            )
        self.model = model
        self.stages = cast(dict[str, Local | Swept], dict(model.stages))
        self.maps = {"image": _Rows()} | {name: _Rows() for name in self.stages}
        self.states: dict[str, object] = {}
        self.height = 0
        self.width: int | None = None

    @torch.inference_mode()
    def push(self, rows: Tensor) -> Tensor | None:
        """Take the next rows.

        Args:
            rows: (B, in_channels, h, W), any h >= 1, the same B and W each time.

        Returns:
            The logits (B, num_classes, n, W) of the next rows that are certain by now, or None if there are none.
        """
        check_image(rows, self.model.in_channels)
        self.width = self.width or rows.shape[3]
        if rows.shape[3] != self.width:
            raise ValueError(f"got rows of {rows.shape[3]} pixels after rows of {self.width}; give one width")
        self.height += rows.shape[2]
        self.maps["image"].append(F.pad(rows, (0, -self.width % self.model.total_stride, 0, 0), mode="replicate"))
        return self._advance(complete=False)

    @torch.inference_mode()
    def finish(self) -> Tensor | None:
        """End the picture: the logits of all rows that were held back."""
        image = self.maps["image"]
        missing = -self.height % self.model.total_stride
        if missing:
            image.append(image.window(image.end - 1, image.end).expand(-1, -1, missing, -1))
        return self._advance(complete=True)

    def state(self) -> dict[str, Any]:
        """What the next rows depend on, which later pushes leave as it is: nested names, numbers, tensors and None."""
        maps = {name: [rows.start, rows.kept] for name, rows in self.maps.items()}
        return {"height": self.height, "width": self.width, "maps": maps, "sweeps": dict(self.states)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was called, on this runner or another one of the same model."""
        self.height, self.width, self.states = state["height"], state["width"], dict(state["sweeps"])
        for name, (start, kept) in state["maps"].items():
            self.maps[name].set(start, kept)

    def _advance(self, *, complete: bool) -> Tensor | None:
        logits = [self._run(name, stage, complete) for name, stage in self.stages.items()][-1]
        for name, rows in self.maps.items():
            rows.drop_before(self._needed_from(name))
        if logits is None:
            return None
        first = [*self.maps.values()][-1].end - logits.shape[2]
        return logits[:, :, : self.height - first, : self.width]

    def _run(self, name: str, stage: Local | Swept, complete: bool) -> Tensor | None:
        """Bring one stage as far down as its inputs allow; return its new rows."""
        done = self.maps[name].end
        end = min(self.maps[source].end for source in stage.inputs)
        reach = _reach(stage, end, complete)
        if reach <= done:
            return None
        start = _first_input_row(stage, done)
        windows = [self.maps[source].window(start, end) for source in stage.inputs]
        if isinstance(stage, Local):
            offset = start * stage.upscale // stage.stride
            new = stage(*windows)[:, :, done - offset : reach - offset]
        else:
            new, self.states[name] = stage(windows[0], self.states.get(name))
        self.maps[name].append(new)
        return new

    def _needed_from(self, name: str) -> int:
        """The first row of a map that some stage will still read."""
        users = [(user, stage) for user, stage in self.stages.items() if name in stage.inputs]
        return min((_first_input_row(stage, self.maps[user].end) for user, stage in users), default=self.maps[name].end)


def certain_rows(model: StagedModel, height: int) -> int:
    """How many rows of logits are certain when ``height`` rows of a streamable model's picture have been pushed."""
    ends = {"image": height}
    for name, stage in cast(dict[str, Local | Swept], dict(model.stages)).items():
        ends[name] = _reach(stage, min(ends[source] for source in stage.inputs))
    return [*ends.values()][-1]


def _reach(stage: Local | Swept, end: int, complete: bool = False) -> int:
    """How many rows a stage can give from the first ``end`` rows of its inputs; ``complete`` if no more will come."""
    if isinstance(stage, Swept):
        return end
    return max(0, end if complete else end - stage.halo) * stage.upscale // stage.stride


def _first_input_row(stage: Local | Swept, done: int) -> int:
    """The first input row that a stage reads when ``done`` of its output rows are there."""
    if isinstance(stage, Swept):
        return done
    return max(0, done * stage.stride // stage.upscale - stage.halo) // stage.stride * stage.stride
