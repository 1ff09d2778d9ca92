"""Running a model on a picture that does not fit in memory, with the whole picture's answer.

Local stages run window by window, each on the rows and columns around that it sees. A stage with sweeps runs on strips
of rows over the whole width: once from the top for the states of the sweeps that run downwards, then from the bottom,
where those that run upwards join in. Only the maps before and after sweeps are kept, in files; what lies between is
computed again wherever it is needed, which for the finest maps is cheaper than to keep them. Each window and each strip
is a step that reads and writes nothing but files, so that another process can go on after any of them.
"""

import math
from collections.abc import Callable, Container, Generator, Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.stages import Local, StagedModel, Swept
from ..layers.sweep import Sweep, Sweeps
from .allocator import return_freed_memory
from .map_files import Box, MapFile, StateFiles, cut, saved_bytes
from .work_folder import WorkFolder


class OutOfCore:
    """Segments a picture of any size in bounded memory.

    Args:
        model: A model in evaluation mode. Each of its sweeps goes down or up through strips of rows, or stays in them;
            those of one stage that do not stay run side by side over the same map.
        height: Rows of the picture.
        width: Columns of the picture.
        window: Rows and columns of the picture that local stages take at once.
        strip: Rows of the picture that sweeps take at once.

    Raises:
        ValueError: A sweep needs the whole picture.
    """

    def __init__(
        self,
        model: StagedModel,
        height: int,
        width: int,
        *,
        window: tuple[int, int] = (512, 512),
        strip: int = 256,
    ):
        self.stages = cast(dict[str, Local | Swept], dict(model.stages))
        for name, stage in self.stages.items():
            if not all(isinstance(sweep, Sweep) and sweep.order.downwards for sweep in _sweeps(stage)):
                raise ValueError(
                    f"{type(model).__name__} has sweeps in {name} that need the whole picture in memory; "
                    "--tile 512 segments it in tiles, with another result where they meet"
                )
        self.height, self.width = height, width
        self.window, self.strip = window, strip
        stride = model.total_stride
        self.sizes = {"image": (height + -height % stride, width + -width % stride)}
        for name, stage in self.stages.items():
            up, down = (stage.upscale, stage.stride) if isinstance(stage, Local) else (1, 1)
            rows, columns = self.sizes[stage.inputs[0]]
            self.sizes[name] = (rows * up // down, columns * up // down)
        self.swept = [name for name, stage in self.stages.items() if isinstance(stage, Swept)]
        self.kept: dict[str, MapFile] = {}
        self._measure(model)

    def __repr__(self) -> str:
        return f"windows of {self.window}, strips of {self.strip}"

    @torch.inference_mode()
    def _measure(self, model: StagedModel) -> None:
        """Find the channels of all maps and the bytes of the states' files, on a small picture."""
        side = model.total_stride
        scale = self.sizes["image"][1] // side
        maps = {"image": torch.zeros(1, model.in_channels, side, side)}
        self.state_bytes = {}  # of the states that run downwards, and of those that run upwards
        for name, stage in self.stages.items():
            inputs = [maps[source] for source in stage.inputs]
            if isinstance(stage, Swept):
                maps[name], state = stage(*inputs)
                _, wider = stage(*(torch.cat((x, x), dim=3) for x in inputs))
                upwards = _upwards(stage)
                once, twice = (
                    [_joined(s, None, iter(upwards)), _joined(None, s, iter(upwards))] for s in (state, wider)
                )
                self.state_bytes[name] = [saved_bytes(*pair, scale) for pair in zip(once, twice, strict=True)]
            else:
                maps[name] = stage(*inputs)
        self.channels = {name: x.shape[1] for name, x in maps.items()}

    def temporary_bytes(self, written: int = 0) -> int:
        """The most that all files take at once.

        Args:
            written: Bytes that are written to the folder for each pixel of the picture from what `run` gives.
        """

        def taken(kept: set[str]) -> int:
            return sum(4 * self.channels[each] * math.prod(self.sizes[each]) for each in kept)

        most, kept = 0, set[str]()
        for name in self.swept:
            kept |= {self.stages[name].inputs[0], name}
            strips, (downwards, upwards) = len(self._strips(name)), self.state_bytes[name]
            once = cast(Swept, self.stages[name]).strips
            most = max(most, taken(kept) + strips * downwards + (0 if once else strips * upwards - downwards))
            kept &= self._needed_after(name, kept)
        return max(most, taken(kept) + written * self.height * self.width)

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

    @property
    def steps(self) -> int:
        """How many windows and strips are computed in all."""
        count, kept = len(self._parts), set[str]()
        for name in self.swept:
            (source,) = self.stages[name].inputs
            strips = len(self._strips(name))
            count += 0 if source in kept else len(self._source_windows(source))
            count += strips if cast(Swept, self.stages[name]).strips else 2 * strips - 1
            kept |= {source, name}
            kept &= self._needed_after(name, kept)
        return count

    @property
    def _parts(self) -> list[Box]:
        """The windows of the picture, which are computed last."""
        return [*cut(self.height, self.width, *self.window)]

    @torch.inference_mode()
    def run(self, read: Callable[[Box], Tensor], work: WorkFolder) -> Generator[tuple[Box, Tensor], None, None]:
        """The logits (1, num_classes, h, w) of windows that cover the picture, with their places.

        Args:
            read: Gives a window of the picture, (1, in_channels, h, w), normalised as in training.
            work: Where files grow in the meantime; windows that are done by its record are left out.
        """
        self.read_picture, self.kept = read, {}
        *_, last = self.stages
        for name in self.swept:
            self._sweep(name, work)
            for kept in self.kept.keys() - self._needed_after(name, self.kept):
                work.remove(self.kept.pop(kept))
        return_freed_memory()
        for box in work.steps(self._parts):
            yield box, self._compute(last, box)
        for kept in [*self.kept]:
            work.remove(self.kept.pop(kept))

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

    def _sweep(self, name: str, work: WorkFolder) -> None:
        """Run a stage with sweeps and keep its map."""
        stage = cast(Swept, self.stages[name])
        (source,) = stage.inputs
        if source not in self.kept:
            windows = work.steps(self._source_windows(source))
            self._keep(source, ((box, self._compute(source, box)) for box in windows), work)
        self._keep(name, self._run_strips(name, stage, self.kept[source], work), work)

    def _source_windows(self, name: str) -> list[Box]:
        rows, columns = self._scaled(name, *self.window)
        return [*cut(*self.sizes[name], rows, columns)]

    def _strips(self, name: str) -> list[Box]:
        (rows,) = self._scaled(name, self.strip)
        return [*cut(*self.sizes[name], rows, self.sizes[name][1])]

    def _scaled(self, name: str, *pixels: int) -> list[int]:
        """How many rows or columns of a map stand for those of the picture; at least one."""
        scale = self.sizes["image"][0] // self.sizes[name][0]
        return [max(1, count // scale) for count in pixels]

    def _run_strips(self, name: str, stage: Swept, source: MapFile, work: WorkFolder) -> Iterator[tuple[Box, Tensor]]:
        """The map of a stage with sweeps, strip by strip."""
        upwards, strips = _upwards(stage), [*enumerate(self._strips(name))]
        downward, upward = (StateFiles(work.path, f"{name}.{way}", len(strips)) for way in ("down", "up"))
        if not stage.strips:
            for number, box in work.steps(strips[:-1]):
                _, state = stage(source.read(box), downward.load(number - 1))
                downward.save(number, _joined(state, None, iter(upwards)))
            strips.reverse()
        for number, box in work.steps(strips):
            before = downward.load(number - 1)
            if stage.strips:
                output, state = stage(source.read(box), before)
                downward.save(number, state)
            else:
                output, state = stage(source.read(box), _joined(before, upward.load(number + 1), iter(upwards)))
                upward.save(number, _joined(None, state, iter(upwards)))
            yield box, output
            del output
        work.record()
        downward.remove()
        upward.remove()

    def _keep(self, name: str, windows: Iterator[tuple[Box, Tensor]], work: WorkFolder) -> None:
        """Write a whole map to a file."""
        return_freed_memory()
        file = work.map(name, self.channels[name], *self.sizes[name])
        for box, x in windows:
            file.write(box, x)
            del x  # or it would be in memory beside the next
        self.kept[name] = file

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
