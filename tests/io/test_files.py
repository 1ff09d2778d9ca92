import errno
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sweepseg.errors import InputError, OutputError, UsageError
from sweepseg.io import files
from sweepseg.io.files import (
    Found,
    atomic_write,
    find_images,
    is_volume,
    only_run,
    open_regular,
    remove_stale_temporaries,
    replacing,
    temporary_folder,
    without_suffix,
)

from .corpus import RGB, encoded


def names(root, **options):
    return [str(found.relative) for found in find_images(root, **options)]


@pytest.fixture
def make(tmp_path):
    def make(*paths):
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(b"x")
        return tmp_path

    return make


# Finding


def test_volumes_are_found_and_told_by_their_double_suffix(make):
    root = make("a.nii.gz", "B.NII", "c.tar.gz", "d.gz", "e.hdr")
    assert names(root) == ["B.NII", "a.nii.gz"]
    assert [without_suffix(found.relative).name for found in find_images(root)] == ["B", "a"]
    assert [is_volume(Path(name)) for name in ("x.nii.gz", "x.gz", "x.nii", "x.png")] == [True, False, True, False]


def test_images_are_found_below_the_root_in_order(make):
    root = make("b/2.PNG", "b/10.jpg", "a.tif", "b/c/1.webp", "notes.txt", "b/1.csv")
    assert names(root) == ["a.tif", "b/10.jpg", "b/2.PNG", "b/c/1.webp"]
    assert [found.path for found in find_images(root)] == [root / name for name in names(root)]
    assert find_images(root / "notes.txt") == [Found(root / "notes.txt", Path("notes.txt"))]


def test_zarr_folders_are_images_and_not_searched(make):
    root = make("a.zarr/zarr.json", "a.zarr/c/0.png", "b/c.ZARR/0.png", "b/d.png")
    assert names(root) == ["a.zarr", "b/c.ZARR", "b/d.png"]
    assert find_images(root / "a.zarr") == [Found(root / "a.zarr", Path("a.zarr"))]


def test_43_nothing_found_is_a_usage_error(make, tmp_path):
    with pytest.raises(UsageError, match="holds no image"):
        find_images(make("a/notes.txt"))
    with pytest.raises(UsageError, match="does not exist"):
        find_images(tmp_path / "nowhere")


def test_45_odd_names(tmp_path):
    odd = ["a b", "ä", "😀", "a\nb", "-x", "%s", ";rm", "\x1b[31m", os.fsdecode(b"\xff\xfe")]
    for name in odd:
        (tmp_path / f"{name}.png").write_bytes(encoded(RGB, "PNG"))
    assert sorted(names(tmp_path)) == sorted(f"{name}.png" for name in odd)
    for found in find_images(tmp_path):
        open_regular(found.path).close()
        assert str(InputError(found.path, "bad")).isprintable()


def test_48_links(make, tmp_path_factory, caplog):
    root = make("real/a.png")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "far.png").write_bytes(b"x")
    (root / "real/loop").symlink_to(root)
    for name in ("alias", "zalias"):
        (root / name).symlink_to("real")
    (root / "same.png").symlink_to("real/a.png")
    (root / "dangling.png").symlink_to("nothing.png")
    (root / "itself.png").symlink_to("itself.png")
    (root / "out.png").symlink_to(outside / "far.png")
    (root / "out").symlink_to(outside)
    inside = ["dangling.png", "itself.png", "real/a.png", "same.png"]
    assert names(root) == inside
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 2  # both that lead out
    assert names(root, follow_links=True) == [inside[0], inside[1], "out/far.png", "out.png", *inside[2:]]
    for name in ("dangling.png", "itself.png"):
        with pytest.raises(InputError, match=r"no such file|symbolic links"):
            open_regular(root / name)


def test_47_deep_trees_are_walked_to_the_end_and_end(tmp_path):
    home = os.getcwd()
    os.chdir(tmp_path)
    try:
        for name in [*"d" * 1050, *["d" * 200] * 15]:  # deeper than Python's stack, longer than 4096 bytes
            os.mkdir(name)
            os.chdir(name)
    finally:
        os.chdir(home)
    (tmp_path / "d" / "a.png").write_bytes(b"x")
    found = find_images(tmp_path)
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # pytest's own clean-up would recurse
    assert str(found[0].relative) == "d/a.png"
    assert len(str(found[1].path)) > 4096 and len(found) == 2  # reading the folder that is too deep will say so


# Opening


def test_49_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    started = time.monotonic()
    for path, reason in (
        (tmp_path / "pipe.png", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (tmp_path / "folder.png", "is a directory"),
        (tmp_path / "gone.png", "no such file"),  # row 51
        (tmp_path / "a\0b.png", "null"),
        (tmp_path / ("x" * 5000), "too long"),
    ):
        with pytest.raises(InputError, match=reason):
            open_regular(path)
    assert time.monotonic() - started < 1


def in_child(code: str, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )


def test_50_locked_files_folders_and_outputs(make, tmp_path):
    root = make("locked.png", "folder/a.png", "b.png")
    (root / "locked.png").chmod(0)
    (root / "folder").chmod(0)
    (root / "read_only").mkdir(mode=0o555)
    root.chmod(0o755)
    code = """
import os, sys
from sweepseg.errors import SweepsegError
from sweepseg.io.files import atomic_write, find_images, open_regular
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(65534)
found = find_images(".")
print([str(one.relative) for one in found])
for do, name in (open_regular, "locked.png"), (open_regular, "folder"), (lambda x: atomic_write(x, b""), "read_only/x"):
    try:
        do(name)
    except SweepsegError as error:
        print(type(error).__name__, error)
"""
    try:
        lines = in_child(code, root).stdout.splitlines()
    finally:
        (root / "folder").chmod(0o755)
    assert lines == [
        "['b.png', 'folder', 'locked.png']",
        "InputError locked.png: permission denied",
        "InputError folder: permission denied",
        "OutputError read_only/x: permission denied",
    ]


# Writing


def test_written_files_are_whole_and_alone(tmp_path):
    atomic_write(tmp_path / "new" / "folder" / "x", b"first")
    atomic_write(tmp_path / "new" / "folder" / "x", b"second")
    assert (tmp_path / "new/folder/x").read_bytes() == b"second"
    assert os.listdir(tmp_path / "new/folder") == ["x"]


def test_a_block_that_fails_replaces_nothing(tmp_path):
    (tmp_path / "x").write_bytes(b"former")
    for error, shown in ((KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.EIO, "worn out"), OutputError)):
        with pytest.raises(shown), replacing(tmp_path / "x") as temporary:
            temporary.write_bytes(b"new")
            raise error
        assert (tmp_path / "x").read_bytes() == b"former" and os.listdir(tmp_path) == ["x"]


def test_temporary_folders_go_with_what_is_in_them(tmp_path):
    for error, shown in ((KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, "Full"), OutputError)):
        with pytest.raises(shown), temporary_folder(tmp_path / "out") as folder:
            assert folder.parent == tmp_path / "out"
            (folder / "map").write_bytes(b"x")
            raise error
        assert os.listdir(tmp_path / "out") == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), temporary_folder(tmp_path / "file"):
        pass


def test_46_the_longest_name_is_written_and_a_longer_one_refused_as_an_input(tmp_path):
    atomic_write(tmp_path / ("x" * 255), b"data")
    with pytest.raises(InputError, match="shorten"):
        atomic_write(tmp_path / ("x" * 256), b"data")
    assert os.listdir(tmp_path) == ["x" * 255]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_55_a_failure_at_any_step_leaves_the_former_file(call, code, tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"former")

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(OutputError, match=os.strerror(code).lower()):
        atomic_write(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"former"
    assert os.listdir(tmp_path) == ["x"]


def test_52_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_bytes(b"")
    for name in ("out/x", "out/deeper/x"):
        with pytest.raises(OutputError, match="not a "):
            atomic_write(tmp_path / name, b"data")


LIMITED = """
import resource, sys
from sweepseg.errors import OutputError
from sweepseg.io.files import atomic_write
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    {write}
except (OutputError, OSError) as error:
    print(error)
"""


@pytest.mark.parametrize(
    "write",
    ["atomic_write(sys.argv[1], bytes(5000))", "import pathlib; pathlib.Path(sys.argv[1]).write_bytes(bytes(5000))"],
)
def test_54_no_space_leaves_the_former_file(write, tmp_path):
    (tmp_path / "x").write_bytes(b"former")
    assert "too large" in in_child(LIMITED.format(write=write), tmp_path / "x").stdout
    survived = (tmp_path / "x").read_bytes() == b"former"
    assert survived == write.startswith("atomic")  # the plain writer is the control: it loses the file
    assert os.listdir(tmp_path) == ["x"]


WRITER = """
import os, pathlib, sys
from sweepseg.io.files import atomic_write
write = {"atomic": atomic_write, "plain": lambda path, data: pathlib.Path(path).write_bytes(data)}[sys.argv[2]]
print("go", flush=True)
while True:
    for byte in b"ab":
        write(sys.argv[1], bytes([byte]) * 3_000_000)
"""


@pytest.mark.parametrize("kind", ["atomic", "plain"])
def test_58_killed_at_any_moment(kind, tmp_path):
    broken = 0
    chance = random.Random(0)
    for _ in range(6):
        (tmp_path / "x").write_bytes(b"a" * 3_000_000)
        with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "x", kind], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(0.02 + 0.1 * chance.random())
            child.send_signal(signal.SIGKILL)
        data = (tmp_path / "x").read_bytes()
        broken += len(data) != 3_000_000 or len(np.unique(np.frombuffer(data, np.uint8))) != 1
    assert broken == 0 if kind == "atomic" else broken > 0  # the plain writer is the control
    remove_stale_temporaries(tmp_path)
    assert os.listdir(tmp_path) == ["x"]


def test_only_temporaries_of_dead_processes_of_this_machine_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = files.platform.node()
    stale = f".sweepseg-{host}-{dead.pid}-00.tmp"
    kept = [
        f".sweepseg-{host}-{os.getpid()}-00.tmp",
        f".sweepseg-elsewhere-{dead.pid}-00.tmp",
        f".sweepseg-{host}-notes-00.tmp",
        "a.tmp",
    ]
    (tmp_path / "deeper").mkdir()
    for folder in (tmp_path, tmp_path / "deeper"):
        for name in [stale, *kept]:
            (folder / name).write_bytes(b"")
        (folder / f".sweepseg-{host}-{dead.pid}-01.tmp").mkdir()
        (folder / f".sweepseg-{host}-{dead.pid}-01.tmp" / "map").write_bytes(b"")
    remove_stale_temporaries(tmp_path)
    remove_stale_temporaries(tmp_path / "nowhere")
    for folder in (tmp_path, tmp_path / "deeper"):
        assert sorted(path.name for path in folder.iterdir() if path.name != "deeper") == sorted(kept)


HOLDER = """
import os, sys, time
from pathlib import Path
from sweepseg.io.files import only_run
with only_run(Path(sys.argv[1])):
    if not os.fork():
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_56_second_run_is_kept_out_until_the_first_is_gone_whatever_its_workers_do(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "new" / "out")], stdout=subprocess.PIPE)
    worker = int(holder.stdout.readline())
    try:
        with pytest.raises(UsageError, match="another run writes into"), only_run(tmp_path / "new" / "out"):
            pass
        holder.kill()
        holder.wait()
        os.kill(worker, 0)  # is alive
        with only_run(tmp_path / "new" / "out"):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        holder.kill()
        holder.communicate()  # which closes the pipe


def test_folder_that_cannot_be_made_or_locked(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"), only_run(tmp_path / "file"):
        pass
    monkeypatch.setattr("fcntl.flock", lambda *arguments: (_ for _ in ()).throw(OSError(errno.ENOLCK, "no locks")))
    with only_run(tmp_path):
        assert "cannot be locked" in caplog.text
