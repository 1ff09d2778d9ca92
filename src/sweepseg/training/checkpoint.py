"""Training states on disk: written whole or not at all, read without running anything.

A state is a dictionary of tensors and plain values. At any moment the folder holds the newest complete state and the one
before it; `last` names the newest and is written after it.
"""

import io
import zipfile
from pathlib import Path

import torch

from ..errors import ModelFileError, UsageError
from ..io.files import atomic_write, remove_stale_temporaries

KEPT = 2


def save_state(folder: Path, state: dict, step: int) -> Path:
    """Write ``state`` as the newest of the folder and drop all but the two newest."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.ckpt"
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, buffer.getvalue())
    atomic_write(folder / "last", path.name.encode())
    for old in sorted(folder.glob("step-*.ckpt"))[:-KEPT]:
        old.unlink()
    return path


def newest_state(folder: Path) -> Path:
    """The newest complete state.

    Raises:
        UsageError: There is none; a run asked to resume never starts afresh in silence.
    """
    remove_stale_temporaries(folder)
    states = sorted(folder.glob("step-*.ckpt"))
    if not states:
        raise UsageError(f"no checkpoint in {folder}; leave out --resume to start a new run")
    return states[-1]


def load_state(path: Path) -> dict:
    """Read a training state: tensors and plain values only.

    Raises:
        ModelFileError: It is not such a file, is damaged, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ModelFileError(f"{path}: compressed entries, which torch.save never writes; not loaded")
        return torch.load(path, map_location="cpu", weights_only=True)
    except ModelFileError:
        raise
    except Exception as error:  # zipfile, pickle and torch raise many kinds for damaged files
        raise ModelFileError(f"{path}: not a training state of sweepseg ({type(error).__name__})") from None
