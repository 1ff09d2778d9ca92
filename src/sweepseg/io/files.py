"""Finding input files, opening them without waiting, and writing results that are whole or not there."""

import contextlib
import errno
import logging
import os
import platform
import secrets
import shutil
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError, OutputError, UsageError, printable

VOLUME_SUFFIXES = frozenset({".nii", ".nii.gz"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".zarr"}) | VOLUME_SUFFIXES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """An input file.

    Attributes:
        path: Where to read it.
        relative: Its path below the root of the search, which outputs keep.
    """

    path: Path
    relative: Path


def find_images(root: str | os.PathLike[str], follow_links: bool = False) -> list[Found]:
    """The images below ``root``, sorted by relative path; a single file stands for itself, whatever its suffix.

    A folder whose name ends in `.zarr` is an image too.

    What cannot be read (a dangling link, a pipe, a locked folder) is listed as well, so that reading it says why.

    Args:
        root: A folder, searched with its subfolders for `IMAGE_SUFFIXES`, or one file.
        follow_links: Also follow links that lead out of ``root``. Each folder is visited once, so loops end.

    Raises:
        UsageError: ``root`` does not exist or holds no image.
    """
    root = Path(root)
    if not os.path.lexists(root):
        raise UsageError(f"{printable(root)} does not exist; name an image or a folder of images")
    if not os.path.isdir(root) or is_zarr(root):
        return [Found(root, Path(root.name))]
    found = [Found(path, path.relative_to(root)) for path in _below(root, follow_links)]
    if not found:
        raise UsageError(f"{printable(root)} holds no image; names ending in {', '.join(sorted(IMAGE_SUFFIXES))} count")
    return sorted(found, key=lambda one: one.relative.parts)


def is_zarr(path: Path) -> bool:
    """Whether a folder is an image by its name."""
    return path.suffix.lower() == ".zarr"


def is_volume(path: Path) -> bool:
    """Whether a file is a volume by its name."""
    return suffix_of(path) in VOLUME_SUFFIXES


def suffix_of(path: Path) -> str:
    """The suffix in lower case, of a compressed volume both.

    >>> suffix_of(Path("a.b.PNG")), suffix_of(Path("a.b.nii.gz")), suffix_of(Path("a.tar.gz"))
    ('.png', '.nii.gz', '.gz')
    """
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def without_suffix(path: Path) -> Path:
    """The path less what `suffix_of` is."""
    return path.with_name(path.name[: len(path.name) - len(suffix_of(path))])


def _below(root: Path, follow_links: bool) -> Iterator[Path]:
    inside = root.resolve()
    visited = set()
    pending = deque([root])  # links wait at its left end, so that a folder keeps its own name if it has one inside
    while pending:
        folder = pending.pop()
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield folder  # reading it as an image gives the reason
            continue
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in entries:
            path = folder / entry.name
            is_folder = os.path.isdir(path) if entry.is_symlink() else entry.is_dir()  # the latter at any path length
            is_folder = is_folder and not is_zarr(path)
            if not is_folder and suffix_of(path) not in IMAGE_SUFFIXES:
                continue
            leads_out = entry.is_symlink() and os.path.exists(path) and not path.resolve().is_relative_to(inside)
            if leads_out and not follow_links:
                logger.warning("%s leads out of the input folder and is left out", printable(path))
            elif not is_folder:
                yield path
            elif entry.is_symlink():
                pending.appendleft(path)
            else:
                pending.append(path)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading; refuse pipes, devices and folders at once instead of waiting for their data.

    Raises:
        InputError: It is missing, locked, empty or not a regular file.
    """

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        file = open(path, "rb", opener=without_waiting)  # noqa: SIM115 - the caller closes it
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise InputError(path, reason(error)) from error
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return file
    file.close()
    raise InputError(path, "empty file" if stat.S_ISREG(status.st_mode) else "not a regular file")


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` so that ``path`` holds either its former content or all of the new, whenever the process dies.

    Raises:
        OutputError: Disk full, folder read-only, no permission, not a folder.
        InputError: The name is longer than the file system takes; the caller's other outputs are not affected.
    """
    with replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Hand out the name of a file to write, which takes the place of ``path`` if the block ends without an error.

    It lies in the same folder, and is flushed to disk and renamed. Missing folders are created.

    Raises:
        OutputError: As `atomic_write`, also for an `OSError` of the block.
        InputError: As `atomic_write`.
    """
    path = Path(path)
    temporary = _temporary(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except FileExistsError as error:
        raise OutputError(f"{printable(path.parent)} is a file, not a folder") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(path, "the name of the output is too long; shorten the name of the input") from error
        raise OutputError(f"{printable(path)}: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def temporary_folder(parent: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder for temporary files in ``parent``, which goes with all of them however the block ends.

    Raises:
        OutputError: It cannot be made, or the block ended with an `OSError`.
    """
    folder = _temporary(Path(parent))
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise OutputError(f"{printable(parent)}: {reason(error)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary(parent: Path) -> Path:
    """A name that tells `remove_stale_temporaries` whose it is."""
    return parent / f".sweepseg-{platform.node()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    if os.name != "posix":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep other runs from writing into a folder, which is made, until the block or at the latest the process ends.

    Where the system or its disk knows no locks nothing is kept out.

    Raises:
        UsageError: Another run writes there.
        OutputError: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except FileExistsError as error:
        raise OutputError(f"{printable(folder)} is a file, not a folder") from error
    except OSError as error:
        raise OutputError(f"{printable(folder)}: {reason(error)}") from error
    _held.add(handle)
    try:
        _lock(handle, folder)
        yield
    finally:
        if handle in _held:  # not in a fork that leaves the block
            _held.remove(handle)
            os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"another run writes into {printable(folder)}; wait for it or name another --output") from None
    except OSError as error:
        logger.warning("%s cannot be locked: %s; start no other run there", printable(folder), reason(error))


_held: set[int] = set()


def _release() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release)  # a child that outlives its parent for a moment keeps nobody out


def remove_stale_temporaries(folder: str | os.PathLike[str]) -> None:
    """Remove temporary files and folders below ``folder`` of processes of this machine that no longer run."""
    for path in [*Path(folder).rglob(f".sweepseg-{platform.node()}-*.tmp")]:
        pid = path.stem.rsplit("-", 2)[1]
        if pid.isdecimal() and not _runs(int(pid)):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it runs, as another user
        pass
    return True


def reason(error: Exception) -> str:
    """The operating system's words for what went wrong, without the path."""
    return (getattr(error, "strerror", None) or str(error)).lower()
