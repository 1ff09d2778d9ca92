"""conv_gru against torch.nn, and its two masks."""

import torch
from models.oracle import renet
from stirring import as_if_trained
from tolerances import assert_close

from sweepseg.models.textbook.conv_gru import conv_gru, conv_gru_control


def test_the_gru_is_torchs():
    stage = as_if_trained(conv_gru(2)).double().stages["gru"]
    x = torch.randn(2, 64, 5, 6).double()
    assert_close(stage(x)[0], renet(stage.module, x), "states")


def test_a_fifth_of_the_channels_is_hidden_for_a_whole_picture():
    for build in (conv_gru, conv_gru_control):
        stage, x = build(2).stages["conv"], torch.randn(16, 64, 6, 7)
        hidden = (stage.train()(x) == 0).all((2, 3)).double().mean()
        assert 0.1 < hidden < 0.3
        assert not (stage.eval()(x) == 0).all((2, 3)).any()


def test_a_fifth_of_the_state_is_hidden_for_a_whole_sequence():
    pairs = conv_gru(2).stages["gru"].module
    cells = [sweep.cell for pair in (pairs.columns, pairs.rows) for sweep in pair.sweeps]
    assert [cell.recurrent_dropout for cell in cells] == [0.2] * 4
    assert 0.1 < (cells[0].hidden_mask(torch.zeros(64, 9, 64)) == 0).double().mean() < 0.3
