from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.models import model
from stirring import as_if_trained
from torch.utils._pytree import tree_leaves

from sweepseg.cells import LSTM
from sweepseg.errors import ModelFileError, OutputError
from sweepseg.inference.segment import segment
from sweepseg.inference.streaming import StreamingSegmenter, stream
from sweepseg.layers.blocks import context_stage
from sweepseg.layers.stages import Local, StagedModel
from sweepseg.layers.sweep import Sweep
from sweepseg.models.segmenter import Segmenter
from sweepseg.orders import columns

TOLERANCE = 1e-5  # of logits: convolutions of other heights add in another order
TIE = 1e-4  # the two best logits of a pixel that may go to either class
LOOK_AHEAD = 98  # of sweepnet_small_causal, worked by hand


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)


def trained(**options) -> Segmenter:
    return model(**{"builder": "sweepnet_small_causal", "task": "multiclass", "classes": 3} | options)


MODEL = trained()


def streamed(segmenter: StreamingSegmenter, image: np.ndarray, heights: list[int]) -> np.ndarray:
    """The mask of an image given in strips; the last strip is what the heights leave over."""
    edges = [0, *np.cumsum(heights), len(image)]
    return np.concatenate([*(segmenter.push(image[a:b]) for a, b in pairwise(edges)), segmenter.finish()])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 40), st.integers(1, 50), st.sampled_from([16, 32]))
def test_mask_and_logits_are_those_of_the_whole_picture_however_it_is_cut(heights, rest, width, strip):
    image, found = picture(max(1, sum(heights) + rest), width), []

    class Recording(StreamingSegmenter):
        def _mask(self, logits):
            found.append(logits)
            return super()._mask(logits)

    mask = streamed(Recording(MODEL, strip=strip), image, heights)
    with torch.inference_mode():
        whole = MODEL(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None])[0]
    logits = torch.cat([one for one in found if one is not None], dim=2)[0]
    assert logits.shape == whole.shape
    assert ((logits - whole).abs() <= TOLERANCE * whole.abs().clamp(min=1)).all()
    best, second = whole.topk(2, dim=0).values
    certain = (best - second > TIE).numpy()
    np.testing.assert_array_equal(mask[certain], segment(MODEL, image).mask[certain])
    np.testing.assert_array_equal(mask, streamed(StreamingSegmenter(MODEL, strip=strip), image, []))


@pytest.mark.parametrize(
    ("builder", "strip", "look_ahead"),
    [
        ("sweepnet_small_causal", None, LOOK_AHEAD),
        ("sweepnet_small_causal", 48, LOOK_AHEAD + 32),
        ("reseg_control", None, 45),
    ],
)
def test_row_is_out_when_as_many_rows_as_the_look_ahead_follow_it(builder, strip, look_ahead):
    segmenter = StreamingSegmenter(trained(builder=builder), strip=strip)
    assert segmenter.look_ahead == look_ahead
    for row, pixels in enumerate(picture(look_ahead + 40, 2)):
        assert len(segmenter.push(pixels[None])) == (row >= look_ahead)
    assert (segmenter.rows, segmenter.rows_out) == (look_ahead + 40, 40)
    assert len(segmenter.finish()) == look_ahead


@pytest.mark.parametrize(("task", "shape"), [("binary", (9,)), ("multiclass", (9,)), ("multilabel", (3, 9))])
def test_every_task_gives_what_segment_gives_row_by_row(task, shape):
    tasked = trained(task=task, classes=2 if task == "binary" else 3)
    image = picture(120, 9)
    mask = np.concatenate([*stream(tasked, iter(image[:, None]))])
    assert mask.dtype == np.uint8 and mask.shape == (120, *shape)
    whole = segment(tasked, image).mask
    assert len(np.unique(whole)) > 1
    np.testing.assert_array_equal(mask, whole.swapaxes(0, 1) if task == "multilabel" else whole)


def test_generator_waits_for_no_more_rows_than_it_must():
    given = []
    masks = stream(MODEL, (given.append(row) or row[None] for row in picture(LOOK_AHEAD + 9, 5)))
    for count in range(3):
        assert next(masks).shape == (1, 5)
        assert len(given) == LOOK_AHEAD + 1 + count


@pytest.mark.parametrize("same", [lambda x: x, lambda x: x.astype(np.uint16) * 257, lambda x: x / np.float32(255)])
def test_grey_rows_of_any_type_are_taken_as_segment_takes_them(same):
    grey = picture(20, 7, 1)[..., 0]
    np.testing.assert_array_equal(streamed(StreamingSegmenter(MODEL), same(grey), [3]), segment(MODEL, grey).mask)


def lstm_model() -> Segmenter:
    """A state of two tensors, and a total stride of 1."""
    sweeps = [Sweep(LSTM(3, 4), columns)]
    stages = {
        "context": context_stage("image", 3, sweeps, 4, control=False),
        "head": Local(torch.nn.Conv2d(3, 3, 3, padding=1), ["context"], halo=1),
    }
    network = as_if_trained(StagedModel(stages, total_stride=1, in_channels=3))
    return Segmenter(network, MODEL.config).eval()


@pytest.mark.parametrize("streaming", [MODEL, trained(channels=1, task="binary", classes=2), lstm_model()])
@pytest.mark.parametrize("cut", [0, 55, 130])
def test_saved_stream_goes_on_with_the_same_bits(streaming, cut, tmp_path):
    image = picture(160, 11, len(streaming.config.mean))
    want = streamed(StreamingSegmenter(streaming), image, [])
    first = StreamingSegmenter(streaming)
    above = first.push(image[:cut])
    first.save_state(tmp_path / "state")
    first.push(image[:9])  # what was saved does not change any more
    second = StreamingSegmenter.from_state(streaming, tmp_path / "state")
    assert (second.rows, second.rows_out) == (cut, len(above))
    np.testing.assert_array_equal(np.concatenate([above, streamed(second, image[cut:], [])], dtype=np.uint8), want)


def test_saved_stream_keeps_its_strip_and_what_was_taken_back(tmp_path):
    image = picture(200, 6)
    want = streamed(StreamingSegmenter(MODEL, strip=32), image, [])
    segmenter = StreamingSegmenter(MODEL, strip=32)
    mask = segmenter.push(image)
    segmenter.take_back(mask[50:])
    segmenter.save_state(tmp_path / "state")
    segmenter = StreamingSegmenter.from_state(MODEL, tmp_path / "state")
    maps = [x for x in tree_leaves(segmenter._state()) if isinstance(x, torch.Tensor) and x.dim() == 4]
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in maps)  # for the speed of before
    np.testing.assert_array_equal(np.concatenate([mask[:50], segmenter.finish()]), want)
    segmenter.take_back(want[190:])
    np.testing.assert_array_equal(segmenter.finish(), want[190:])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    segmenter = StreamingSegmenter(MODEL)
    segmenter.push(picture(40, 8))
    path = tmp_path_factory.mktemp("saved") / "state"
    segmenter.save_state(path)
    return path


def other_weights() -> Segmenter:
    other = trained()
    with torch.no_grad():
        next(other.network.parameters())[0] += 1e-6
    return other


def other_mean() -> Segmenter:
    return Segmenter(MODEL.network, replace(MODEL.config, mean=(0.4, 0.5, 0.5)))


@pytest.mark.parametrize("other", [trained(channels=1), other_weights(), other_mean(), lstm_model()])
def test_state_of_another_model_is_refused(saved, other):
    with pytest.raises(ModelFileError, match="state: the stream began with another model"):
        StreamingSegmenter.from_state(other, saved)


def test_damaged_state_is_refused_wherever_the_damage_is(saved, tmp_path):
    data = saved.read_bytes()
    damaged = [data[:n] for n in (0, 5, 100, len(data) - 1)] + [data + b"\0", b"PK" + data, b"{}"]
    places = [*range(0, 600, 15), *np.random.default_rng(0).integers(600, len(data), 40).tolist()]
    for place in places:
        damaged.append(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
    for one in damaged:
        (tmp_path / "state").write_bytes(one)
        with pytest.raises(ModelFileError) as refusal:
            StreamingSegmenter.from_state(MODEL, tmp_path / "state")
        assert "\n" not in str(refusal.value) and str(tmp_path / "state") in str(refusal.value)


def test_state_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="is a directory"):
        StreamingSegmenter.from_state(MODEL, tmp_path)


def test_state_is_written_whole_or_not_at_all(saved, tmp_path):
    segmenter = StreamingSegmenter.from_state(MODEL, saved)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        segmenter.save_state(tmp_path / "file" / "state")
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.full((2, 8, 3), np.nan, np.float32), "outside of"),
        (np.full((2, 8, 3), 1.5, np.float32), r"\[1.5, 1.5\], outside of \[0, 1\]"),
        (np.zeros((2, 9, 3), np.uint8), "rows of 9 pixels after rows of 8"),
        (np.zeros((2, 8, 4), np.uint8), "4 channels but the model takes 3"),
        (np.zeros(8, np.uint8), r"\(8,\); give \(h, W\)"),
        (np.zeros((2, 0), np.uint8), r"\(2, 0, 1\); give \(h, W\)"),
    ],
)
def test_refused_rows_change_nothing(rows, words):
    image = picture(140, 8)
    segmenter = StreamingSegmenter(MODEL)
    above = segmenter.push(image[:120])
    with pytest.raises(ValueError, match=words):
        segmenter.push(rows)
    np.testing.assert_array_equal(
        np.concatenate([above, streamed(segmenter, image[120:], [])]), streamed(StreamingSegmenter(MODEL), image, [])
    )


def test_failure_inside_the_model_changes_nothing(monkeypatch):
    image = picture(140, 8)
    segmenter = StreamingSegmenter(MODEL)
    above = segmenter.push(image[:50])
    with monkeypatch.context() as patch:
        bias = MODEL.network.stages["head"].module.project.bias
        patch.setattr(bias, "data", torch.full_like(bias, torch.nan))
        with pytest.raises(ValueError, match="non-finite"):
            segmenter.push(image[50:])
        with pytest.raises(ValueError, match="non-finite"):
            segmenter.finish()
    np.testing.assert_array_equal(
        np.concatenate([above, streamed(segmenter, image[50:], [])]), streamed(StreamingSegmenter(MODEL), image, [])
    )


def test_picture_ends_once():
    segmenter = StreamingSegmenter(MODEL)
    assert len(segmenter.push(picture(10, 4))) == 0
    assert segmenter.finish().shape == (10, 4)
    assert segmenter.finish().shape == (0, 4)
    with pytest.raises(ValueError, match="finished"):
        segmenter.push(picture(1, 4))


def test_no_rows_give_no_mask():
    assert StreamingSegmenter(MODEL).finish().size == 0
    assert [*stream(MODEL, [])] == []


def test_nothing_grows_with_the_rows():
    segmenter, rows, taken = StreamingSegmenter(MODEL), picture(16, 3), []
    for pushed in [rows] * 40 + [rows.repeat(20, axis=0)]:
        segmenter.push(pushed)
        tensors = [x for x in tree_leaves(segmenter._state()) if isinstance(x, torch.Tensor)]
        taken.append(sum(x.untyped_storage().nbytes() for x in tensors))
    assert len({*taken[10:]}) == 1


@pytest.mark.parametrize("strip", [0, -16, 8, 20])
def test_strip_is_a_multiple_of_the_stride(strip):
    with pytest.raises(ValueError, match=f"strip is {strip}; give a multiple of 16"):
        StreamingSegmenter(MODEL, strip=strip)


def test_model_that_needs_the_whole_picture_is_refused():
    with pytest.raises(ValueError, match="sweepnet_small_causal"):
        StreamingSegmenter(model())
