import gc
from statistics import median

import pytest
import torch

from sweepseg.benchmark.timing import Timer


class Clock:
    """A clock that only functions move."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def function(self, name: str, *lengths: float):
        """A function whose calls last so long, the last length again and again."""
        left = [*lengths]

        def call() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]
            self.log.append(name)

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for name in ("thread_time", "perf_counter"):
        monkeypatch.setattr(f"sweepseg.benchmark.timing.time.{name}", lambda: clock.now)
    return clock


def test_rounds_call_each_function_in_turn_after_a_warm_up(clock):
    times = Timer(repeats=3, least=1.0)([clock.function("a", 1.0), clock.function("b", 2.0)])
    assert times == [[1.0] * 3, [2.0] * 3]
    assert clock.log == ["a", "a", "b", "b", *"ab" * 3]


def test_a_slow_start_does_not_count(clock):
    (times,) = Timer(repeats=7, least=1.0)([clock.function("a", 20.0, 1.0)])
    assert times == [1.0] * 7


def test_short_functions_run_often_enough(clock):
    (times,) = Timer(repeats=1, least=1.0)([clock.function("a", 0.125)])
    assert times == [0.125]
    assert len(clock.log) == 2 + 8


def test_long_functions_run_in_fewer_rounds(clock):
    both = [clock.function("a", 100.0), clock.function("b", 1.0)]
    assert [len(times) for times in Timer(least=1.0, budget=303.0)(both)] == [3, 3]
    assert [len(times) for times in Timer(least=1.0, budget=1.0)(both)] == [1, 1]
    assert clock.log.count("a") == 1 + 3 + 1 + 1, "the warm-up of a long function is one call"


def test_one_stray_round_does_not_move_the_median(clock):
    lengths = [1.0] * 4 + [90.0] + [1.0]
    (times,) = Timer(repeats=7, least=1.0)([clock.function("a", *lengths)])
    assert max(times) == 90.0 and median(times) == 1.0


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_left_alone_meanwhile(enabled):
    seen = []
    (gc.enable if enabled else gc.disable)()
    try:
        Timer(1, least=0.0001)([lambda: seen.append(gc.isenabled())])
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert set(seen) == {False}


@pytest.mark.parametrize(("threads", "clock_name"), [(1, "thread_time"), (2, "perf_counter")])
def test_clock_fits_the_threads(threads, clock_name, monkeypatch):
    asked = []
    for name in ("thread_time", "perf_counter"):
        monkeypatch.setattr(
            f"sweepseg.benchmark.timing.time.{name}", lambda name=name: asked.append(name) or len(asked)
        )
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    Timer(1)([lambda: None])
    assert set(asked) == {clock_name}
