"""time_distributed: a clip at once is its frames one after the other, with any cell; its sizes."""

import pytest
import torch
from stirring import as_if_trained
from tolerances import assert_close
from torch import nn

from sweepseg.cells import GRU, LSTM, Elman
from sweepseg.layers.blocks import count_parameters
from sweepseg.models.textbook.time_distributed import TimeDistributed, time_distributed


@pytest.mark.parametrize("cell", [Elman, LSTM, GRU])
def test_frames_one_after_the_other_are_the_clip_at_once(cell):
    model = as_if_trained(TimeDistributed(2, widths=(3, 4, 5), between=4, units=6, wide=7, cell=cell))
    clip, state, logits = torch.randn(1, 4, 3, 17, 20), None, []
    with torch.no_grad():
        for frame in clip.split(1, dim=1):
            output, state = model.run(frame, state)
            logits.append(output)
        whole, _ = model.run(clip)
        assert_close(torch.cat(logits, dim=1), whole, "logits")
        alone, _ = model.run(clip[:, 3:])
    assert (whole[:, 3:] - alone).abs().max() > 1e-3  # it remembers


def test_the_sizes_are_the_textbooks():
    stages = time_distributed(11).stages
    names = ("conv2", "conv4", "conv8", "between", "again", "wide")
    assert [stages[name].module[0].out_channels for name in names] == [64, 128, 256, 128, 256, 1024]
    for name in ("conv8_time", "again_time"):
        assert count_parameters(stages[name].module.recurrence) == count_parameters(nn.LSTM(256, 128))
