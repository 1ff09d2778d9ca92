"""Running a model on a picture that does not fit in memory, with the whole picture's answer.

Local stages run window by window, each on the rows and columns around that it sees. A stage with sweeps runs on strips
of rows over the whole width: once from the top for the states of the sweeps that run downwards, then from the bottom,
where those that run upwards join in. Only the maps before and after sweeps are kept, in files; what lies between is
computed again wherever it is needed, which for the finest maps is cheaper than to keep them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.stages import Local, StagedModel, Swept
from ..layers.sweep import Sweep, Sweeps
from .map_files import Box, MapFile


class OutOfCore:
    """Segments a picture of any size in bounded memory.

    Args:
        model: A model in evaluation mode. Each of its sweeps goes down or up through strips of rows, or stays in them;
            those of one stage that do not stay run side by side over the same map.
        read: Gives a window of the picture, (1, in_channels, h, w), normalised as in training.
        height: Rows of the picture.
        width: Columns of the picture.
        folder: Where temporary files may grow.
        window: Rows and columns of the picture that local stages take at once.
        strip: Rows of the picture that sweeps take at once.

    Raises:
        ValueError: A sweep needs the whole picture.
    """

    def __init__(
        self,
        model: StagedModel,
        read: Callable[[Box], Tensor],
        height: int,
        width: int,
        folder: Path,
        *,
        window: tuple[int, int] = (512, 512),
        strip: int = 256,
    ):
        self.stages = cast(dict[str, Local | Swept], dict(model.stages))
        for name, stage in self.stages.items():
            if not all(isinstance(sweep, Sweep) and sweep.order.downwards for sweep in _sweeps(stage)):
                raise ValueError(f"{type(model).__name__} has sweeps in {name} that need the whole picture in memory")
        self.read_picture, self.height, self.width = read, height, width
        self.folder, self.window, self.strip = folder, window, strip
        self.sizes = {"image": tuple(size + -size % model.total_stride for size in (height, width))}
        for name, stage in self.stages.items():
            up, down = (stage.upscale, stage.stride) if isinstance(stage, Local) else (1, 1)
            self.sizes[name] = tuple(size * up // down for size in self.sizes[stage.inputs[0]])
        self.kept: dict[str, MapFile] = {}

    @torch.inference_mode()
    def run(self) -> Iterator[tuple[Box, Tensor]]:
        """The logits (1, num_classes, h, w) of windows that cover the picture, with their places."""
        *_, last = self.stages
        swept = [name for name, stage in self.stages.items() if isinstance(stage, Swept)]
        with TemporaryDirectory(dir=self.folder, prefix="sweepseg-") as folder, ExitStack() as self.files:
            self.temporary = Path(folder)
            for done, name in enumerate(swept, 1):
                self._sweep(name)
                needed = set().union(*(self._boxes(later, Box(0, 1, 0, 1)) for later in [*swept[done:], last]))
                for kept in self.kept.keys() - needed:
                    self.kept.pop(kept).close()
            for box in self._windows("image", *self.window):
                if box.top < self.height and box.left < self.width:
                    inside = Box(box.top, min(box.bottom, self.height), box.left, min(box.right, self.width))
                    yield inside, self._compute(last, inside)

    def _sweep(self, name: str) -> None:
        """Run a stage with sweeps and keep its map."""
        stage = cast(Swept, self.stages[name])
        (source,) = stage.inputs
        height, width = self.sizes[source]
        scale = self.sizes["image"][0] // height
        if source not in self.kept:
            boxes = self._windows(source, *(size // scale for size in self.window))
            self._keep(source, ((box, self._compute(source, box)) for box in boxes))
        strips = list(self._windows(source, self.strip // scale, width))
        self._keep(name, self._run_strips(stage, self.kept[source], strips))

    def _run_strips(self, stage: Swept, source: MapFile, strips: list[Box]) -> Iterator[tuple[Box, Tensor]]:
        """The map of a stage with sweeps, strip by strip."""
        upwards = [cast(Sweep, sweep).order.reverse for sweep in _sweeps(stage)]
        from_above: list[object] = []
        state = None
        if not stage.strips:
            for box in strips:
                from_above.append(state)
                _, state = stage(source.read(box), state)
                state = _joined(state, None, iter(upwards))
            strips, state = strips[::-1], None
        for box in strips:
            if from_above:
                state = _joined(from_above.pop(), state, iter(upwards))
            output, state = stage(source.read(box), state)
            yield box, output

    def _keep(self, name: str, windows: Iterator[tuple[Box, Tensor]]) -> None:
        """Write a whole map to a file."""
        file = None
        for box, x in windows:
            file = file or self.files.enter_context(MapFile(self.temporary / name, x.shape[1], *self.sizes[name]))
            file.write(box, x)
        assert file is not None
        self.kept[name] = file

    def _windows(self, name: str, rows: int, columns: int) -> Iterator[Box]:
        height, width = self.sizes[name]
        rows, columns = max(1, rows), max(1, columns)
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                yield Box(top, min(top + rows, height), left, min(left + columns, width))

    def _compute(self, name: str, box: Box) -> Tensor:
        """A window of the map of a local stage."""
        boxes, maps = self._boxes(name, box), {}
        for each in [stage for stage in ("image", *self.stages) if stage in boxes]:
            if each == "image":
                maps[each] = self._read_padded(boxes[each])
            elif each in self.kept:
                maps[each] = self.kept[each].read(boxes[each])
            else:
                stage = cast(Local, self.stages[each])
                around = self._input_box(stage, boxes[each])
                output = stage(*(around.within(maps[source], boxes[source]) for source in stage.inputs))
                top, left = (start * stage.upscale // stage.stride for start in (around.top, around.left))
                shown = Box(top, top + output.shape[2], left, left + output.shape[3])
                maps[each] = boxes[each].within(output, shown)
            for map_ in [source for source in maps if not self._is_needed(source, each, boxes)]:
                del maps[map_]
        return maps[name]

    def _is_needed(self, source: str, done: str, boxes: dict[str, Box]) -> bool:
        """Whether a stage after ``done`` still reads the map ``source``, of those with a box; the last one stays."""
        order = ["image", *self.stages]
        later = [stage for stage in order[order.index(done) + 1 :] if stage in boxes and stage not in self.kept]
        return not later or any(source in self.stages[stage].inputs for stage in later)

    def _boxes(self, name: str, box: Box) -> dict[str, Box]:
        """The window of each map that is read or computed for a window of one: back to the picture and to kept maps."""
        boxes = {name: box}
        for each in reversed(self.stages):
            if each in boxes and each not in self.kept:
                for source in self.stages[each].inputs:
                    around = self._input_box(self.stages[each], boxes[each])
                    boxes[source] = boxes[source].union(around) if source in boxes else around
        return boxes

    def _input_box(self, stage: Local | Swept, box: Box) -> Box:
        """What a stage sees for a window of its map. Where it cuts through the map it starts at whole strides."""
        if isinstance(stage, Swept):
            return box  # and, through its sweeps, all else
        height, width = self.sizes[stage.inputs[0]]
        rows = _input_range(stage, box.top, box.bottom, height)
        return Box(*rows, *_input_range(stage, box.left, box.right, width))

    def _read_padded(self, box: Box) -> Tensor:
        """A window of the picture, which is repeated below and on the right as by the model itself."""
        bottom, right = min(box.bottom, self.height), min(box.right, self.width)
        inside = Box(min(box.top, bottom - 1), bottom, min(box.left, right - 1), right)
        picture = self.read_picture(inside)
        missing = (0, box.right - right, 0, box.bottom - bottom)
        padded = F.pad(picture, missing, mode="replicate") if any(missing) else picture
        return box.within(padded, Box(inside.top, box.bottom, inside.left, box.right))


def _sweeps(stage: Local | Swept) -> list[nn.Module]:
    return [sweep for layer in stage.modules() if isinstance(layer, Sweeps) for sweep in layer.sweeps]


def _input_range(stage: Local, start: int, end: int, limit: int) -> tuple[int, int]:
    first = max(0, start * stage.stride // stage.upscale - stage.halo) // stage.stride * stage.stride
    return first, min(limit, -(-end * stage.stride // stage.upscale) + stage.halo)


def _joined(from_above: Any, from_below: Any, upwards: Iterator[bool]) -> Any:
    """The states of a stage, for each sweep that from where it comes; a list has an entry a sweep or again a list."""
    either = from_below if from_above is None else from_above
    if isinstance(either, list):
        above = [None] * len(either) if from_above is None else from_above
        below = [None] * len(either) if from_below is None else from_below
        return [_joined(a, b, upwards) for a, b in zip(above, below, strict=True)]
    return from_below if next(upwards) else from_above
