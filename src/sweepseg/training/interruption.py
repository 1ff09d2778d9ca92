"""Turning SIGINT and SIGTERM into a clean stop after the current step."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interruption:
    """Remembers the first signal; the training loop asks for it after every step."""

    signum: int | None = None

    def _receive(self, signum: int, _frame: object) -> None:
        if self.signum is not None:  # a second one means now; files are replaced whole, so none is left half written
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.signum = signum


@contextmanager
def catching_signals() -> Iterator[Interruption]:
    """Catch SIGINT and SIGTERM in the block; outside of the main thread, where Python does not allow it, do nothing."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {s: signal.signal(s, interruption._receive) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
