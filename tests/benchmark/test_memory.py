from functools import partial

import pytest
import torch
from benchmark.steps import hoarding_step, step, threads

from sweepseg.benchmark.memory import MISSING, peak_bytes

MB = 1 << 20


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_peak_is_what_a_step_takes_beyond_what_was_there(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 24)
    builds = {
        "the greatest of several": (partial(step, 4, (8 * MB, 64 * MB, 8 * MB)), 64),
        "not a larger peak before": (partial(step, 4, (16 * MB,)), 16),
        "not the inputs": (partial(step, 96 * MB, (16 * MB,)), 16),
        "not the caches": (partial(hoarding_step, 64 * MB), 0),
        "on the threads of this process": (threads, 24),
    }
    peaks = peak_bytes([build for build, _ in builds.values()])
    off = {
        name: peak / MB
        for (name, (_, size)), peak in zip(builds.items(), peaks, strict=True)
        if abs(peak / MB - size) > 1
    }
    assert not off
