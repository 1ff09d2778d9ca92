from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stirring import as_if_trained
from torch import Tensor

from sweepseg.inference.strips import StripRunner, certain_rows
from sweepseg.layers.stages import StagedModel
from sweepseg.models import MODELS, sweepnet_small

TOLERANCE = 1e-5  # of float32 logits of the order of 1: convolutions of other heights add in another order


def causal_model() -> StagedModel:
    torch.manual_seed(0)
    return as_if_trained(sweepnet_small(3, causal=True))


MODEL = causal_model()


def in_strips(model: StagedModel, image: Tensor, heights: Sequence[int]) -> Tensor:
    """The logits of an image (B, C, H, W) given in strips; the last strip is what the heights leave over."""
    runner = StripRunner(model)
    rest = image.shape[2] - sum(heights)
    given = image.split([*heights, rest] if rest else [*heights], dim=2)
    parts = [*(runner.push(rows) for rows in given), runner.finish()]
    return torch.cat([part for part in parts if part is not None], dim=2)


def largest_difference(model: StagedModel, image: Tensor, heights: Sequence[int]) -> float:
    with torch.inference_mode():
        whole = model(image)
    strips = in_strips(model, image, heights)
    assert strips.shape == whole.shape
    return (strips - whole).abs().max().item()


@st.composite
def cuts(draw) -> tuple[int, list[int]]:
    """The height of a picture and the heights of strips that it is cut into."""
    height = draw(st.integers(1, 120))
    rows = draw(st.sets(st.integers(1, max(1, height - 1)), max_size=8))
    edges = [0, *sorted(row for row in rows if row < height), height]
    return height, [b - a for a, b in pairwise(edges)]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cuts(), st.integers(1, 50), st.integers(1, 2))
def test_strips_give_the_answer_of_the_whole_picture(cut, width, batch):
    height, heights = cut
    image = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height))
    assert largest_difference(MODEL, image, heights) <= TOLERANCE


def test_row_by_row_gives_the_answer_of_the_whole_picture():
    assert largest_difference(MODEL, torch.randn(1, 3, 70, 33), [1] * 70) <= TOLERANCE


@pytest.mark.parametrize("builder", ["sweepnet_small_causal", "reseg_control"])
def test_certain_rows_are_those_that_come(builder):
    model = MODELS[builder](2).eval()
    runner, count = StripRunner(model), 0
    for height in range(1, 140):
        logits = runner.push(torch.zeros(1, 3, 1, 2))
        count += 0 if logits is None else logits.shape[2]
        assert certain_rows(model, height) == count
    assert count > 0


def halo_too_small(model: StagedModel) -> None:
    model.stages["conv8"].halo -= 1


def no_halo_of_upsampling(model: StagedModel) -> None:
    model.stages["up4"].halo = 0


def state_forgotten(model: StagedModel) -> None:
    stage = model.stages["context16_0"]
    forward = stage.forward
    stage.forward = lambda x, state=None: (forward(x)[0], None)


@pytest.mark.parametrize("plant", [halo_too_small, no_halo_of_upsampling, state_forgotten])
def test_planted_fault_is_far_outside_of_the_tolerance(plant):
    model = causal_model()
    plant(model)
    assert largest_difference(model, torch.randn(1, 3, 120, 33), [16] * 7) > 10 * TOLERANCE


def test_memory_is_bounded_however_tall_the_picture_is():
    runner = StripRunner(MODEL)
    kept = []
    for _ in range(12):
        runner.push(torch.randn(1, 3, 32, 16))
        kept.append(sum(rows.kept.numel() for rows in runner.maps.values() if rows.kept is not None))
    assert kept[-1] <= kept[3]


def test_model_that_needs_the_whole_picture_is_refused():
    with pytest.raises(ValueError, match="causal=True"):
        StripRunner(sweepnet_small(2))


def test_restored_runner_goes_on_with_the_same_bits():
    image = torch.randn(1, 3, 150, 20)
    want, runner = in_strips(MODEL, image, [70, 40]), StripRunner(MODEL)
    runner.push(image[:, :, :70])
    state = runner.state()
    runner.push(image[:, :, :40])
    for goes_on in (runner, StripRunner(MODEL), runner):
        goes_on.restore(state)
        parts = [goes_on.push(image[:, :, 70:110]), goes_on.push(image[:, :, 110:]), goes_on.finish()]
        rows = torch.cat(parts, dim=2)
        assert torch.equal(rows, want[:, :, -rows.shape[2] :])


def test_rows_of_another_width_are_refused():
    runner = StripRunner(MODEL)
    runner.push(torch.zeros(1, 3, 4, 8))
    with pytest.raises(ValueError, match="rows of 9 pixels after rows of 8"):
        runner.push(torch.zeros(1, 3, 4, 9))


def test_no_rows_give_no_logits():
    assert StripRunner(MODEL).finish() is None
