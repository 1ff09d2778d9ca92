"""A folder in which long work leaves what it has done, so that another run can go on there."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from ..errors import InputError, OutputError, printable
from ..io.files import atomic_write, reason
from .map_files import MapFile

Item = TypeVar("Item")
RECORD = "record.json"
SECONDS = 5.0  # of work at most that are lost with the process; waiting for the disk takes time too


class WorkFolder:
    """Files of work that is a fixed list of steps, each of which needs nothing but the files.

    Args:
        path: The folder.
        key: All that the result depends on, for the record.
        finished: How many steps are done.
        listen: Called with the steps that are done and their total.

    Attributes:
        total: How many steps there are, for `listen`.
    """

    def __init__(
        self,
        path: Path,
        key: dict[str, str] | None = None,
        *,
        finished: int = 0,
        listen: Callable[[int, int], None] = lambda done, total: None,
    ):
        self.path, self.key, self.finished, self.listen = path, key or {}, finished, listen
        self.total = self.step = 0
        self.recorded = time.monotonic()
        self.maps: list[MapFile] = []

    def map(self, name: str, channels: int, height: int, width: int, *, dtype: torch.dtype = torch.float32) -> MapFile:
        """The map of this name, new or as an earlier run left it."""
        self.maps.append(MapFile(self.path / name, channels, height, width, dtype=dtype))
        return self.maps[-1]

    def remove(self, map_: MapFile) -> None:
        """Delete a map that none of the next steps needs."""
        self.record()
        self.maps.remove(map_)
        map_.close()
        map_.path.unlink()

    def steps(self, items: Iterable[Item]) -> Iterator[Item]:
        """Those of ``items`` that are still to do. Each is done once the next one is asked for."""
        for item in items:
            self.listen(self.step, self.total)
            self.step += 1
            if self.step > self.finished:
                yield item
                self.finished = self.step
                if time.monotonic() - self.recorded >= SECONDS:
                    self.record()

    def again(self, items: Iterable[Item]) -> Iterator[Item]:
        """All of ``items``, steps that an earlier run cannot have spared."""
        for item in items:
            self.listen(self.step, self.total)
            self.step += 1
            yield item
        self.listen(self.step, self.total)

    def record(self) -> None:
        """Have on the disk what was done, and then that it was done."""
        for path in self.path.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        atomic_write(self.path / RECORD, json.dumps({"finished": self.finished, "key": self.key}).encode())
        self.recorded = time.monotonic()

    def close(self) -> None:
        """Close all files."""
        for map_ in self.maps:
            map_.close()


@contextmanager
def work_folder(
    path: Path,
    key: dict[str, str],
    *,
    resume: bool,
    note: Callable[[str], None],
    listen: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[WorkFolder]:
    """The folder at ``path``: emptied, or with ``resume`` as an earlier run left it, if its key was the same.

    It goes when the block ends, also by an `InputError`, but stays when the work is interrupted or the disk is full.

    Raises:
        OutputError: The folder cannot be made, or the block ended with an `OSError`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        finished = _finished(path, key, note) if resume else 0
        if not finished:
            _empty(path)
        try:
            with closing(WorkFolder(path, key, finished=finished, listen=listen)) as work:
                yield work
        except InputError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        except BaseException:
            note(f"what is done stays in {printable(path)}: --resume goes on there, a run without it removes it")
            raise
        shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{printable(path.parent)}: {reason(error)}") from error


def used_bytes(path: Path) -> int:
    """What the files in a folder take on the disk; 0 if there is none."""
    return sum(512 * file.stat().st_blocks for file in path.iterdir()) if path.is_dir() else 0


def _finished(path: Path, key: dict[str, str], note: Callable[[str], None]) -> int:
    """How many steps an earlier run has done that count for this one."""
    try:
        record = json.loads((path / RECORD).read_bytes())
        finished, before = int(record["finished"]), dict(record["key"])
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError):
        note(f"{printable(path / RECORD)} is damaged; starting afresh")
        return 0
    others = [name for name in key if before.get(name) != key[name]]
    if others:
        note(f"the earlier run in {printable(path)} had another {' and '.join(others)}; starting afresh")
        return 0
    return finished


def _empty(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()
