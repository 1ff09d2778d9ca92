import os
import pickle
import random
import signal
import time
import zipfile

import pytest
import torch

from sweepseg.errors import ModelFileError
from sweepseg.training.checkpoint import load_state, save_state, saved_states

from .harness import differences, fork

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

STATE = {"step": 3, "weights": torch.arange(12.0).view(3, 4), "rows": [{"loss": 0.5}], "best": None}


def test_what_was_saved_comes_back(tmp_path):
    save_state(tmp_path / "new" / "folder", STATE, 3)
    (path,) = saved_states(tmp_path / "new" / "folder")
    assert differences(load_state(path), STATE) == []


def test_two_newest_are_kept_in_the_order_of_their_steps(tmp_path):
    for step in (9, 10, 100, 1000):
        save_state(tmp_path, STATE | {"step": step}, step)
    assert [load_state(path)["step"] for path in saved_states(tmp_path)] == [100, 1000]
    assert len(list(tmp_path.iterdir())) == 2


def test_folder_that_is_not_there_holds_nothing(tmp_path):
    assert saved_states(tmp_path / "none") == []


def naive_save(folder, state, step):
    torch.save(state, folder / f"step-{step:08d}.ckpt")


def kill_writers(folder, save, kills) -> int:
    """Kill a process that saves back to back, at random times; the number of files found damaged."""
    state = {"weights": torch.randn(1_000_000)}
    delays = random.Random(1)
    damaged = 0

    def write_for_ever(started):
        step = 0
        while True:
            step += 1
            save(folder, state | {"step": step}, step % 3)
            os.write(started, b".")

    for _ in range(kills):
        go, started = os.pipe()
        child = fork(lambda started=started: write_for_ever(started))
        os.close(started)
        os.read(go, 1)
        time.sleep(delays.uniform(0, 0.1))
        child.kill()
        child.join()
        os.close(go)
        assert child.exitcode == -signal.SIGKILL
        for path in saved_states(folder):
            try:
                assert torch.equal(load_state(path)["weights"], state["weights"])
            except ModelFileError:
                damaged += 1
    return damaged


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_leaves_whole_states(tmp_path, kills):
    assert kill_writers(tmp_path, save_state, kills) == 0


def test_kill_damages_what_a_naive_writer_saves(tmp_path):
    assert kill_writers(tmp_path, naive_save, 10) > 0


class Payload:
    """Unpickling it makes a folder, so that it is seen if it ever runs."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def raw_pickle(path, marker):
    path.write_bytes(pickle.dumps(Payload(marker)))


def pickle_in_a_checkpoint(path, marker):
    torch.save({"step": 1, "payload": Payload(marker)}, path)


def old_format(path, marker):
    torch.save({"payload": Payload(marker)}, path, _use_new_zipfile_serialization=False)


def foreign_module(path, marker):
    torch.save(torch.nn.Linear(1, 1), path)


def compressed(path, marker):
    plain = path.with_suffix(".plain")
    torch.save({"weights": torch.zeros(10_000)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))


def compressed_without_gain(path, marker):
    plain = path.with_suffix(".plain")
    torch.save({"weights": torch.randn(10_000)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=0) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))


def entries_that_share_their_bytes(path, marker):
    torch.save(STATE, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/more", b"x" * 100_000)
        archive.filelist += archive.filelist * 3


def nothing(path, marker):
    path.write_bytes(b"")


def text(path, marker):
    path.write_text("step: 1")


def cut(path, marker):
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:-100])


def no_dictionary(path, marker):
    torch.save([1, 2], path)


def missing(path, marker):
    pass


HOSTILE = [
    raw_pickle,
    pickle_in_a_checkpoint,
    old_format,
    foreign_module,
    compressed,
    compressed_without_gain,
    entries_that_share_their_bytes,
    nothing,
    text,
    cut,
    no_dictionary,
    missing,
]


@pytest.mark.filterwarnings("ignore:Environment variable TORCH_FORCE:UserWarning")  # as an error it would save us
@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("make", HOSTILE)
def test_hostile_and_damaged_files_are_refused_and_nothing_runs(tmp_path, monkeypatch, make, forced):
    path, marker = tmp_path / "step-00000001.ckpt", tmp_path / "ran"
    make(path, marker)
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(ModelFileError, match=r"step-00000001\.ckpt: ") as refused:
        load_state(path)
    assert refused.value.exit_code == 6
    assert "\n" not in str(refused.value)
    assert not marker.exists()


@pytest.mark.parametrize("make", [compressed, compressed_without_gain, entries_that_share_their_bytes])
def test_what_unpacks_to_more_than_the_file_is_not_read_at_all(tmp_path, make):
    make(tmp_path / "x.ckpt", tmp_path / "ran")
    with pytest.raises(ModelFileError, match="compressed or shared entries"):
        load_state(tmp_path / "x.ckpt")


def test_the_payload_runs_where_it_is_not_guarded_against(tmp_path):
    path, marker = tmp_path / "x.ckpt", tmp_path / "ran"
    pickle_in_a_checkpoint(path, marker)
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_flipped_byte_of_a_weight_is_seen(tmp_path):
    save_state(tmp_path, STATE, 1)
    (path,) = saved_states(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(STATE["weights"].numpy().tobytes())
    data[at + 5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelFileError):
        load_state(path)
