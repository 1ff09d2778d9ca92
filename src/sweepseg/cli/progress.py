"""Progress bars on the terminal; nothing is drawn for what is over within two seconds, nor with --quiet."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
PATIENCE = 2.0  # seconds


def tracker(description: str, *, quiet: bool) -> Callable[[Iterable[Item]], Iterable[Item]]:
    """A function that hands on items and draws a bar with the time left."""
    return iter if quiet else lambda items: _track(items, description)


def _track(items: Iterable[Item], description: str) -> Iterator[Item]:
    with bar() as update:
        yield from counted(items, description, update)


def counted(items: Iterable[Item], description: str, update: Callable[[str, int, int], None]) -> Iterator[Item]:
    """Hand on items and have ``update`` draw how many are done."""
    items = [*items]
    for done, item in enumerate(items):
        update(description, done, len(items))
        yield item
    update(description, len(items), len(items))


@contextmanager
def bar(*, quiet: bool = False) -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar that appears after two seconds, unless ``quiet``.

    Yields ``update(description, done, total)``; total is None if it is not known.
    """
    if quiet:
        yield lambda description, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False)
    task = progress.add_task("", total=None)
    started, shown, drawn = time.monotonic(), False, 0.0

    def update(description: str, done: int, total: int | None) -> None:
        nonlocal shown, drawn
        progress.update(task, description=description, completed=done, total=total)
        now = time.monotonic()
        if not shown and now - started > PATIENCE:
            progress.start()
            shown = True
        if shown and (now - drawn > 0.2 or done == total):
            progress.refresh()
            drawn = now

    try:
        yield update
    finally:
        if shown:
            progress.refresh()
            progress.stop()
