import math
import pickle

import pytest
import torch
from torch import nn

from sweepseg.cells import GRU
from sweepseg.compare import BUILDERS, cost
from sweepseg.compare.cost import measure, multiply_adds
from sweepseg.layers.sweep import Sweep
from sweepseg.orders import rows

HEIGHT, WIDTH, CHANNELS, HIDDEN = 5, 6, 3, 4
COUNTS = {
    "convolution": (nn.Conv2d(3, 8, 3, padding=1), 30 * 9 * 3 * 8),
    "in groups": (nn.Conv2d(3, 6, 3, padding=1, groups=3), 30 * 9 * 6),
    # three gates, each a product of the input and one of the state at every pixel
    "recurrence": (Sweep(GRU(CHANNELS, HIDDEN), rows), 30 * 3 * HIDDEN * (CHANNELS + HIDDEN)),
}


@pytest.mark.parametrize(("layer", "count"), COUNTS.values(), ids=COUNTS)
@torch.no_grad()
def test_multiply_adds_by_hand(layer, count):
    assert multiply_adds(lambda: layer(torch.randn(1, CHANNELS, HEIGHT, WIDTH))) == count


def test_attention_counts():
    """6 queries by 6 keys of 4 channels and as much for the values, in each of 2 heads."""
    q = torch.randn(1, 2, 6, 4)
    assert multiply_adds(lambda: nn.functional.scaled_dot_product_attention(q, q, q)) == 2 * 2 * 6 * 6 * 4


def test_a_model_is_measured_on_one_thread_in_evaluation_mode(monkeypatch):
    """The process that would measure the memory is replaced by a call: its own tests are those of the benchmark."""
    seen = []

    def peak(builds):
        (build,) = builds
        pickle.loads(pickle.dumps(build))()()
        return [2_500_000]

    class Network(nn.Conv2d):
        def forward(self, x):
            seen.append((x.shape, self.training, torch.is_grad_enabled(), torch.get_num_threads()))
            return super().forward(x)

    monkeypatch.setattr(cost, "peak_bytes", peak)
    monkeypatch.setattr(cost, "MISSING", None)
    monkeypatch.setitem(BUILDERS, "network", lambda num_classes, in_channels: Network(in_channels, num_classes, 1))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    found = measure("network", {"num_classes": 2, "in_channels": 4}, (8, 9))
    assert (found.multiply_adds, found.peak_mb) == (8 * 9 * 2 * 4, 2.5) and 0 < found.seconds < 1
    assert {entry[:3] for entry in seen} == {((1, 4, 8, 9), False, False)} and seen[0][3] == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)

    monkeypatch.setattr(cost, "MISSING", "no /proc here")
    assert math.isnan(measure("network", {"num_classes": 2, "in_channels": 4}, (8, 9)).peak_mb)
