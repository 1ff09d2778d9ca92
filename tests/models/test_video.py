"""Networks with memory of earlier frames; what they share with the others is tested over the table of models."""

import pytest
import torch
from stirring import as_if_trained
from tolerances import assert_close
from torch import nn

from sweepseg.cells import MinGRU
from sweepseg.cells.conv_gru import ConvGRU
from sweepseg.cells.conv_lstm import ConvLSTM
from sweepseg.layers.blocks import ConvNorm
from sweepseg.layers.conv_rnn import ConvRNN
from sweepseg.layers.pixel_rnn import PixelRNN
from sweepseg.layers.stages import Local, StagedModel
from sweepseg.models.sweepnet import sweepnet_small
from sweepseg.models.video import TimeBlock, VideoModel, sweepnet_small_video, sweepnet_small_video_control

RECURRENCES = {
    "gru": lambda: ConvRNN(ConvGRU(6, 4, 3)),
    "lstm": lambda: ConvRNN(ConvLSTM(6, 4, 3)),
    "mingru": lambda: PixelRNN(MinGRU(6, 4)),
}


def two_stages():
    stages = {
        "down": Local(ConvNorm(3, 6, stride=2), ["image"], halo=1, stride=2),
        "deeper": Local(ConvNorm(6, 6), ["down"], halo=1),
        "head": Local(nn.ConvTranspose2d(6, 2, 2, stride=2), ["deeper"], halo=0, upscale=2),
    }
    return StagedModel(stages, total_stride=2, in_channels=3)


def over_time(recurrence):
    return VideoModel(two_stages(), {"deeper": TimeBlock(recurrence(), 4, 6)}, halo=1)


@pytest.fixture(params=RECURRENCES)
def model(request):
    return as_if_trained(over_time(RECURRENCES[request.param]))


def frame_by_frame(model, clip):
    state, logits = None, []
    for frame in clip.split(1, dim=1):
        output, state = model.run(frame, state)
        logits.append(output)
    return torch.cat(logits, dim=1), state


def same_in_parts(model):
    """Frame by frame, in chunks and at once, alone and beside another video."""
    clip = torch.randn(2, 7, 3, 9, 10)
    with torch.no_grad():
        whole, _ = model.run(clip)
        assert_close(frame_by_frame(model, clip)[0], whole, "frame by frame")
        first, state = model.run(clip[:, :3])
        second, _ = model.run(clip[:, 3:], state)
        assert_close(torch.cat((first, second), dim=1), whole, "chunks")
        assert_close(model.run(clip[1:])[0], whole[1:], "alone")


def test_a_clip_at_once_is_its_frames_one_after_the_other(model):
    same_in_parts(model)


def test_the_small_model_too():
    same_in_parts(as_if_trained(sweepnet_small_video(2)))


def test_memory_is_what_makes_frames_differ(model):
    """The same picture again and again: the logits change, and start as those of the picture alone."""
    picture = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        logits, _ = model.run(picture[:, None].expand(-1, 3, -1, -1, -1))
        assert_close(logits[:, 0], model(picture), "first frame")
        assert (logits[:, 1] - logits[:, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("build", [sweepnet_small_video, sweepnet_small_video_control])
def test_starts_as_the_network_for_single_pictures(build):
    video, picture, clip = build(2).eval(), sweepnet_small(2).eval(), torch.randn(1, 2, 3, 16, 32)
    own = {name.replace("_norm_time", "_norm"): value for name, value in video.state_dict().items()}
    picture.load_state_dict({name: own[name] for name in picture.state_dict()})
    with torch.no_grad():
        assert_close(video.run(clip)[0][0], picture(clip[0]), "logits")


def test_gradient_reaches_the_first_frame_through_time_only():
    model = as_if_trained(over_time(RECURRENCES["gru"]))
    clip = torch.randn(1, 4, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.run(clip)[0][:, 2].sum(), clip)
    assert gradient[:, 0].any() and not gradient[:, 3].any()


@pytest.mark.parametrize("name", ["nothing", "head"])
def test_refuses_a_block_behind_no_stage(name):
    with pytest.raises(ValueError, match=f"no stage '{name}' to follow; choose from down, deeper"):
        VideoModel(two_stages(), {name: TimeBlock(RECURRENCES["gru"](), 4, 6)})


def test_refuses_what_is_no_clip():
    with pytest.raises(ValueError, match=r"give \(B, T, C, H, W\)"):
        over_time(RECURRENCES["gru"]).run(torch.zeros(1, 3, 8, 8))


class Forgets(VideoModel):
    def run(self, clip, state=None):
        return super().run(clip)


class RunsBackwards(VideoModel):
    def run(self, clip, state=None):
        logits, state = super().run(clip.flip(1), state)
        return logits.flip(1), state


class MixesBatchAndTime(VideoModel):
    def run(self, clip, state=None):
        logits, state = super().run(clip.transpose(0, 1), None)
        return logits.transpose(0, 1), state


@pytest.mark.parametrize("fault", [Forgets, RunsBackwards, MixesBatchAndTime])
def test_faults_are_caught(fault):
    model = as_if_trained(fault(two_stages(), {"deeper": TimeBlock(RECURRENCES["gru"](), 4, 6)}, halo=1))
    with pytest.raises(AssertionError):
        same_in_parts(model)
