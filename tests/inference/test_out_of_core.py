import itertools
import os
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stirring import as_if_trained
from torch import Tensor
from torch.utils._pytree import tree_map_only

from sweepseg.cells import MinGRU
from sweepseg.cells.line_propagation import LinePropagation
from sweepseg.inference import work_folder
from sweepseg.inference.map_files import Box, MapFile, StateFiles
from sweepseg.inference.out_of_core import OutOfCore
from sweepseg.inference.work_folder import WorkFolder
from sweepseg.layers.merge import Concat
from sweepseg.layers.stages import Local, StagedModel, Swept
from sweepseg.layers.sweep import Sweep, Sweeps
from sweepseg.models import SEGMENTERS
from sweepseg.models.sweepnet import sweepnet_small
from sweepseg.orders import ORDERS, backward, columns, rows

NETWORKS = {**SEGMENTERS, "sweepnet_small at full resolution": partial(sweepnet_small, detail=4)}
SHAPES = [name for name in SEGMENTERS if not name.endswith("_control")] + ["sweepnet_small_control"]
TOLERANCE = 1e-5  # of the largest of float32 logits, or of 1: convolutions of other sizes add in another order


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)


def network(builder: str) -> StagedModel:
    torch.manual_seed(0)
    deviation = 0.02 if builder.startswith("sweepnet_base") else 0.05  # more, on so wide layers, magnifies rounding
    return as_if_trained(NETWORKS[builder](3), deviation)


def out_of_core(model: StagedModel, image: Tensor, folder: Path, **options) -> Tensor:
    """The logits of an image (1, C, H, W), each pixel of which must come exactly once."""
    logits, times = None, torch.zeros(image.shape[2:])
    runner = OutOfCore(model, *image.shape[2:], **options)
    for box, window in run(runner, image, folder):
        logits = torch.empty(1, window.shape[1], *image.shape[2:]) if logits is None else logits
        logits[..., box.top : box.bottom, box.left : box.right] = window
        times[box.top : box.bottom, box.left : box.right] += 1
    assert (times == 1).all()
    return logits


def run(runner: OutOfCore, image: Tensor, folder: Path) -> Iterator[tuple[Box, Tensor]]:
    with closing(WorkFolder(folder)) as work:
        yield from runner.run(lambda box: image[..., box.top : box.bottom, box.left : box.right], work)
        assert work.step == work.finished == runner.steps


def largest_difference(model: StagedModel, image: Tensor, folder: Path, **options) -> float:
    with torch.inference_mode():
        whole = model(image)
    return error(out_of_core(model, image, folder, **options), whole)


def error(logits: Tensor, true: Tensor) -> float:
    return ((logits - true).abs() / true.abs().clamp_min(1)).max().item()


@pytest.mark.parametrize("builder", NETWORKS)
def test_windows_give_the_answer_of_the_whole_picture(builder, tmp_path):
    image, model = torch.randn(1, 3, 101, 75), network(builder)
    with torch.inference_mode():
        whole, exact = model(image), deepcopy(model).double()(image.double())
    parts = out_of_core(model, image, tmp_path, window=(40, 33), strip=32)
    assert error(parts, whole) <= TOLERANCE or error(parts, exact) <= 2 * error(whole, exact)  # large random weights


SWEEPNET = network("sweepnet_small")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(*[st.integers(1, 90)] * 2), st.tuples(*[st.integers(1, 90)] * 2), st.integers(1, 90))
def test_size_and_cuts_change_nothing(tmp_path_factory, size, window, strip):
    window = tuple(max(part, whole // 4) for part, whole in zip(window, size, strict=True))  # not too many
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(strip))
    folder = tmp_path_factory.mktemp("maps")
    assert largest_difference(SWEEPNET, image, folder, window=window, strip=strip) <= TOLERANCE


@pytest.mark.parametrize(("window", "strip"), [((40, 33), 32), ((16, 16), 16), ((500, 500), 500)])
@pytest.mark.parametrize("builder", SHAPES)
def test_temporary_bytes_are_what_the_files_take(builder, window, strip, tmp_path, monkeypatch):
    most = 0

    def sampled(method):
        def call(self, *arguments):
            nonlocal most
            result = method(self, *arguments)
            most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir() if path.name != "record.json"))
            return result

        return call

    monkeypatch.setattr(MapFile, "write", sampled(MapFile.write))
    monkeypatch.setattr(StateFiles, "save", sampled(StateFiles.save))
    image = torch.zeros(1, 3, 101, 75)
    runner = OutOfCore(network(builder), 101, 75, window=window, strip=strip)
    for _ in run(runner, image, tmp_path):
        pass
    assert most <= runner.temporary_bytes() <= 1.05 * most
    assert runner.temporary_bytes(10**6) >= 101 * 75 * 10**6


@pytest.mark.parametrize("builder", SHAPES)
def test_window_pixels_are_the_most_that_is_read_at_once(builder, tmp_path):
    most = 0

    def read(box: Box) -> Tensor:
        nonlocal most
        most = max(most, size(box)[0] * size(box)[1])
        return torch.zeros(1, 3, *size(box))

    runner = OutOfCore(network(builder), 304, 208, window=(64, 64), strip=128)
    for _ in runner.run(read, WorkFolder(tmp_path)):
        pass
    assert most <= runner.window_pixels <= 1.05 * most


def halo_too_small(model: StagedModel) -> None:
    model.stages["conv8"].halo -= 1


def no_halo_of_upsampling(model: StagedModel) -> None:
    for name in ("up8", "up4", "up2", "head"):
        model.stages[name].halo = 0


def state_forgotten(reverse: bool):
    def plant(model: StagedModel) -> None:
        sweeps = model.stages["context16_0"].module.mixer.sweeps
        sweeps.carries = [
            carries and sweep.order.reverse is not reverse
            for carries, sweep in zip(sweeps.carries, sweeps.sweeps, strict=True)
        ]

    return plant


@pytest.mark.parametrize(
    "plant", [halo_too_small, no_halo_of_upsampling, state_forgotten(False), state_forgotten(True)]
)
def test_planted_fault_is_far_outside_of_the_tolerance(plant, tmp_path):
    model = network("sweepnet_small")
    plant(model)
    image = torch.randn(1, 3, 101, 75)
    assert largest_difference(model, image, tmp_path, window=(40, 33), strip=32) > 10 * TOLERANCE


def size(box: Box) -> tuple[int, int]:
    return box.bottom - box.top, box.right - box.left


def test_no_window_grows_with_the_picture(tmp_path):
    def largest_read(height: int) -> int:
        seen = []

        def read(box: Box) -> Tensor:
            seen.append(size(box)[0] * size(box)[1])
            return torch.zeros(1, 3, *size(box))

        for _ in OutOfCore(SWEEPNET, height, 40, window=(16, 16), strip=16).run(read, WorkFolder(tmp_path)):
            pass
        return max(seen)

    assert largest_read(1024) == largest_read(512)


def one_sweep(sweep: torch.nn.Module, *, strips: bool) -> StagedModel:
    stages = {"sweep": Swept(Sweeps([sweep], Concat()), ["image"], strips=strips)}
    stages["head"] = Local(torch.nn.Conv2d(4, 2, 1), ["sweep"], halo=0)
    return StagedModel(stages, total_stride=1, in_channels=3).eval()


def test_cell_over_maps_is_refused():
    with pytest.raises(ValueError, match="has sweeps in sweep that need the whole picture"):
        OutOfCore(one_sweep(LinePropagation(3, 4, "up"), strips=False), 9, 6)


@pytest.mark.parametrize("order", [*ORDERS.values(), *map(backward, ORDERS.values())], ids=lambda order: order.name)
def test_sweep_is_exact_or_refused(order, tmp_path):
    torch.manual_seed(0)
    model = one_sweep(Sweep(MinGRU(3, 4), order), strips=order.strips)
    if order.downwards:
        assert largest_difference(model, torch.randn(1, 3, 9, 6), tmp_path, strip=2) <= TOLERANCE
    else:
        with pytest.raises(ValueError, match="has sweeps in sweep that need the whole picture"):
            OutOfCore(model, 9, 6)


def two_stages() -> StagedModel:
    torch.manual_seed(0)
    four = [order for way in (rows, columns) for order in (way, backward(way))]
    stages = {
        "down": Local(torch.nn.Conv2d(3, 6, 3, stride=2, padding=1), ["image"], halo=1, stride=2),
        "both": Swept(Sweeps([Sweep(MinGRU(6, 2), order) for order in four], Concat()), ["down"], strips=False),
        "once": Swept(Sweeps([Sweep(MinGRU(8, 4), columns)], Concat()), ["both"], strips=True),
        "head": Local(torch.nn.ConvTranspose2d(4, 1, 2, 2), ["once"], halo=0, upscale=2),
    }
    return StagedModel(stages, total_stride=2, in_channels=3).eval()


class Killed(BaseException):
    pass


class Kill:
    """Kills the process when it writes to a file, which then holds nonsense, or just after it deleted one."""

    def __init__(self, patch: pytest.MonkeyPatch, moment: int | None):
        self.count, self.writes, self.moment = 0, 0, moment
        for owner, name in ((MapFile, "write"), (StateFiles, "save")):
            patch.setattr(owner, name, self.watching(getattr(owner, name)))
        for owner in (WorkFolder, StateFiles):
            patch.setattr(owner, "remove", self.after(owner.remove))

    def after(self, remove):
        def call(*arguments):
            remove(*arguments)
            self.tick()

        return call

    def watching(self, write):
        def call(itself, place, value):
            if self.count + 1 == self.moment:
                write(itself, place, tree_map_only(Tensor, lambda x: x * torch.nan, value))
            self.tick()
            self.writes += 1
            write(itself, place, value)

        return call

    def tick(self) -> None:
        self.count += 1
        if self.count == self.moment:
            raise Killed


@pytest.mark.parametrize("seconds", [0, 3, 10**9], ids=["each step on record", "some", "only what has to be"])
def test_work_goes_on_after_a_kill_at_any_moment_with_the_same_bits(seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(work_folder, "SECONDS", seconds)
    monkeypatch.setattr(work_folder.time, "monotonic", itertools.count().__next__)
    image, runner = torch.randn(1, 3, 22, 13), OutOfCore(two_stages(), 22, 13, window=(8, 7), strip=6)

    kill = None

    def written(folder: Path, moment: int | None, found: dict) -> Kill:
        nonlocal kill
        with (
            monkeypatch.context() as patch,
            work_folder.work_folder(folder, {}, resume=True, note=lambda line: None) as work,
        ):
            kill = Kill(patch, moment)
            for box, logits in runner.run(lambda box: image[..., box.top : box.bottom, box.left : box.right], work):
                kill.tick()
                found[box] = logits
        return kill

    whole: dict[Box, Tensor] = {}
    kill = written(tmp_path / "whole", None, whole)
    total, writes = kill.count, kill.writes
    assert len(whole) == 6 and total > 20
    for moment in range(1, total + 1):
        found: dict[Box, Tensor] = {}
        with pytest.raises(Killed):
            written(tmp_path / str(moment), moment, found)
        before = kill.writes
        written(tmp_path / str(moment), None, found)
        assert found.keys() == whole.keys() and all(torch.equal(found[box], x) for box, x in whole.items())
        if seconds == 0:
            assert before + kill.writes <= writes + 1  # of the step that was killed a second file may be written again
    assert not any(tmp_path.iterdir())
