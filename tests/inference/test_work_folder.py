import errno
import json
import os
from pathlib import Path

import pytest
import torch

from sweepseg.errors import InputError, OutputError
from sweepseg.inference import work_folder as module
from sweepseg.inference.map_files import Box
from sweepseg.inference.work_folder import WorkFolder, work_folder

KEY = {"image": "a", "model": "b"}
EVERYTHING = Box(0, 1, 0, 8)


def work(path: Path, until: int, *, key=KEY, resume: bool = True, error: BaseException | None = None) -> list:
    """What is done and said by a run over eight steps that stops with an error before one of them."""
    happened: list = []
    with work_folder(path, key, resume=resume, note=happened.append) as folder:
        file = folder.map("map", 1, 1, 8, dtype=torch.uint8)
        for step in folder.steps(range(8)):
            if error and step == until:
                raise error
            file.write(Box(0, 1, step, step + 1), torch.full((1, 1, 1, 1), step))
            happened.append(step)
        assert file.read(EVERYTHING).flatten().tolist() == [*range(8)]
    assert not path.exists()
    return happened


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A folder in which three steps are done and on record."""
    monkeypatch.setattr(module, "SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path / "folder", 3, error=KeyboardInterrupt())
    return tmp_path / "folder"


def test_interrupted_work_goes_on_behind_its_last_step_and_leaves_nothing(stopped):
    assert work(stopped, 8) == [3, 4, 5, 6, 7]


def test_without_resume_work_starts_afresh(stopped):
    (stopped / "stray").touch()
    assert work(stopped, 8, resume=False) == [*range(8)]


def test_what_was_done_for_something_else_is_refused_in_one_line(stopped):
    line, *steps = work(stopped, 8, key=KEY | {"model": "c"})
    assert line == f"the earlier run in {stopped} had another model; starting afresh" and steps == [*range(8)]


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"{}", b'{"finished": "many", "key": {}}', b"\xff"])
def test_damaged_record_is_refused_in_one_line(record, stopped):
    (stopped / "record.json").write_bytes(record)
    line, *steps = work(stopped, 8)
    assert "record.json is damaged; starting afresh" in line and steps == [*range(8)]


@pytest.mark.parametrize(
    ("error", "shown", "stays"),
    [
        (InputError("x.png", "damaged"), InputError, False),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OutputError, True),
        (OutputError("x: no space left on device"), OutputError, True),
        (KeyboardInterrupt(), KeyboardInterrupt, True),
        (SystemExit(143), SystemExit, True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_work_stays_unless_the_image_is_at_fault(error, shown, stays, tmp_path):
    notes: list[str] = []
    with pytest.raises(shown), work_folder(tmp_path / "new" / "folder", KEY, resume=False, note=notes.append):
        raise error
    assert (tmp_path / "new" / "folder").exists() is stays
    assert [("--resume goes on there" in note, str(tmp_path) in note) for note in notes] == [(True, True)] * stays


def test_record_says_only_what_is_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0)
    synced: dict[str, int] = {}

    def fsync(file):
        status = os.fstat(file)
        synced[os.readlink(f"/proc/self/fd/{file}")] = status.st_size

    monkeypatch.setattr(os, "fsync", fsync)
    folder = WorkFolder(tmp_path)
    file = folder.map("map", 1, 8, 1, dtype=torch.uint8)
    for row in folder.steps(range(8)):
        record = json.loads((tmp_path / "record.json").read_bytes())["finished"] if row else 0
        assert record == row == synced.get(str(tmp_path / "map"), 0)
        file.write(Box(row, row + 1, 0, 1), torch.zeros(1, 1, 1, 1))
    folder.close()


def test_file_goes_once_the_record_says_that_it_is_done_with(tmp_path):
    folder = WorkFolder(tmp_path, KEY)
    file = folder.map("map", 1, 1, 8)
    assert [*folder.steps(range(3))] == [0, 1, 2] and not (tmp_path / "record.json").exists()
    folder.remove(file)
    assert json.loads((tmp_path / "record.json").read_bytes()) == {"finished": 3, "key": KEY}
    assert os.listdir(tmp_path) == ["record.json"]


def test_steps_are_told_from_their_total(tmp_path):
    told: list[tuple[int, int]] = []
    folder = WorkFolder(tmp_path, finished=2, listen=lambda done, total: told.append((done, total)))
    folder.total = 6
    assert [*folder.steps("abcd")] == ["c", "d"] and [*folder.again("ef")] == ["e", "f"]
    assert told == [(done, 6) for done in range(7)]
