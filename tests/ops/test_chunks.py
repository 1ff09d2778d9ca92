"""Chunks of sequences, there and back, and sums over segments."""

import pytest
import torch
from tolerances import assert_close

from sweepseg.ops._chunks import chunks, joined, segment_sums


@pytest.mark.parametrize("batch", [(2,), (2, 3)], ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_chunks_and_back(batch, reverse):
    x = torch.arange(120.0).expand(*batch, -1).unflatten(-1, (20, 6))
    (pieces,) = zip(*chunks([x], 2, 8, reverse), strict=True)
    assert [tuple(piece.shape) for piece in pieces] == [(*batch, 2, steps, 3) for steps in (8, 8, 4)]
    first = x[..., 19 if reverse else 0, 3:]
    assert torch.equal(pieces[0][..., 1, 0, :], first)
    assert torch.equal(joined(pieces, reverse), x)


def test_segment_sums():
    x = torch.randn(2, 7, 3).double()
    for t in range(7):
        for s in range(7):
            expected = x[:, s + 1 : t + 1].sum(1) if t >= s else torch.full((2, 3), -torch.inf)
            assert_close(segment_sums(x)[:, t, s], expected, f"{t}, {s}")


def test_a_large_term_before_a_segment_costs_no_accuracy():
    x = torch.tensor([[-1e8], [0.1], [0.2]])
    assert segment_sums(x)[2, 0].item() == x[1:].sum().item()


def test_a_step_that_forgets_all():
    """log 0 in the middle: -inf across it, no NaN beside it."""
    x = torch.tensor([[1.0], [-torch.inf], [2.0]])
    assert segment_sums(x)[..., 0].tolist() == [
        [0, -torch.inf, -torch.inf],
        [-torch.inf, 0, -torch.inf],
        [-torch.inf, 2, 0],
    ]
