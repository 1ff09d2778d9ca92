from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stirring import as_if_trained
from torch import Tensor

from sweepseg.cells import MinGRU
from sweepseg.cells.line_propagation import LinePropagation
from sweepseg.inference.map_files import Box, MapFile, StateFile
from sweepseg.inference.out_of_core import OutOfCore
from sweepseg.layers.merge import Concat
from sweepseg.layers.stages import Local, StagedModel, Swept
from sweepseg.layers.sweep import Sweep, Sweeps
from sweepseg.models import MODELS
from sweepseg.orders import ORDERS, backward

TOLERANCE = 1e-5  # of float32 logits of the order of 1: convolutions of other sizes add in another order


def network(builder: str) -> StagedModel:
    torch.manual_seed(0)
    return as_if_trained(MODELS[builder](3))


def out_of_core(model: StagedModel, image: Tensor, folder: Path, **options) -> Tensor:
    """The logits of an image (1, C, H, W), each pixel of which must come exactly once."""
    logits, times = None, torch.zeros(image.shape[2:])
    runner = OutOfCore(
        model, lambda box: image[..., box.top : box.bottom, box.left : box.right], *image.shape[2:], folder, **options
    )
    for box, window in runner.run():
        logits = torch.empty(1, window.shape[1], *image.shape[2:]) if logits is None else logits
        logits[..., box.top : box.bottom, box.left : box.right] = window
        times[box.top : box.bottom, box.left : box.right] += 1
    assert (times == 1).all()
    return logits


def largest_difference(model: StagedModel, image: Tensor, folder: Path, **options) -> float:
    with torch.inference_mode():
        whole = model(image)
    return (out_of_core(model, image, folder, **options) - whole).abs().max().item()


@pytest.mark.parametrize("builder", MODELS)
def test_windows_give_the_answer_of_the_whole_picture(builder, tmp_path):
    image = torch.randn(1, 3, 101, 75)
    assert largest_difference(network(builder), image, tmp_path, window=(40, 33), strip=32) <= TOLERANCE


SWEEPNET = network("sweepnet_small")


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(*[st.integers(1, 90)] * 2), st.tuples(*[st.integers(1, 90)] * 2), st.integers(1, 90))
def test_size_and_cuts_change_nothing(tmp_path_factory, size, window, strip):
    window = tuple(max(part, whole // 4) for part, whole in zip(window, size, strict=True))  # not too many
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(strip))
    folder = tmp_path_factory.mktemp("maps")
    assert largest_difference(SWEEPNET, image, folder, window=window, strip=strip) <= TOLERANCE


@pytest.mark.parametrize(("window", "strip"), [((40, 33), 32), ((16, 16), 16), ((500, 500), 500)])
@pytest.mark.parametrize("builder", MODELS)
def test_temporary_bytes_are_what_the_files_take(builder, window, strip, tmp_path, monkeypatch):
    most = 0

    def sampled(method):
        def call(self, *arguments):
            nonlocal most
            result = method(self, *arguments)
            if isinstance(self, StateFile):
                self.file.flush()
            most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
            return result

        return call

    monkeypatch.setattr(MapFile, "write", sampled(MapFile.write))
    monkeypatch.setattr(StateFile, "push", sampled(StateFile.push))
    image = torch.zeros(1, 3, 101, 75)
    runner = OutOfCore(network(builder), lambda box: image[..., : size(box)[0], : size(box)[1]], 101, 75, tmp_path)
    runner.window, runner.strip = window, strip
    for _ in runner.run():
        pass
    assert most <= runner.temporary_bytes <= 1.05 * most


@pytest.mark.parametrize("builder", MODELS)
def test_window_pixels_are_the_most_that_is_read_at_once(builder, tmp_path):
    most = 0

    def read(box: Box) -> Tensor:
        nonlocal most
        most = max(most, size(box)[0] * size(box)[1])
        return torch.zeros(1, 3, *size(box))

    runner = OutOfCore(network(builder), read, 304, 208, tmp_path, window=(64, 64), strip=128)
    for _ in runner.run():
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


def test_temporary_files_go_whatever_happens(tmp_path):
    def fails(box: Box) -> Tensor:
        if box.top > 20:
            raise OSError("no such rows")
        return torch.zeros(1, 3, box.bottom - box.top, box.right - box.left)

    with pytest.raises(OSError, match="no such rows"):
        list(OutOfCore(SWEEPNET, fails, 64, 64, tmp_path, window=(16, 64), strip=16).run())
    assert not list(tmp_path.iterdir())
    run = OutOfCore(SWEEPNET, lambda box: torch.zeros(1, 3, *size(box)), 64, 64, tmp_path, window=(16, 64)).run()
    next(run)
    assert list(tmp_path.iterdir())
    run.close()
    assert not list(tmp_path.iterdir())


def size(box: Box) -> tuple[int, int]:
    return box.bottom - box.top, box.right - box.left


def test_no_window_grows_with_the_picture(tmp_path):
    def largest_read(height: int) -> int:
        seen = []

        def read(box: Box) -> Tensor:
            seen.append(size(box)[0] * size(box)[1])
            return torch.zeros(1, 3, *size(box))

        for _ in OutOfCore(SWEEPNET, read, height, 40, tmp_path, window=(16, 16), strip=16).run():
            pass
        return max(seen)

    assert largest_read(256) == largest_read(128)


def one_sweep(sweep: torch.nn.Module, *, strips: bool) -> StagedModel:
    stages = {"sweep": Swept(Sweeps([sweep], Concat()), ["image"], strips=strips)}
    stages["head"] = Local(torch.nn.Conv2d(4, 2, 1), ["sweep"], halo=0)
    return StagedModel(stages, total_stride=1, in_channels=3).eval()


def test_cell_over_maps_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has sweeps in sweep that need the whole picture"):
        OutOfCore(one_sweep(LinePropagation(3, 4, "up"), strips=False), torch.zeros, 9, 6, tmp_path)


@pytest.mark.parametrize("order", [*ORDERS.values(), *map(backward, ORDERS.values())], ids=lambda order: order.name)
def test_sweep_is_exact_or_refused(order, tmp_path):
    torch.manual_seed(0)
    model = one_sweep(Sweep(MinGRU(3, 4), order), strips=order.strips)
    if order.downwards:
        assert largest_difference(model, torch.randn(1, 3, 9, 6), tmp_path, strip=2) <= TOLERANCE
    else:
        with pytest.raises(ValueError, match="has sweeps in sweep that need the whole picture"):
            OutOfCore(model, torch.zeros, 9, 6, tmp_path)
