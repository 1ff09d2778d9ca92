import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from inference.models import model
from torch import nn

from sweepseg.inference import work_folder as work_module
from sweepseg.inference.map_files import Box
from sweepseg.inference.tiles import SIGMA, Tiles
from sweepseg.inference.work_folder import WorkFolder, work_folder


def joined(runner: Tiles, image: torch.Tensor, folder: Path) -> torch.Tensor:
    """The blended logits, each pixel of which must come exactly once, row by row."""
    logits, times = torch.zeros(1, runner.num_logits, *image.shape[2:]), torch.zeros(image.shape[2:])
    with closing(WorkFolder(folder)) as work:
        for box, part in runner.run(lambda box: image[..., box.top : box.bottom, box.left : box.right], work):
            logits[..., box.top : box.bottom, box.left : box.right] = part
            times[box.top : box.bottom, box.left : box.right] += 1
        assert work.step == runner.steps and [path.name for path in folder.iterdir()] == ["record.json"]
    assert (times == 1).all()
    return logits


class MeanOfTile(nn.Module):
    """A network of which each pixel sees its whole tile."""

    def forward(self, x):
        return torch.cat([x, x - x.mean((2, 3), keepdim=True)], dim=1)


def starts(size: int, tile: int, step: int) -> list[int]:
    found = [0]
    while found[-1] + tile < size:
        found.append(min(found[-1] + step, size - tile))
    return found


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 30), (41, 7), (23, 19), (16, 14)])
def test_logits_are_those_of_tiles_weighted_by_a_gaussian(size, overlap, tmp_path):
    tile, step = 8, {0: 8, 0.25: 6, 0.5: 4, 0.8: 2}[overlap]
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    total, weights = np.zeros((6, *size)), np.zeros(size)
    for top in starts(size[0], tile, step):
        for left in starts(size[1], tile, step):
            part = image[0, :, top : top + tile, left : left + tile].double().numpy()
            height, width = part.shape[1:]
            rows, columns = (np.exp(-(((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) / 2) for n in (height, width))
            weight = rows[:, None] * columns
            logits = np.concatenate([part, part - part.mean((1, 2), keepdims=True)])
            total[:, top : top + height, left : left + width] += weight * logits
            weights[top : top + height, left : left + width] += weight
    found = joined(Tiles(MeanOfTile(), 6, *size, tile=tile, overlap=overlap), image, tmp_path)
    np.testing.assert_allclose(found[0].numpy(), total / weights, rtol=0, atol=1e-5)


def test_planted_fault_of_the_gaussian_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("sweepseg.inference.tiles.SIGMA", 1.1 * SIGMA)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_logits_are_those_of_tiles_weighted_by_a_gaussian((23, 19), 0.25, tmp_path)


def test_an_image_that_is_no_larger_than_a_tile_has_the_logits_of_the_network(tmp_path):
    image = torch.randn(1, 3, 30, 41)
    network = model().network
    with torch.inference_mode():
        assert torch.equal(joined(Tiles(network, 1, 30, 41, tile=41, overlap=0.5), image, tmp_path), network(image))


def test_temporary_bytes_are_what_the_files_take_and_do_not_grow_with_the_height(tmp_path):
    runner = Tiles(MeanOfTile(), 6, 38, 26, tile=8, overlap=0.25)
    with closing(WorkFolder(tmp_path)) as work:
        for _ in runner.run(lambda box: torch.zeros(1, 3, box.bottom - box.top, box.right - box.left), work):
            most = (tmp_path / "sums").stat().st_size
    assert most <= runner.temporary_bytes() <= 1.01 * most
    assert runner.temporary_bytes() == Tiles(MeanOfTile(), 6, 386, 26, tile=8, overlap=0.25).temporary_bytes()
    assert runner.temporary_bytes(5) == runner.temporary_bytes() + 5 * 38 * 26


@pytest.mark.parametrize("kill", range(1, 36, 3))
def test_work_goes_on_after_a_kill_at_any_tile_with_the_same_bits(kill, tmp_path, monkeypatch):
    monkeypatch.setattr(work_module, "SECONDS", 0)
    monkeypatch.setattr(os, "fsync", lambda file: None)
    image = torch.randn(1, 3, 41, 23, generator=torch.Generator().manual_seed(0))
    runner, found, reads = Tiles(MeanOfTile(), 6, 41, 23, tile=8, overlap=0.5), torch.zeros(1, 6, 41, 23), 0

    def read(box: Box) -> torch.Tensor:
        nonlocal reads
        reads += 1
        if reads == kill:
            raise KeyboardInterrupt
        return image[..., box.top : box.bottom, box.left : box.right]

    def run() -> None:
        with work_folder(tmp_path / "work", {}, resume=True, note=lambda line: None) as work:
            for box, part in runner.run(read, work):
                found[..., box.top : box.bottom, box.left : box.right] = part

    with pytest.raises(KeyboardInterrupt):
        run()
    run()
    across = len(runner.columns)
    assert reads == len(runner.rows) * across + (kill - 1) % across + 1  # one row of tiles begins again
    (tmp_path / "whole").mkdir()
    assert torch.equal(found, joined(runner, image, tmp_path / "whole"))
