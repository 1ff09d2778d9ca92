"""Times of functions that are called in turn, so that whatever else the machine does meets all of them alike."""

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Function = Callable[[], object]


@dataclass(frozen=True)
class Timer:
    """Takes the times of functions: after a warm-up, rounds of each function once, the garbage collector off.

    On one thread the clock is the CPU time of this thread, which other programs do not lengthen; on several threads it
    is wall time.

    Args:
        repeats: Rounds; fewer, at least one, where they would take longer than ``budget``.
        least: Seconds that a function runs in a round, called as often as that takes.
        budget: Seconds for all rounds.
    """

    repeats: int = 7
    least: float = 2e-3
    budget: float = 60.0

    def __call__(self, functions: Sequence[Function]) -> list[list[float]]:
        """Seconds a call, for each function a list with one entry a round."""
        clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
        with _no_garbage_collection():
            lengths = [self._warm_up(function, clock) for function in functions]
            calls = [math.ceil(self.least / length) for length in lengths]
            one_round = sum(count * length for count, length in zip(calls, lengths, strict=True))
            rounds = max(1, min(self.repeats, int(self.budget / one_round)))
            times: list[list[float]] = [[] for _ in functions]
            for _ in range(rounds):
                for function, count, taken in zip(functions, calls, times, strict=True):
                    taken.append(_seconds(function, count, clock) / count)
        return times

    def _warm_up(self, function: Function, clock: Callable[[], float]) -> float:
        """Seconds of a call, the second one unless the first was so long that starting up does not show."""
        first = _seconds(function, 1, clock)
        return first if first > 50 * self.least else max(_seconds(function, 1, clock), 1e-9)


def _seconds(function: Function, calls: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(calls):
        function()
    return clock() - start


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
