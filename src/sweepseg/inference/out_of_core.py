"""Running a model on a picture that does not fit in memory, with the whole picture's answer.

Local stages run window by window, each on the rows and columns around that it sees. A stage with sweeps runs on strips
of rows over the whole width: once from the top for the states of the sweeps that run downwards, then from the bottom,
where those that run upwards join in. Only the maps before and after sweeps are kept, in files; what lies between is
computed again wherever it is needed, which for the finest maps is cheaper than to keep them.
"""

import math
from collections.abc import Callable, Container, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ..layers.stages import Local, StagedModel, Swept
from ..layers.sweep import Sweep, Sweeps
from .allocator import return_freed_memory
from .map_files import Box, MapFile, StateFile


class OutOfCore:
    """Segments a picture of any size in bounded memory.

    Args:
        model: A model in evaluation mode. Each of its sweeps goes down or up through strips of rows, or stays in them;
            those of one stage that do not stay run side by side over the same map.
        read: Gives a window of the picture, (1, in_channels, h, w), normalised as in training.
        height: Rows of the picture.
        width: Columns of the picture.
        folder: An empty folder, where files grow while the picture is segmented.
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
        self.swept = [name for name, stage in self.stages.items() if isinstance(stage, Swept)]
        self.kept: dict[str, MapFile] = {}
        self._measure(model)

    @torch.inference_mode()
    def _measure(self, model: StagedModel) -> None:
        """Find the channels of all maps and the bytes of the states that run downwards, on a small picture."""
        self.side = model.total_stride
        maps = {"image": torch.zeros(1, model.in_channels, self.side, self.side)}
        self.state_bytes = {}
        for name, stage in self.stages.items():
            inputs = [maps[source] for source in stage.inputs]
            if isinstance(stage, Swept):
                maps[name], state = stage(*inputs)
                leaves = tree_leaves(_joined(state, None, iter(_upwards(stage))))
                self.state_bytes[name] = sum(StateFile.HEADER + leaf.nbytes for leaf in leaves if leaf is not None)
            else:
                maps[name] = stage(*inputs)
        self.channels = {name: x.shape[1] for name, x in maps.items()}

    @property
    def temporary_bytes(self) -> int:
        """The most that all files take at once; where a state does not grow with the width, less is taken."""
        most, kept = 0, set[str]()
        for name in self.swept:
            kept |= {self.stages[name].inputs[0], name}
            maps = sum(4 * self.channels[each] * math.prod(self.sizes[each]) for each in kept)
            states = 0
            if not cast(Swept, self.stages[name]).strips:
                states = (len(self._strips(name)) - 1) * self.state_bytes[name] * self.sizes["image"][1] // self.side
            most = max(most, maps + states)
            kept &= self._needed_after(name, kept)
        return most

    @property
    def window_pixels(self) -> int:
        """The most pixels of the picture that are read for one window, with all that its local stages see around it."""
        *_, last = self.stages
        sources = {self.stages[name].inputs[0] for name in self.swept}.difference(self.swept)
        most = 0
        for name in (*sources, last):
            around = self._boxes(name, self._middle(name), ()).get("image", Box(0, 0, 0, 0))
            most = max(most, (around.bottom - around.top) * (around.right - around.left))
        return most

    @torch.inference_mode()
    def run(self) -> Generator[tuple[Box, Tensor], None, None]:
        """The logits (1, num_classes, h, w) of windows that cover the picture, with their places."""
        *_, last = self.stages
        with ExitStack() as self.files:
            for name in self.swept:
                self._sweep(name)
                for kept in self.kept.keys() - self._needed_after(name, self.kept):
                    self.kept.pop(kept).close()
            return_freed_memory()
            for box in self._windows("image", *self.window):
                if box.top < self.height and box.left < self.width:
                    inside = Box(box.top, min(box.bottom, self.height), box.left, min(box.right, self.width))
                    yield inside, self._compute(last, inside)

    def _middle(self, name: str) -> Box:
        """A window of a map that has others on all sides, if there are any."""
        (height, width), (rows, columns) = self.sizes[name], self._scaled(name, *self.window)
        top, left = height // rows // 2 * rows, width // columns // 2 * columns
        return Box(top, min(top + rows, height), left, min(left + columns, width))

    def _needed_after(self, name: str, kept: Container[str]) -> set[str]:
        """The maps that are used after a stage with sweeps has run."""
        *_, last = self.stages
        later = [*self.swept[self.swept.index(name) + 1 :], last]
        return set().union(*(self._boxes(each, Box(0, 1, 0, 1), kept) for each in later))

    def _sweep(self, name: str) -> None:
        """Run a stage with sweeps and keep its map."""
        stage = cast(Swept, self.stages[name])
        (source,) = stage.inputs
        if source not in self.kept:
            boxes = self._windows(source, *self._scaled(source, *self.window))
            self._keep(source, ((box, self._compute(source, box)) for box in boxes))
        self._keep(name, self._run_strips(name, stage, self.kept[source]))

    def _strips(self, name: str) -> list[Box]:
        (rows,) = self._scaled(name, self.strip)
        return [*self._windows(name, rows, self.sizes[name][1])]

    def _scaled(self, name: str, *pixels: int) -> list[int]:
        """How many rows or columns of a map stand for those of the picture; at least one."""
        scale = self.sizes["image"][0] // self.sizes[name][0]
        return [max(1, count // scale) for count in pixels]

    def _run_strips(self, name: str, stage: Swept, source: MapFile) -> Iterator[tuple[Box, Tensor]]:
        """The map of a stage with sweeps, strip by strip."""
        upwards, strips = _upwards(stage), self._strips(name)
        state = None
        with StateFile(self.folder / f"{name}.states") as from_above:
            if not stage.strips:
                for box in strips:
                    from_above.push(state)
                    _, state = stage(source.read(box), state)
                    state = _joined(state, None, iter(upwards))
                strips, state = strips[::-1], None
            for box in strips:
                if from_above.states:
                    state = _joined(from_above.pop(), state, iter(upwards))
                output, state = stage(source.read(box), state)
                yield box, output
                del output

    def _keep(self, name: str, windows: Iterator[tuple[Box, Tensor]]) -> None:
        """Write a whole map to a file."""
        return_freed_memory()
        file = self.files.enter_context(MapFile(self.folder / name, self.channels[name], *self.sizes[name]))
        for box, x in windows:
            file.write(box, x)
            del x  # or it would be in memory beside the next
        self.kept[name] = file

    def _windows(self, name: str, rows: int, columns: int) -> Iterator[Box]:
        height, width = self.sizes[name]
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                yield Box(top, min(top + rows, height), left, min(left + columns, width))

    def _compute(self, name: str, box: Box) -> Tensor:
        """A window of the map of a local stage."""
        boxes, maps = self._boxes(name, box, self.kept), {}
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

    def _boxes(self, name: str, box: Box, kept: Container[str]) -> dict[str, Box]:
        """The window of each map that is read or computed for a window of one: back to the picture and to kept maps."""
        boxes = {name: box}
        for each in reversed(self.stages):
            if each in boxes and each not in kept and (each == name or isinstance(self.stages[each], Local)):
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


def _upwards(stage: Swept) -> list[bool]:
    return [cast(Sweep, sweep).order.reverse for sweep in _sweeps(stage)]


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
