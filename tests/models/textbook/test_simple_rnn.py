"""simple_rnn: its tokens against torch.nn.Embedding, its sizes."""

import torch
from tolerances import assert_close
from torch import nn

from sweepseg.models.textbook.simple_rnn import ValueEmbedding, simple_rnn


def test_tokens_are_embedded_as_by_torch_and_values_between_them_lie_between():
    ours, table = ValueEmbedding(2, 5, tokens=7, reach=3.0).double(), nn.Embedding(14, 5, dtype=torch.float64)
    with torch.no_grad():
        table.weight.copy_(ours.vectors.weight[..., 0, 0].T)
        ours.vectors.bias.zero_()
    tokens = torch.randint(7, (1, 2, 4, 6))
    exact = (table(tokens[:, 0]) + table(tokens[:, 1] + 7)).movedim(-1, 1)
    values = tokens.double() - 3  # a token at every whole number from -3 to 3
    assert_close(ours(values), exact, "tokens")
    assert_close(ours(100 * values), ours(3 * values.sign()), "beyond the reach")
    half = 0.5 * (ours(values) + ours(values.flip(3)))
    near = (values - values.flip(3)).abs().amax(1, keepdim=True) <= 1  # no token between
    assert_close(ours((values + values.flip(3)) / 2) * near, half * near, "between")


def test_the_sizes_are_the_textbooks():
    stages = simple_rnn(11).stages
    units = [sum(s.cell.hidden_size for s in stages[f"recurrent{i}"].module.sweeps) for i in (1, 2)]
    assert units == [64, 32] and stages["dense"].module[0].out_channels == 16
