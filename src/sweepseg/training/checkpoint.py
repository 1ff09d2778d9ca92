"""Training states on disk: written whole or not at all, read without running anything.

A state is a dictionary of tensors and plain values. A file gets its name, which holds the step, only when it is
complete; so the newest state is the one with the largest step. The one before it is kept as well.
"""

import io
import zipfile
from pathlib import Path

import torch

from ..errors import ModelFileError, printable
from ..io.files import atomic_write

KEPT = 2


def save_state(folder: Path, state: dict, step: int) -> None:
    """Write ``state`` as the newest of the folder and drop all but the two newest."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(folder / f"step-{step:08d}.ckpt", buffer.getvalue())
    for old in saved_states(folder)[:-KEPT]:
        old.unlink()


def saved_states(folder: Path) -> list[Path]:
    """The complete states in a folder, the newest last."""
    return sorted(folder.glob("step-*.ckpt"))


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
                raise ModelFileError(f"{path}: compressed or shared entries, which torch.save never writes; not loaded")
            damaged = archive.testzip()  # torch itself does not look at the checksums
        if damaged is not None:
            raise ModelFileError(
                f"{path}: damaged at {printable(damaged)}; remove it to go on from the state before it"
            )
        state = torch.load(path, map_location="cpu", weights_only=True)
    except ModelFileError:
        raise
    except Exception as error:  # zipfile, pickle and torch raise many kinds for damaged files
        raise ModelFileError(f"{path}: not a training state of sweepseg ({type(error).__name__})") from None
    if not isinstance(state, dict):
        raise ModelFileError(f"{path}: not a training state of sweepseg (holds a {type(state).__name__})")
    return state
